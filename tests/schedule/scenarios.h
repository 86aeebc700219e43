// The scenes that schedules are tried on; shared by the tests of the gate and of its mutants.
#pragma once

#include <vector>

#include "explore.h"

// Numbers of sessions and their processes; the actors' own are 1, 2 and 3, those of check_end() 10
// and more.
inline constexpr std::uint32_t kOld = 4, kOlder = 5, kLeft = 6, kNew = 7;

std::vector<Scenario> scenarios();
// Of sessions with device keys; among scenarios().
std::vector<Scenario> device_scenarios();
// 1, 2 and kOld log in by one device of one user's.
void of_one_device(World& w);
// `seats` of `limit` taken, by kOld and kOlder; their refs in refs[0] and refs[1].
std::function<void(World&)> prepared(std::int32_t limit, std::uint32_t seats);
// kOld is seated (refs[0]) and kNew has a reservation (refs[4]), which fills the limit of 2; with a
// claim of 2 (refs[3]).
void prepare_with_slow_login(World& w);
// Of faults that lib/ has had.
std::vector<Scenario> faulty_scenarios();

// kOld and kOlder were seated (refs[0], refs[1]), kOld is parked; the limit is 2. With claims of 1
// and 2 (refs[2], refs[3]) if wanted.
std::function<void(World&)> prepared_with_parked(bool of_1, bool of_2);
// kOld's seat (refs[0]) was taken for the reservation kNew (refs[4]), idle or evicted; then the
// limit is `limit`.
std::function<void(World&)> prepared_with_reservation(std::int32_t limit, bool of_1, bool of_2,
                                                      sessreg::VictimFate fate);
