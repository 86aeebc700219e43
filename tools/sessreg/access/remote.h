// The daemon as the tool sees it: for those who may not read the registry.
//
// Whoever listens on the socket is root or the caller, or nothing is sent there (varlink_client.h).
// What it answers is checked all the same: an answer that cannot be is an error, never shown.
//
// Every function throws Failure: permission (exit code 4) where there is no daemon, failed (1)
// where it does not answer as it should, and what the contract has for the errors of the interface.
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
#include "varlink/client.h"

namespace sessreg {

class Remote {
 public:
  // `refused`: the file that only root may read, for the error where there is no daemon.
  explicit Remote(const std::string& refused);

  struct Seats {
    std::int32_t limit = -1;
    std::uint32_t taken = 0;
  };
  // Every session of the site that the caller may see, in no order. Of a record in the snapshot
  // there is what the daemon tells: id, texts (cut as in a registry) and when it was opened; the
  // hash of the user tells users of that name apart from others, in no other registry.
  Seats list(const std::string& site, const ProcessTable& table,
             const std::function<void(const Session&)>& visit);

  // All at once, in the order of `sessions`. Of the options, reason and grace. Ignores SIGHUP from
  // then on, and with include_own SIGTERM.
  std::vector<Ended> end(const std::vector<Session>& sessions, const EndingOptions& options);

  void touch(std::string_view token);

 private:
  varlink::Client connect(std::chrono::milliseconds timeout) const;
  [[noreturn]] void fail(const varlink::ClientError& error) const;
  [[noreturn]] void fail(const varlink::Reply& error, const std::string& about) const;
  std::string path_;
  std::string refused_;
};

// What a refused or unknown token is told, by the daemon and without it alike.
Failure token_invalid(const std::string& why);       // `why`: escaped
Failure session_revoked(const std::string& reason);  // as recorded
Failure session_expired();
Failure site_full(const std::string& message);  // escaped
Failure no_session_of_token();

}  // namespace sessreg
