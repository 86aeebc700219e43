#include <algorithm>

#include "../support/catch.h"
#include "../support/thorough.h"
#include "scenarios.h"

namespace {

// Preemptions and deaths together, by default; a scenario has its own with SESSREG_THOROUGH=1.
constexpr int kInterruptions = 2;

std::vector<Scenario> bounded_scenarios() {
  std::vector<Scenario> all = scenarios();
  if (!is_thorough())
    for (Scenario& scenario : all)
      scenario.preemptions = std::min(scenario.preemptions, kInterruptions - scenario.deaths);
  return all;
}

std::uint64_t seed_of_run() {
  return Catch::rngSeed() != 0 ? Catch::rngSeed() : 1;
}

}  // namespace

TEST_CASE("the invariants hold after every access of every schedule up to the bound") {
  std::uint64_t schedules = 0, accesses = 0;
  for (const Scenario& scenario : bounded_scenarios()) {
    INFO(scenario.name);
    Explored explored;
    CHECK_NOTHROW(explored = explore_all(scenario));
    printf("%-58s %9llu schedules, at most %d preemptions and %d deaths\n", scenario.name.c_str(),
           static_cast<unsigned long long>(explored.schedules), scenario.preemptions,
           scenario.deaths);
    schedules += explored.schedules;
    accesses += explored.accesses;
  }
  printf("%-58s %9llu schedules, %llu accesses, each followed by a check\n", "total",
         static_cast<unsigned long long>(schedules), static_cast<unsigned long long>(accesses));
  if (is_thorough())
    puts("the full bound");
  else
    printf("the default bound: %d preemptions and deaths; up to 7 with SESSREG_THOROUGH=1\n",
           kInterruptions);
}

TEST_CASE("and of random schedules beyond the bound") {
  const std::uint64_t seed = seed_of_run();
  for (const Scenario& scenario : scenarios()) {
    INFO(scenario.name << ", seed " << seed);
    CHECK_NOTHROW(explore_random(scenario, seed, is_thorough() ? 3000 : 300));
  }
}

TEST_CASE("faults that were in the code once") {
  for (const Scenario& scenario : faulty_scenarios())
    CHECK_NOTHROW(explore_all(scenario));
}
