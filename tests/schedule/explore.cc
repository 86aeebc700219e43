#include "explore.h"

#include <array>
#include <cstring>
#include <memory>
#include <random>

#include "fiber.h"

namespace {

constexpr std::size_t kNobody = kMaxActors;
// More accesses than any schedule can need: the operations are lock-free, and the actors few.
constexpr std::size_t kTooLong = 20'000;

// What to do next: let `actor` make its access, or (`dies`) end it there.
struct Step {
  std::size_t actor;
  bool dies;
};

// Chooses one of `count` possibilities.
using Choose = std::function<std::size_t(std::size_t count)>;

class Run;
Run* running = nullptr;

// Runs the schedules of one scenario, one after the other, over the same memory.
class Run {
 public:
  explicit Run(const Scenario& scenario) : scenario_(scenario) {
    world_.memory = {};
    scenario.prepare(world_);
    prepared_ = std::make_unique<World::Memory>(world_.memory);
  }

  void once(const Choose& choose, int preemptions, int deaths);
  Explored explored;

 private:
  struct Argument {
    Run* run;
    std::size_t actor;
  };

  static void act(void* argument) {
    const auto* at = static_cast<Argument*>(argument);
    // The first access is a choice like the others.
    at->run->fibers_[at->actor].yield();
    at->run->world_.actor_begins();
    at->run->scenario_.actors[at->actor].act(at->run->world_);
  }
  static void pause() { running->fibers_[running->current_].yield(); }

  std::string text_of(const std::vector<Step>& steps) const;

  const Scenario& scenario_;
  World world_;
  std::unique_ptr<World::Memory> prepared_;
  std::array<Fiber, kMaxActors> fibers_;
  std::array<Argument, kMaxActors> arguments_{};
  std::size_t current_ = kNobody;
};

void Run::once(const Choose& choose, int preemptions, int deaths) {
  const std::size_t n = scenario_.actors.size();
  world_.memory = *prepared_;
  world_.begin();
  std::array<bool, kMaxActors> enabled{};
  for (std::size_t i = 0; i < n; ++i) {
    arguments_[i] = {this, i};
    enabled[i] = true;
    fibers_[i].start(act, &arguments_[i]);
    fibers_[i].resume();
  }
  std::vector<Step> steps;
  current_ = kNobody;
  running = this;
  try {
    for (;;) {
      std::array<Step, 2 * kMaxActors> possible;
      std::size_t count = 0;
      const bool goes_on = current_ != kNobody && enabled[current_];
      if (goes_on) possible[count++] = {current_, false};
      if (!goes_on || preemptions > 0)
        for (std::size_t i = 0; i < n; ++i)
          if (enabled[i] && i != current_) possible[count++] = {i, false};
      if (goes_on && deaths > 0 && scenario_.actors[current_].dies_as != 0)
        possible[count++] = {current_, true};
      if (count == 0) break;
      const Step next = possible[count == 1 ? 0 : choose(count)];
      steps.push_back(next);
      if (goes_on && next.actor != current_) --preemptions;
      current_ = next.actor;
      if (next.dies) {
        --deaths;
        enabled[current_] = false;
        world_.dead[scenario_.actors[current_].dies_as] = true;
        continue;
      }
      world_.acting = current_;
      before_access = pause;
      enabled[current_] = fibers_[current_].resume();
      before_access = nullptr;
      world_.check();
      if (steps.size() > kTooLong) throw Broken("it does not come to an end");
    }
    if (scenario_.check) scenario_.check(world_);
    world_.check_end();
  } catch (const Broken& e) {
    before_access = nullptr;
    throw Broken(scenario_.name + ": " + e.what() + "; schedule: " + text_of(steps));
  }
  ++explored.schedules;
  explored.accesses += steps.size();
}

// "admit 5, release 3, admit dies": so many accesses of each in turn.
std::string Run::text_of(const std::vector<Step>& steps) const {
  std::string text;
  for (std::size_t i = 0; i < steps.size();) {
    std::size_t end = i;
    while (end < steps.size() && steps[end].actor == steps[i].actor && !steps[end].dies)
      ++end;
    text += text.empty() ? "" : ", ";
    text += scenario_.actors[steps[i].actor].name;
    if (end > i)
      text += " " + std::to_string(end - i);
    else
      text += " dies", ++end;
    i = end;
  }
  return text;
}

}  // namespace

Explored explore_all(const Scenario& scenario) {
  Run run(scenario);
  // The choices of the last schedule. The next one differs in the last choice that has another
  // possibility left (depth first, by replaying).
  struct Taken {
    std::size_t choice, count;
  };
  std::vector<Taken> taken;
  for (;;) {
    std::size_t depth = 0;
    run.once(
        [&](std::size_t count) {
          if (depth == taken.size()) taken.push_back({0, count});
          return taken[depth++].choice;
        },
        scenario.preemptions, scenario.deaths);
    while (!taken.empty() && taken.back().choice + 1 == taken.back().count)
      taken.pop_back();
    if (taken.empty()) return run.explored;
    ++taken.back().choice;
  }
}

Explored explore_random(const Scenario& scenario, std::uint64_t seed, std::uint64_t schedules) {
  Run run(scenario);
  std::mt19937_64 random(seed);
  for (std::uint64_t i = 0; i < schedules; ++i) {
    // Some schedules with many changes, some with few.
    const std::uint64_t one_in = std::uint64_t{1} << (1 + random() % 5);
    run.once(
        [&](std::size_t count) -> std::size_t {
          return random() % one_in == 0 ? random() % count : 0;
        },
        static_cast<int>(kTooLong), scenario.deaths);
  }
  return run.explored;
}
