// The Varlink interface org.sessreg.Sessions.
//
// Who may do what (the kernel says who the peer is, SO_PEERCRED):
//   1. root MAY do everything.
//      So MAY who runs the daemon: it is that user's own registry then.
//   2. Anybody else MUST see and end only sessions of their own uid. A session without a uid is
//      root's. A client of a service (`clients` in its section) MAY open sessions of that service
//      without a process, and see and end those, and no others; see login_calls.h and applications.h.
//   3. Anybody who has a token MAY mark that one session, whoever they are: that is what a token is
//      for. It MUST NOT show or change anything else.
//   4. A seat MUST NOT become free while its session goes on: whoever closes a session ends it, and
//      its processes with it. (If root closes it, the seat is freed at once: root is a login
//      service, whose word counts.)
//      A session whose service keeps it in its own process is the exception: see ending.h.
//   5. The cost of one call MUST be bounded, whatever it holds: nobody else is served meanwhile. One
//      that holds much goes on in steps.
//   6. Nothing is kept for a call whose connection has gone. What waits is a connection's one call,
//      so a user has no more of them than connections.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sessregd/login_calls.h"
#include "sessregd/rights.h"
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

  // Tells the watchers.
  void changed(Change change, const Session& session);

 private:
  struct Watcher {
    varlink::Exchange exchange;
    std::string site;  // empty: all
  };

  // What TouchMany has come to so far.
  struct Batch {
    std::size_t next = 0;  // of the tokens
    std::size_t marked = 0;
    std::size_t signatures_left = 0;
    struct Failed {
      std::uint32_t index;
      std::uint32_t error;  // in `errors`
    };
    std::vector<Failed> failed;
    std::vector<std::string> errors;  // each name once
  };

  struct Claimed {
    WatchedSite& site;
    std::uint32_t slot;
  };
  struct Held {
    WatchedSite& site;
    Session session;
  };

  Marked mark(std::string_view token, std::uint64_t now_ms);
  Claimed claimed_by(std::string_view token) const;
  // Throws the error to answer with if no session has it.
  Held session_of(std::string_view token) const;
  void touch(std::string_view token, std::size_t& ret_signatures_left);
  [[noreturn]] void refuse_unknown(std::string_view token, WatchedSite& site,
                                   std::size_t& ret_signatures_left) const;
  void touch_many(const varlink::Call& call, varlink::Exchange& exchange);
  bool touch_some(const varlink::Parameters& parameters, Batch& batch);
  void close(std::string_view token, varlink::Exchange& exchange);
  void list(const varlink::Call& call, varlink::Exchange& exchange);
  void revoke(const varlink::Call& call, varlink::Exchange& exchange);
  // `event`: what the log calls it.
  void end(const char* event, WatchedSite& site, const Session& session, EndingOptions options,
           varlink::Exchange& exchange, Endings::OnEnded done);
  void watch(const varlink::Call& call, varlink::Exchange& exchange);
  void look(std::string_view token, varlink::Exchange& exchange);
  void show(const varlink::Call& call, varlink::Exchange& exchange);
  void log_in(LoginCall how, const varlink::Call& call, varlink::Exchange& exchange) const;
  bool may_see(const varlink::Peer& peer, const Session& session) const;
  WatchedSite* site_named(std::string_view name) const;

  const Sites& sites_;
  std::list<Watcher> watchers_;
};

}  // namespace sessreg
