// Where the daemon's lines go: syslog(3), or standard error with --foreground.
#pragma once

#include <functional>
#include <string>

namespace sessreg {

// `priority`: as in syslog(3).
using Log = std::function<void(int priority, const std::string& line)>;

}  // namespace sessreg
