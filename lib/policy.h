// Whom the limits are for: plain values in, a decision out.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "config.h"

namespace sessreg {

enum class Standing {
  counted,  // needs a seat
  ignored,  // the service opens no user session of its own: nothing is done
  exempt,   // the user is neither counted nor refused, but listed
};

// Whether the user of this login is in a group of that name.
using InGroup = std::function<bool(const std::string& group)>;

bool matches(const NameList& list, std::string_view user, const InGroup& in_group);

Standing standing_of(const Config& config, std::string_view user, std::string_view service,
                     const InGroup& in_group);

// Group membership by the login's own group list (getgrouplist), so that large groups and any NSS
// source work without listing a group's members. A name that cannot be looked up matches nobody.
// `primary_group`: of the user's passwd entry.
InGroup groups_of(const std::string& user, unsigned primary_group);

}  // namespace sessreg
