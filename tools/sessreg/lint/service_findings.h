// What a service whose sessions have no process needs besides its section: a stack, the daemon, and
// workers that may ask it.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "sessreg/lint/findings.h"
#include "sessreg/lint/pam_findings.h"

namespace sessreg {

// `path`: of the configuration. `pam_directory`: where a stack would be. Connects to the daemon.
std::vector<Finding> check_services(const Config& config, const std::string& path,
                                    const PamCheck& pam, const std::string& pam_directory);

}  // namespace sessreg
