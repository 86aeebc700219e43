// What the files of the configuration share, and what its tests need. Internal to lib/.
#pragma once

#include <string>
#include <string_view>

#include "config.h"

namespace sessreg {

enum class KeySupport {
  as_released,  // keys without an effect yet are refused
  all,          // every key of the table is taken
};

// For tests: parse_config() is this with KeySupport::as_released.
Result<Config> parse_config_with(std::string_view text, const std::string& file,
                                 std::string_view site, KeySupport support);

// The Error for a site name that is_valid_site_name() refuses.
Error invalid_site_name(std::string_view name);

}  // namespace sessreg
