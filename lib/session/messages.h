// The lines that a user is shown, from the messages of the configuration.
#pragma once

#include <string>

#include "config/config.h"
#include "registry/failures.h"
#include "registry/registry.h"

namespace sessreg {

// For a user who was refused.
std::string message_of(const Admission& refused, const Config& config, const Login& login);
// For one whose remote host is blacklisted.
std::string message_of(const FailureStatus& blacklisted, const Config& config, const Login& login);

// How long to wait, in whole seconds, rounded up.
std::uint32_t wait_seconds(const Admission& refused);
std::uint32_t wait_seconds(const FailureStatus& blacklisted);

}  // namespace sessreg
