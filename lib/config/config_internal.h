// What the files of the configuration share. Internal to lib/.
#pragma once

#include <string_view>

#include "config/config.h"

namespace sessreg {

// The Error for a site name that is_valid_site_name() refuses.
Error invalid_site_name(std::string_view name);

}  // namespace sessreg
