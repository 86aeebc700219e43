// Settings of a configuration that do nothing, or something else than was meant.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "sessreg/lint/findings.h"

namespace sessreg {

// `path`: of the configuration.
std::vector<Finding> check_settings(const Config& config, const std::string& path);

// Whether anybody may be refused or ended by it, or anything is counted.
bool limits_anything(const Config& config);

}  // namespace sessreg
