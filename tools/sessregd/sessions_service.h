// The Varlink interface org.sessreg.Sessions.
//
// Who may what (the kernel says who the peer is, SO_PEERCRED):
//   1. root MAY everything.
//   2. Anybody else MUST see and end sessions of the own uid only. A session without a uid is
//   root's.
//   3. Whoever bears a token MAY mark that one session, whoever it is: that is what a token is for.
//      It MUST NOT show or change anything else.
//   4. A seat MUST NOT become free while its session goes on: whoever closes a session ends it, the
//      session's own processes too. (root frees it at once: it is a login service that says so.)
//   5. What one call costs MUST be bounded, whatever it holds: nobody else is served meanwhile.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sessregd/watched_site.h"
#include "varlink/server.h"

namespace sessreg {

class SessionsService final : public varlink::Service {
 public:
  using Sites = std::vector<std::unique_ptr<WatchedSite>>;
  // `sites` must outlive it, and may change between calls.
  explicit SessionsService(const Sites& sites) : sites_(sites) {}

  std::string_view interface_name() const override;
  std::string_view description() const override;
  void call(const varlink::Call& call, varlink::Exchange& exchange) override;

  // Tells those who watch.
  void changed(Change change, const Session& session);

 private:
  struct Watcher {
    varlink::Exchange exchange;
    std::string site;  // empty: all
  };

  Marked mark(std::string_view token, std::uint64_t now_ms);
  void touch(std::string_view token, std::size_t& ret_signatures_left);
  [[noreturn]] void refuse_unknown(std::string_view token, WatchedSite& site,
                                   std::size_t& ret_signatures_left) const;
  void touch_many(const varlink::Call& call, varlink::Exchange& exchange);
  void close(std::string_view token, varlink::Exchange& exchange);
  void list(const varlink::Call& call, varlink::Exchange& exchange);
  void revoke(const varlink::Call& call, varlink::Exchange& exchange);
  void watch(const varlink::Call& call, varlink::Exchange& exchange);
  WatchedSite* site_named(std::string_view name) const;

  const Sites& sites_;
  std::list<Watcher> watchers_;
};

}  // namespace sessreg
