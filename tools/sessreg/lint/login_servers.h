// Settings of login servers that let in whom PAM refuses, or do not ask.
#pragma once

#include <string>
#include <vector>

#include "sessreg/lint/findings.h"

namespace sessreg {

// `root` stands before the paths of the files. No finding where there is no such server.
std::vector<Finding> check_proftpd(const std::string& root);
std::vector<Finding> check_smbd(const std::string& root);

}  // namespace sessreg
