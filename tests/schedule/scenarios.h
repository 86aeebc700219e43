// The scenes that schedules are tried on; shared by the tests of the gate and of its mutants.
#pragma once

#include <vector>

#include "explore.h"

// Numbers of sessions and their processes; the actors' own are 1, 2 and 3, those of check_end() 10
// and more.
inline constexpr std::uint32_t kOld = 4, kOlder = 5, kLeft = 6;

std::vector<Scenario> scenarios();
