// All schedules of a few actors, to a bound: how often a running actor is interrupted by another
// (preemptions), and how many die. Errors need few of either (CHESS, Musuvathi and Qadeer, 2007);
// beyond the bound, random schedules by seed.
//
// A stop for ever is a preemption after which the others finish; the invariants are checked after
// every access, so also then.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "world.h"

struct Actor {
  const char* name;
  std::function<void(World&)> act;
  // Its number as a claimer; 0: it does not die.
  std::uint32_t dies_as = 0;
};

struct Scenario {
  std::string name;
  std::function<void(World&)> prepare;
  std::vector<Actor> actors;
  int preemptions = 2;
  int deaths = 0;
  // After all have finished; throws Broken. Optional.
  std::function<void(World&)> check{};
  bool ticking = false;  // the clock moves at every access; see World
};

struct Explored {
  std::uint64_t schedules = 0;
  std::uint64_t accesses = 0;
};

// Throws Broken, its text with the schedule that led there.
Explored explore_all(const Scenario& scenario);
Explored explore_random(const Scenario& scenario, std::uint64_t seed, std::uint64_t schedules);
