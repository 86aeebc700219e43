// One line in the authentication log for everything an administrator changes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sessreg {

// "event=revoke site=default … by_uid=0 by_loginuid=1000": values are escaped here.
using AuditFields = std::vector<std::pair<std::string_view, std::string_view>>;
void audit(const std::string& event, const std::string& site, const AuditFields& fields);

}  // namespace sessreg
