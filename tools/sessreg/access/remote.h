// The daemon as the tool sees it: for callers who may not read the registry.
//
// Nothing is sent unless root or the caller listens on the socket (varlink/client.h). The answers
// are checked all the same: an impossible one is an error, and never shown.
//
// Every function throws Failure: permission (exit code 4) if there is no daemon, failed (1) if it
// does not answer as it should, and the documented exit codes for the errors of the interface.
// Thread safety: none.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/errors.h"
#include "common/session.h"
#include "host/process_table.h"
#include "session/ending.h"

namespace sessreg::varlink {
class Client;
class ClientError;
struct Reply;
}  // namespace sessreg::varlink

namespace sessreg {

class Remote {
 public:
  // `refused`: the file that only root may read, named in the error if there is no daemon.
  explicit Remote(const std::string& refused);

  struct Seats {
    std::int32_t limit = -1;
    std::uint32_t taken = 0;
  };
  // Every session of the site that the caller may see, in no particular order. The record in the
  // snapshot has only what the daemon tells: id, uid, texts (cut as in a registry) and when it was
  // opened. Its user hash tells users of this list apart, and is of no use in any registry.
  Seats list(const std::string& site, const ProcessTable& table,
             const std::function<void(const Session&)>& visit);

  // All at once; the results are in the order of `sessions`. Of the options, only the reason and
  // the grace are used. Ignores SIGHUP from then on, and with include_own SIGTERM too.
  std::vector<Ended> end(const std::vector<Session>& sessions, const EndingOptions& options);

  void touch(std::string_view token);

 private:
  varlink::Client connect(std::chrono::milliseconds timeout) const;
  [[noreturn]] void fail(const varlink::ClientError& error) const;
  [[noreturn]] void fail(const varlink::Reply& error, const std::string& about) const;
  std::string path_;
  std::string refused_;
};

// The errors for a refused or unknown token, the same with and without the daemon.
Failure token_invalid(const std::string& why);       // `why`: escaped
Failure session_revoked(const std::string& reason);  // as recorded
Failure session_expired();
Failure site_full(const std::string& message);  // escaped
Failure no_session_of_token();

}  // namespace sessreg
