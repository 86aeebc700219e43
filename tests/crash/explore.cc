#include "explore.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "tracee.h"

namespace {

// A child may come another way than the traced one did (a random id leads it to another slot), so
// that its step k is elsewhere. Another child is tried; then it is taken as it
// stands, which is as good an instruction as any, and counted as astray.
constexpr int kAttempts = 2;

struct Plan {
  Path path;
  std::vector<std::size_t> points;
};

Plan make_plan(const Trial& trial) {
  trial.prepare();
  Tracee child(Script{trial.enter, trial.act});
  std::vector<std::byte> before(trial.watched.begin(), trial.watched.end());
  std::set<std::size_t> marked;
  std::size_t k = 0;
  bool in_call = false;
  const auto mark = [&](std::size_t at) {
    if (at > 0) marked.insert(at - 1);
    marked.insert(at);
  };
  Plan plan;
  plan.path = child.trace([&] {
    if (in_call) mark(k);
    in_call = child.at_system_call();
    if (memcmp(before.data(), trial.watched.data(), before.size()) != 0) {
      mark(k);
      std::copy(trial.watched.begin(), trial.watched.end(), before.begin());
    }
    ++k;
  });
  const std::size_t stride = plan.path.length() <= kEveryStep ? 1 : plan.path.length() / kBetween;
  for (std::size_t point = 0; point <= plan.path.length(); point += stride)
    marked.insert(point);
  marked.insert(plan.path.length());
  plan.points.assign(marked.begin(), marked.end());
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
  for (const std::size_t k : plan.points)
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
  ret_tally.kills = plan.points.size();
}

void stop_at(const Trial& trial, const Plan& plan, Others others, Tally& ret_tally) {
  for (const std::size_t k : plan.points)
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
  ret_tally.stops += plan.points.size();
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
    tally.every_step = plan.points.size() == plan.path.length() + 1;
    kill_at(trial, plan, tally);
    if (!trial.same_way) tally.happens_at = 0;
    for (const Others others : trial.others)
      stop_at(trial, plan, others, tally);
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
           tally.stops, tally.astray, at.c_str(),
           tally.every_step ? "every step" : "every change and system call, and between");
    steps += tally.steps, kills += tally.kills, stops += tally.stops;
  }
  printf("%-44s %7zu %7zu %7zu\n", "total", steps, kills, stops);
}
