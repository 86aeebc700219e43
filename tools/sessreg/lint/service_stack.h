// Whether a login of a service comes to the module at all.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sessreg {

// Where libpam looks for stacks.
std::vector<std::string> host_pam_directories();

// Whether an account or session line of that service's stack names the module; libpam takes the
// stack of `other` for a service that has none. nullopt: not all that decides it can be read.
std::optional<bool> stack_names_module(const std::string& service,
                                       std::vector<std::string> directories);

}  // namespace sessreg
