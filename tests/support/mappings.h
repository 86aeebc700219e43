// What a process has mapped, without the page by which it shows that its container lives (see
// registry/presence.h; only where the tests run in one): that stays until the process ends.
#pragma once

#include <fstream>
#include <string>

inline std::string mappings_of(const std::string& pid = "self") {
  std::ifstream maps("/proc/" + pid + "/maps");
  std::string kept;
  for (std::string line; std::getline(maps, line);)
    if (line.find(" ---s ") == std::string::npos) kept += line + "\n";
  return kept;
}
