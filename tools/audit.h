// One line in the authentication log for everything an administrator changes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sessreg {

// "event=revoke site=default … by_uid=0 by_loginuid=1000": values are escaped here.
void audit(const std::string& event, const std::string& site,
           const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace sessreg
