#include "singles.h"

#include <stdio.h>

#include <stdexcept>

#include "floors.h"
#include "machine.h"
#include "ours_tasks.h"

namespace bench {
namespace {

constexpr std::uint32_t kSmall = 10;

enum Single : std::size_t { kRefusalSmall, kRefusal, kTouch, kTouchFloor, kScan, kRead, kSingles };

struct Calls {
  double mean_ns, median_ns, longest_ns;
};

template <class Call>
Calls time_calls(double seconds, Call call) {
  std::vector<double> ns;
  const std::uint64_t began_ns = wall_ns();
  std::uint64_t now_ns = began_ns;
  while (static_cast<double>(now_ns - began_ns) < seconds * 1e9) {
    if (!call()) throw std::runtime_error("not refused");
    const std::uint64_t after_ns = wall_ns();
    ns.push_back(static_cast<double>(after_ns - now_ns));
    now_ns = after_ns;
  }
  const double mean = static_cast<double>(now_ns - began_ns) / static_cast<double>(ns.size());
  const Spread spread = spread_of(std::move(ns));
  return {mean, spread.median, spread.max};
}

}  // namespace

Singles::Singles(std::shared_ptr<Site> site, const std::string& directory, std::uint32_t n,
                 std::uint32_t sessions, Tasks& tasks)
    : n_(n),
      site_(std::move(site)),
      small_full_(std::make_shared<Site>(directory + "/small-full", kSmall, kSmall)),
      full_(std::make_shared<Site>(directory + "/full", n, n)),
      first_task_(tasks.size()) {
  tasks.push_back(gate_refusal(small_full_));
  tasks.push_back(gate_refusal(full_));
  tasks.push_back(touch(site_, sessions));
  tasks.push_back(touch_floor(directory, sessions, site_->slots(), Site::kSlotBytes,
                              [&](std::uint32_t session) { return site_->slot_of(session); }));
  tasks.push_back(scan(site_));
  tasks.push_back(read_floor(site_->bytes()));
}

void Singles::measure(Workers& workers, const RoundOptions& options) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < kSingles; ++i)
    all.push_back(first_task_ + i);
  rounds_ = run_rounds(workers, all, 1, options);
}

void Singles::print(const Tasks& tasks, Goals& goals) const {
  const std::string n = count_text(n_);
  const auto row = [&](const std::string& what, Single who, Single floor) {
    print_row({what, time_text(rounds_.absolute(who).median), tasks[first_task_ + floor]->name(),
               time_text(rounds_.absolute(floor).median), ratio_text(rounds_.ratio(who, floor))});
  };
  printf("Besides, 1 process (%zu rounds, %u noisy; %u slices repeated):\n\n", rounds_.ns[0].size(),
         rounds_.noisy, rounds_.repeated);
  print_head({"what", "time", "against", "its time", "ratio"});
  row("refusal of " + n + " at the gate, nobody dead", kRefusal, kRefusalSmall);
  row("mark of activity, a random one of " + n, kTouch, kTouchFloor);
  row("consistent scan of " + count_text(site_->slots()) + " slots", kScan, kRead);
  printf("\n");
  goals.at_most_ns("refusal at " + n, rounds_.absolute(kRefusal), 20);
  goals.at_most("refusal at " + n + " / at 10 (the same)", rounds_.ratio(kRefusal, kRefusalSmall),
                1.1);
  goals.at_most("mark of activity / floor", rounds_.ratio(kTouch, kTouchFloor), 2);
  goals.at_most("scan / vector read", rounds_.ratio(kScan, kRead), 3);
}

void Singles::print_whole_refusals(double seconds) {
  print_head({"refusal by the whole library call", "mean", "median", "longest"});
  const auto row = [](const std::string& what, const Calls& calls) {
    print_row(
        {what, time_text(calls.mean_ns), time_text(calls.median_ns), time_text(calls.longest_ns)});
  };
  row("N = 10, holders said to live", time_calls(seconds, [&] { return !small_full_->reserve(); }));
  row("N = 10, the system asked",
      time_calls(seconds, [&] { return !small_full_->reserve_asking_system(); }));
  row("N = " + count_text(n_) + ", holders said to live",
      time_calls(3 * seconds, [&] { return !full_->reserve(); }));
  printf("\n");
}

}  // namespace bench
