// One line in the authentication log for everything an administrator changes.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace sessreg {

// "event=revoke site=default … by_uid=0 by_loginuid=1000": values are escaped here.
void audit(const std::string& event, const std::string& site,
           std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

}  // namespace sessreg
