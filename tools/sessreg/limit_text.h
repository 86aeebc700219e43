// A site's limit in words and in JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "common/site.h"

namespace sessreg {

// "7", "unlimited", "0 (nobody new is admitted)",
// "9000 (the registry's capacity is 4096 until the next boot)".
std::string configured_limit_text(const Site& site);

// The limit in force, and where it comes from unless that is the present configuration.
std::string limit_in_force_text(const Site& site);

// {"limit": in force, "limit_configured": …, "limit_override": … or null}
nlohmann::ordered_json limit_json(const Site& site);

}  // namespace sessreg
