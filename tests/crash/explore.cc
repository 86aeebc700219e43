#include "explore.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "../support/thorough.h"
#include "tracee.h"

namespace {

// A child may come another way than the traced one did (a random id leads it to another slot), so
// that its step k is elsewhere. Another child is tried; then it is taken as it
// stands, which is as good an instruction as any, and counted as astray.
constexpr int kAttempts = 2;

using Points = std::set<std::size_t>;

struct Plan {
  Path path;
  Points kills, stops;
  const char* points = "every step";
  bool is_complete = true;
};

Plan make_plan(const Trial& trial) {
  trial.prepare();
  Tracee child(Script{trial.enter, trial.act});
  std::vector<std::byte> before(trial.watched.begin(), trial.watched.end());
  Points changes, accesses, around_calls;
  std::size_t k = 0;
  bool in_call = false;
  Plan plan;
  plan.path = child.trace([&] {
    if (in_call) around_calls.insert({k - 1, k});
    in_call = child.at_system_call();
    if (memcmp(before.data(), trial.watched.data(), before.size()) != 0) {
      changes.insert(k);
      std::copy(trial.watched.begin(), trial.watched.end(), before.begin());
    }
    if (trial.in_place && child.at_access_to(trial.watched)) accesses.insert(k);
    ++k;
  });
  if (trial.in_place)
    for (const std::size_t change : changes)
      if (!accesses.contains(change - 1) && !around_calls.contains(change))
        throw TraceeLost("step " + std::to_string(change) + " changed the memory unseen");

  const std::size_t last = plan.path.length();
  const bool is_long = last > kEveryStep;
  plan.kills = plan.stops = around_calls;
  plan.kills.insert({0, last}), plan.stops.insert({0, last});
  if (!is_long && is_thorough()) {
    for (std::size_t point = 0; point <= last; ++point)
      plan.kills.insert(point), plan.stops.insert(point);
    return plan;
  }
  plan.kills.insert(changes.begin(), changes.end());
  if (!is_long && trial.in_place) {
    plan.stops.insert(accesses.begin(), accesses.end());
    plan.points = "every access";
    return plan;
  }
  for (const std::size_t change : changes)
    plan.stops.insert({std::max<std::size_t>(change, 1) - 1, change});
  for (std::size_t point = 0; point <= last; point += std::max<std::size_t>(last / kBetween, 1))
    plan.stops.insert(point);
  if (is_thorough()) plan.kills = plan.stops;
  plan.points = "every change and system call, and between";
  plan.is_complete = false;
  return plan;
}

struct Standing {
  std::unique_ptr<Tracee> child;
  bool astray;  // it came another way, so that it stands somewhere, but not after step k
};

// A child that stands after step k.
Standing child_after(const Trial& trial, const Path& path, std::size_t k) {
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    trial.prepare();
    auto child = std::make_unique<Tracee>(Script{trial.enter, trial.act});
    try {
      const bool there = child->go_to(path, k);
      if (there || attempt == kAttempts) return {std::move(child), !there};
    } catch (const TraceeLost&) {
      // It ended before it came to the breakpoint.
    }
  }
  trial.prepare();
  auto child = std::make_unique<Tracee>(Script{trial.enter, trial.act});
  for (std::size_t i = 0; i < k && !child->at_end(); ++i)
    child->step();
  return {std::move(child), true};
}

void demand(bool condition, const std::string& what) {
  if (!condition) throw Broken(what);
}

// Demand 2 of explore.h.
class Monotone {
 public:
  Monotone(int complete, std::size_t last) : complete_(complete), last_(last) {}

  void add(std::size_t k, int happened) {
    demand(k != 0 || happened == 0, "something happened before the first step");
    demand(happened >= highest_, "what had happened after step " + std::to_string(at_) +
                                     " has not any more: " + std::to_string(highest_) + " -> " +
                                     std::to_string(happened));
    demand(k != last_ || happened == complete_, "it is not done at the end");
    if (happened > highest_) at_ = k;
    highest_ = happened;
  }
  std::size_t happens_at() const { return at_; }

 private:
  int complete_;
  std::size_t last_;
  int highest_ = 0;
  std::size_t at_ = 0;
};

void kill_at(const Trial& trial, const Plan& plan, Tally& ret_tally) {
  Monotone happening(trial.complete, plan.path.length());
  for (const std::size_t k : plan.kills)
    try {
      const auto [child, astray] = child_after(trial, plan.path, k);
      const pid_t pid = child->pid();
      child->kill();
      const int happened = trial.look(pid);
      ret_tally.astray += astray;
      if (!astray && (trial.same_way || k == 0 || k == plan.path.length()))
        happening.add(k, happened);
      trial.recover(pid);
    } catch (const Broken& e) {
      throw Broken("killed after step " + std::to_string(k) + " of " +
                   std::to_string(plan.path.length()) + ": " + e.what());
    }
  ret_tally.happens_at = happening.happens_at();
  ret_tally.kills = plan.kills.size();
}

void stop_at(const Trial& trial, const Plan& plan, std::size_t k, Others others, Tally& ret_tally) {
  try {
    const auto [child, astray] = child_after(trial, plan.path, k);
    const pid_t pid = child->pid();
    ret_tally.astray += astray;
    trial.look(pid);
    trial.work(others, pid);
    trial.look(pid);
    const int result = child->finish();
    trial.settle_accounts(others, result, trial.look(pid));
    trial.recover(pid);
  } catch (const Broken& e) {
    throw Broken("stopped after step " + std::to_string(k) + " of " +
                 std::to_string(plan.path.length()) + ", the others " + text(others) + ": " +
                 e.what());
  }
  ++ret_tally.stops;
}

}  // namespace

const char* text(Others others) {
  switch (others) {
    case Others::fill:
      return "fill";
    case Others::churn:
      return "churn";
    case Others::rival:
      return "rival";
  }
  return "?";
}

Tally explore(const Trial& trial) {
  try {
    const Plan plan = make_plan(trial);
    Tally tally{.name = trial.name};
    tally.steps = plan.path.length();
    tally.points = plan.points;
    tally.is_complete = plan.is_complete;
    kill_at(trial, plan, tally);
    if (!trial.same_way) tally.happens_at = 0;
    std::size_t turn = 0;
    for (const std::size_t k : plan.stops)
      if (is_thorough())
        for (const Others others : trial.others)
          stop_at(trial, plan, k, others, tally);
      else
        stop_at(trial, plan, k, trial.others[turn++ % trial.others.size()], tally);
    return tally;
  } catch (const Broken& e) {
    throw Broken(trial.name + ": " + e.what());
  } catch (const TraceeLost& e) {
    throw Broken(trial.name + ": " + e.what());
  }
}

std::vector<Tally>& all_tallies() {
  static std::vector<Tally> tallies;
  return tallies;
}

void print_table(const std::vector<Tally>& tallies) {
  if (tallies.empty()) return;
  std::size_t steps = 0, kills = 0, stops = 0;
  printf("%-44s %7s %7s %7s %7s %9s  %s\n", "operation", "steps", "kills", "stops", "astray",
         "done at", "points");
  for (const Tally& tally : tallies) {
    const std::string at = tally.happens_at == 0 ? "-" : std::to_string(tally.happens_at);
    printf("%-44s %7zu %7zu %7zu %7zu %9s  %s\n", tally.name.c_str(), tally.steps, tally.kills,
           tally.stops, tally.astray, at.c_str(), tally.points);
    steps += tally.steps, kills += tally.kills, stops += tally.stops;
  }
  printf("%-44s %7zu %7zu %7zu\n", "total", steps, kills, stops);
  puts(is_thorough()
           ? "the full bound"
           : "the default bound: points that differ from the one before, each stop with one "
             "form of others; every step and all others with SESSREG_THOROUGH=1");
}
