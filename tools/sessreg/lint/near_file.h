// Files whose names were misspelt.
#pragma once

#include <string>

namespace sessreg {

// The file of the same folder whose name `path` is most likely a misspelling of, or the reverse; empty
// if there is none.
std::string near_file(const std::string& path);

}  // namespace sessreg
