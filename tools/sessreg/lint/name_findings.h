// Users and groups that a configuration names and that the host does not know, or by another spelling.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "sessreg/lint/findings.h"

namespace sessreg {

// Asks the name service for each name. `path`: of the configuration. `root`: before the paths of the
// files whose names are offered in place of a misspelt one.
std::vector<Finding> check_names(const Config& config, const std::string& path,
                                 const std::string& root);

}  // namespace sessreg
