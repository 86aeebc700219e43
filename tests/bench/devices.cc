#include "devices.h"

#include <stdio.h>

#include <memory>
#include <stdexcept>

#include "machine.h"
#include "ours_tasks.h"
#include "tmpfs_dir.h"

namespace bench {
namespace {

using By = DeviceSite::By;

constexpr std::uint32_t kSmall = 10'000;
constexpr unsigned kAdmissions = 100;  // in a row, which the site has room for

std::uint32_t sessions_at(std::uint32_t n) {
  return n / 100 * 99;
}
// A fifth of the sessions is theirs, more than caches keep.
unsigned holders_at(std::uint32_t n) {
  return n / 500;
}

class DevicePair final : public Task {
 public:
  DevicePair(std::shared_ptr<DeviceSite> site, std::string name)
      : site_(std::move(site)), name_(std::move(name)), count_(site_->count()) {}
  std::string name() const override { return name_; }
  void attach() override { site_->become_worker(); }
  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations)
      if (!site_->admit(random) || !site_->release())
        throw std::runtime_error(name_ + ": not admitted, or not released");
  }
  void check() override {
    if (site_->count() != count_) throw std::runtime_error(name_ + ": a seat was lost");
  }

 private:
  const std::shared_ptr<DeviceSite> site_;
  const std::string name_;
  const std::uint32_t count_;
};

class Look final : public Task {
 public:
  Look(std::shared_ptr<DeviceSite> site, std::size_t holding)
      : site_(std::move(site)), holding_(holding) {}
  std::string name() const override { return "a device looked for"; }
  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations)
      if (!site_->find(holding_, random)) throw std::runtime_error("a device was not found");
  }

 private:
  const std::shared_ptr<DeviceSite> site_;
  const std::size_t holding_;
};

// Nanoseconds of one of `kAdmissions` in a row; they are released outside of the time.
double admissions_ns(DeviceSite& site, Random& random) {
  const std::uint64_t began_ns = wall_ns();
  for (unsigned i = 0; i < kAdmissions; ++i)
    if (!site.admit(random)) throw std::runtime_error("not admitted");
  const double ns = static_cast<double>(wall_ns() - began_ns) / kAdmissions;
  for (unsigned i = 0; i < kAdmissions; ++i)
    if (!site.release()) throw std::runtime_error("not released");
  return ns;
}

// Each kind among its own.
void measure_admissions(const std::string& directory, unsigned rounds, Goals& goals) {
  constexpr unsigned kBatches = 20, kTries = 3;
  DeviceSite by_device(directory + "/by-device", kSmall, sessions_at(kSmall), By::device, 0);
  DeviceSite without(directory + "/without", kSmall, sessions_at(kSmall), By::nothing, 0);
  DeviceSite* const sites[] = {&by_device, &without};
  Random random(wall_ns());
  Rounds result;
  result.ns.resize(2);
  for (unsigned round = 0; round <= rounds; ++round) {
    wait_for_idle_machine();
    for (std::size_t turn = 0; turn < 2; ++turn) {
      const std::size_t i = (turn + round) % 2;
      double ns = 0;
      for (unsigned tried = 0; tried < kTries; ++tried) {
        const std::uint64_t began_ns = wall_ns(), cpu_before_ns = cpu_ns();
        ns = 0;
        for (unsigned batch = 0; batch < kBatches; ++batch)
          ns += admissions_ns(*sites[i], random) / kBatches;
        if (static_cast<double>(cpu_ns() - cpu_before_ns) >
            0.95 * static_cast<double>(wall_ns() - began_ns))
          break;
        ++result.repeated;
      }
      if (round > 0) result.ns[i].push_back(ns);  // the first is to warm up
    }
  }
  printf(
      "One `Registry::admit` of a session without a process, N = %s (%u rounds; %u slices "
      "repeated):\n\n",
      count_text(kSmall).c_str(), rounds, result.repeated);
  print_head({"opened", "time", "ratio"});
  print_row({"**by a device key**", time_text(result.absolute(0).median),
             ratio_text(result.ratio(0, 1))});
  print_row({"without one", time_text(result.absolute(1).median), ""});
  printf("\n");
  goals.at_most("admission by a device key / without one", result.ratio(0, 1), 1.3);
}

void print_pairs(const Rounds& rounds, const Tasks& tasks, std::uint32_t n, Goals& goals) {
  printf(
      "Admit and release by the whole library call, N = %s, 1 process (%zu rounds, %u noisy; %u "
      "slices repeated):\n\n",
      count_text(n).c_str(), rounds.ns[0].size(), rounds.noisy, rounds.repeated);
  print_head({"sessions", "time", "ratio"});
  for (std::size_t i = 0; i < rounds.ns.size(); ++i)
    print_row({tasks[i]->name(), time_text(rounds.absolute(i).median),
               i == 0 ? "" : ratio_text(rounds.ratio(0, i))});
  printf("\n");
  goals.at_most("pair by devices / of processes, N = " + count_text(n), rounds.ratio(0, 2), 1.2);
}

// A site in which devices are looked for.
struct Looked {
  std::uint32_t n;
  By others;  // what the sessions of all others were opened by
};

void print_looks(const Rounds& rounds, const std::vector<Looked>& sites, Goals& goals) {
  printf(
      "A device looked for (`Registry::find_device`), of a user who has so many (%zu rounds):\n\n",
      rounds.ns[0].size());
  std::vector<std::string> head = {"N", "the other sessions"};
  for (const unsigned holding : DeviceSite::kHoldings)
    head.push_back(std::to_string(holding));
  print_head(head);
  std::size_t at = 0;
  for (const auto& [n, others] : sites) {
    const std::string whose = others == By::device ? "by devices" : "without devices";
    std::vector<std::string> row = {count_text(n), whose};
    for (std::size_t i = 0; i < DeviceSite::kHoldings.size(); ++i)
      row.push_back(time_text(rounds.absolute(at++).median));
    print_row(row);
    goals.at_most_ns("one of a user's hundred devices, N = " + count_text(n) + ", others " + whose,
                     rounds.absolute(at - 1), 10e3);
  }
  printf("\n");
}

}  // namespace

std::unique_ptr<Task> device_pair(std::shared_ptr<DeviceSite> site, const std::string& name) {
  return std::make_unique<DevicePair>(std::move(site), name);
}

void measure_devices(Effort effort, Goals& goals) {
  const RoundOptions options = rounds_of(effort);
  const std::uint32_t n = effort == Effort::full ? 1'000'000 : kSmall;
  const TmpfsDir dir;
  fprintf(stderr, "devices: filling\n");
  const auto site_of = [&](const std::string& name, std::uint32_t limit, By by, unsigned holders) {
    return std::make_shared<DeviceSite>(dir / name, limit, sessions_at(limit), by, holders);
  };
  Tasks tasks;
  tasks.push_back(
      device_pair(site_of("devices", n, By::device, 0), "**without a process, by devices**"));
  tasks.push_back(
      device_pair(site_of("plain", n, By::nothing, 0), "without a process, without devices"));
  tasks.push_back(registry_pair(std::make_shared<Site>(dir / "processes", n, sessions_at(n))));
  const std::vector<std::size_t> pairs = {0, 1, 2};
  std::vector<std::size_t> looks;
  std::vector<Looked> looked = {{kSmall, By::device}, {kSmall, By::nothing}};
  if (n != kSmall) looked.push_back({n, By::device});
  for (std::size_t at = 0; at < looked.size(); ++at) {
    const auto site = site_of("looked-" + std::to_string(at), looked[at].n, looked[at].others,
                              holders_at(looked[at].n));
    for (std::size_t i = 0; i < DeviceSite::kHoldings.size(); ++i) {
      looks.push_back(tasks.size());
      tasks.push_back(std::make_unique<Look>(site, i));
    }
  }
  Rounds of_pairs, of_looks;
  {
    Workers workers(1, tasks, dir.path());
    fprintf(stderr, "devices: pairs\n");
    of_pairs = run_rounds(workers, pairs, 1, options);
    fprintf(stderr, "devices: looking\n");
    of_looks = run_rounds(workers, looks, 1, options);
  }
  for (const auto& task : tasks)
    task->check();
  measure_admissions(dir.path(), options.rounds, goals);
  print_pairs(of_pairs, tasks, n, goals);
  print_looks(of_looks, looked, goals);
}

}  // namespace bench
