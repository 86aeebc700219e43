#include "common/audit.h"

#include <fmt/core.h>
#include <syslog.h>
#include <unistd.h>

#include <fstream>

#include "base/text.h"
#include "common/tool_name.h"

namespace sessreg {
namespace {

// Who logged in before su or sudo; empty: nobody did (a boot script, cron).
std::string login_uid() {
  constexpr const char* kNobody = "4294967295";
  std::ifstream file("/proc/self/loginuid");
  std::string uid;
  std::getline(file, uid);
  return uid == kNobody ? std::string() : uid;
}

}  // namespace

void audit(const std::string& event, const std::string& site, const AuditFields& fields) {
  std::string line = fmt::format("event={} site={}", event, log_value(site));
  for (const auto& [name, value] : fields)
    line += fmt::format(" {}={}", name, log_value(value));
  line += fmt::format(" by_uid={}", getuid());
  if (const std::string uid = login_uid(); !uid.empty())
    line += fmt::format(" by_loginuid={}", log_value(uid));
  openlog(kToolName, LOG_PID, LOG_AUTHPRIV);
  syslog(LOG_NOTICE, "%s", line.c_str());
  closelog();
}

}  // namespace sessreg
