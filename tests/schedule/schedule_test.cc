#include <catch2/catch.hpp>

#include "scenarios.h"

namespace {

std::uint64_t seed_of_run() {
  return Catch::rngSeed() != 0 ? Catch::rngSeed() : 1;
}

}  // namespace

TEST_CASE("the invariants hold after every access of every schedule up to the bound") {
  std::uint64_t schedules = 0, accesses = 0;
  for (const Scenario& scenario : scenarios()) {
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
}

TEST_CASE("and of random schedules beyond the bound") {
  const std::uint64_t seed = seed_of_run();
  for (const Scenario& scenario : scenarios()) {
    INFO(scenario.name << ", seed " << seed);
    CHECK_NOTHROW(explore_random(scenario, seed, 3000));
  }
}

TEST_CASE("faults that were in the code once") {
  for (const Scenario& scenario : faulty_scenarios())
    CHECK_NOTHROW(explore_all(scenario));
}
