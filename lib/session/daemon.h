// A login that is one use of a session without a process, asked of sessregd: for workers that may not
// open the registry (nginx, Apache).
//
// Rules this file keeps:
//   1. Only who runs as root or as the caller itself MUST be believed.
//   2. A call MUST end within kDaemonWait, whatever the other side does, and leave nothing open.
//   3. Of the answer nothing MUST be shown that could forge a line of a terminal or a log.
//
// Thread safety: keeps no state.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "session/admission.h"

namespace sessreg {

inline constexpr const char* kDaemonSocket = "/run/sessreg/sessregd.sock";
inline constexpr std::chrono::milliseconds kDaemonWait{2'000};

// Of the login: user, service, host, tty and device. The answer is opened, already, refused, or ended;
// an error (Errc::system) is about the daemon or what it was asked.
Result<LoginAnswer> ask_daemon_to_use(const std::string& socket, const std::string& site,
                                      const Login& login);

}  // namespace sessreg
