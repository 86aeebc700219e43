// The exhaustive suites (model, crash, schedule, soak) have two bounds. The default one takes a
// tenth of the time and still kills every mutant. With SESSREG_THOROUGH=1 in the environment, which
// `meson test` sets if the build has -Dthorough=true, nothing is left out.
#pragma once

#include <cstdlib>
#include <string_view>

inline bool is_thorough() {
  const char* value = std::getenv("SESSREG_THOROUGH");
  return value != nullptr && std::string_view(value) == "1";
}
