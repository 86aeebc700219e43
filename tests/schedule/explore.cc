#include "explore.h"

#include <array>
#include <memory>
#include <random>
#include <utility>

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

// Runs the schedules of one scenario, one after the other, over the same memory. What comes next is
// decided on the stack of the actor that made the last access, so that stacks are changed only
// where another goes on.
class Run {
 public:
  explicit Run(const Scenario& scenario) : scenario_(scenario) {
    World::acting = 0;
    World::ticking = scenario.ticking;
    World::ticks = 0;
    memory_changed = true;
    scenario.prepare(world_);
    ticks_ = World::ticks;
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
    at->run->world_.actor_begins();
    at->run->scenario_.actors[at->actor].act(at->run->world_);
  }
  static void pause() { running->before_next_access(); }
  void before_next_access();
  void decide();
  void choose_next();

  std::string text_of(const std::vector<Step>& steps) const;

  const Scenario& scenario_;
  World world_;
  std::unique_ptr<World::Memory> prepared_;
  std::uint64_t ticks_ = 0;
  std::array<Fiber, kMaxActors> fibers_;
  std::array<Argument, kMaxActors> arguments_{};

  // Of the schedule that runs.
  const Choose* choose_ = nullptr;
  int preemptions_ = 0, deaths_ = 0;
  std::array<bool, kMaxActors> enabled_{};
  std::array<bool, kMaxActors> fresh_{};  // has made no access yet
  std::size_t current_ = kNobody;
  std::vector<Step> steps_;
  std::string broken_;
};

void Run::once(const Choose& choose, int preemptions, int deaths) {
  world_.memory = *prepared_;
  world_.begin();
  World::ticks = ticks_;
  choose_ = &choose;
  preemptions_ = preemptions;
  deaths_ = deaths;
  enabled_.fill(false);
  for (std::size_t i = 0; i < scenario_.actors.size(); ++i) {
    arguments_[i] = {this, i};
    enabled_[i] = fresh_[i] = true;
    fibers_[i].start(act, &arguments_[i]);
  }
  steps_.clear();
  broken_.clear();
  current_ = kNobody;
  running = this;
  choose_next();
  before_access = pause;
  while (current_ != kNobody) {
    const std::size_t at = current_;
    if (fibers_[at].resume()) continue;
    // It has finished; else it has decided itself.
    enabled_[at] = false;
    decide();
  }
  before_access = nullptr;
  try {
    if (!broken_.empty()) throw Broken(broken_);
    World::acting = 0;
    if (scenario_.check) scenario_.check(world_);
    world_.check_end();
  } catch (const Broken& e) {
    throw Broken(scenario_.name + ": " + e.what() + "; schedule: " + text_of(steps_));
  }
  ++explored.schedules;
  explored.accesses += steps_.size();
}

// On the stack of the actor, which owns nothing here, as it may not come back.
void Run::before_next_access() {
  const std::size_t self = current_;
  // The first access was chosen when the actor was.
  if (std::exchange(fresh_[self], false)) return;
  decide();
  if (current_ != self) fibers_[self].yield();
}

// After an access: is all well, and whose is the next one?
void Run::decide() {
  try {
    world_.check();
    if (steps_.size() > kTooLong) throw Broken("it does not come to an end");
    choose_next();
  } catch (const Broken& e) {
    broken_ = e.what();
    current_ = kNobody;
  }
}

void Run::choose_next() {
  for (;;) {
    std::array<Step, 2 * kMaxActors> possible;
    std::size_t count = 0;
    const bool goes_on = current_ != kNobody && enabled_[current_];
    if (goes_on && preemptions_ <= 0 && (deaths_ == 0 || scenario_.actors[current_].dies_as == 0)) {
      steps_.push_back({current_, false});
      ++World::ticks;
      return;
    }
    if (goes_on) possible[count++] = {current_, false};
    if (!goes_on || preemptions_ > 0)
      for (std::size_t i = 0; i < scenario_.actors.size(); ++i)
        if (enabled_[i] && i != current_) possible[count++] = {i, false};
    if (goes_on && deaths_ > 0 && scenario_.actors[current_].dies_as != 0)
      possible[count++] = {current_, true};
    if (count == 0) {
      current_ = kNobody;
      return;
    }
    const Step next = possible[count == 1 ? 0 : (*choose_)(count)];
    steps_.push_back(next);
    if (goes_on && next.actor != current_) --preemptions_;
    current_ = next.actor;
    World::acting = current_;
    if (!next.dies) {
      ++World::ticks;
      return;
    }
    --deaths_;
    enabled_[current_] = false;
    world_.dead[scenario_.actors[current_].dies_as] = true;
  }
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
