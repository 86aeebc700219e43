// What `sessreg check` found.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace sessreg {

// All are one line, escaped for the terminal.
struct Finding {
  std::string place;  // "FILE:LINE", or whatever else it is about
  std::string what;
  std::string mend;
  bool operator==(const Finding&) const = default;
};

// "FILE:LINE"; line 0: "FILE".
std::string place_of(const std::string& file, unsigned line);

// An error of the library about `file`. `called`: see called_as().
Finding finding_of(const Error& error, const std::string& file, const std::string& called);

}  // namespace sessreg
