// The lines that a user is shown, from the messages of the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.h"
#include "registry/failures.h"
#include "registry/registry.h"

namespace sessreg {

// The message for who is refused: that of a service's limit is the site's. `group`: of group_full,
// the index of its entry.
const std::string& message_for(Refusal refusal, std::uint32_t group, const Config& config,
                               const Registry& registry);

// For a user who was refused there.
std::string message_of(const Admission& refused, const Config& config, const Registry& registry,
                       const Login& login);
// For one whose remote host is blacklisted.
std::string message_of(const FailureStatus& blacklisted, const Config& config, const Login& login);

// For one whose session has to end. `reason`: as it was given.
std::string message_of_end(std::string_view reason, const Config& config, Registry& registry,
                           const RecordImage& session, std::int64_t seconds);

// What somebody has to say to the user of a session.
std::string message_from(std::string_view sender, std::string_view text);

// How long to wait, in whole seconds, rounded up.
std::uint32_t wait_seconds(const Admission& refused);
std::uint32_t wait_seconds(const FailureStatus& blacklisted);

}  // namespace sessreg
