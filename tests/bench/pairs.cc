#include "pairs.h"

#include <stdio.h>

#include <algorithm>
#include <map>

#include "floors.h"
#include "machine.h"
#include "ours_tasks.h"
#include "peers.h"
#include "race.h"
#include "singles.h"
#include "tmpfs_dir.h"

namespace bench {
namespace {

constexpr unsigned kMaxProcesses = 4;
constexpr unsigned kProcesses[] = {1, 2, kMaxProcesses};
constexpr std::uint32_t kSmall = 10;

enum Contestant : std::size_t {
  kGate,
  kRegistry,
  kBoost,
  kLmdb,
  kSqlite,
  kRedis,
  kFlock,
  kFloor,
  kGateSmall,  // ours again, with kSmall sessions
  kContestants,
};

// 99 % full, but with room for one more from each process.
std::uint32_t sessions_at(std::uint32_t n) {
  return std::min(n / 100 * 99 + n % 100 * 99 / 100, n - kMaxProcesses);
}

// [processes] of one number of sessions.
using Results = std::map<unsigned, Rounds>;

Results measure_at(std::uint32_t n, bool is_largest, Effort effort, Goals& goals,
                   std::vector<std::string>& ret_names) {
  const TmpfsDir dir;
  const Scale scale{dir.path(), n, sessions_at(n)};
  const auto progress = [&](const char* what) {
    fprintf(stderr, "N = %s: %s\n", count_text(n).c_str(), what);
  };
  progress("filling");
  const auto site = std::make_shared<Site>(dir / "ours", n, scale.sessions);
  const auto small = std::make_shared<Site>(dir / "small", kSmall, sessions_at(kSmall));
  Tasks tasks;
  tasks.push_back(gate_pair(site, "**sessreg**, at the gate"));
  tasks.push_back(registry_pair(site));
  tasks.push_back(boost_map(scale));
  tasks.push_back(lmdb(scale));
  tasks.push_back(sqlite(scale, "WAL"));
  tasks.push_back(redis(scale));
  tasks.push_back(flock_counter(scale));
  tasks.push_back(pair_floor(scale, site->slots(), Site::kSlotBytes, Site::kWrittenBytes));
  tasks.push_back(gate_pair(small, "sessreg, N = 10"));
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < kContestants; ++i) {
    all.push_back(i);
    ret_names.push_back(tasks[i]->name());
  }
  std::unique_ptr<Singles> singles;
  if (is_largest) singles = std::make_unique<Singles>(site, dir.path(), n, scale.sessions, tasks);

  Results results;
  {
    Workers workers(kMaxProcesses, tasks, dir.path());
    for (const unsigned processes : kProcesses) {
      progress((std::to_string(processes) + " processes").c_str());
      results[processes] = run_rounds(workers, all, processes, rounds_of(effort));
    }
    if (singles) singles->measure(workers, rounds_of(effort));
  }
  for (const auto& task : tasks)
    task->check();
  if (singles) {
    singles->print(tasks, goals);
    singles->print_whole_refusals(effort == Effort::smoke ? 0.1 : 1);
  }
  return results;
}

void add_goals(const Results& results, const std::string& n, Goals& goals) {
  const auto against = [&](const char* peer, Contestant who, unsigned processes, double wanted) {
    goals.at_least("pair at " + n + " against " + peer + ", " + std::to_string(processes) +
                       (processes == 1 ? " process" : " processes"),
                   results.at(processes).ratio(who, kGate), wanted);
  };
  against("Boost", kBoost, 1, 3);
  against("Boost", kBoost, 2, 10);
  for (const unsigned processes : {1u, 2u}) {
    against("LMDB", kLmdb, processes, 6);
    against("SQLite", kSqlite, processes, 150);
    against("Redis", kRedis, processes, 300);
  }
  goals.at_most("pair at " + n + " / floor, 1 process", results.at(1).ratio(kGate, kFloor), 3);
  goals.at_most("pair at " + n + " / floor, 2 processes", results.at(2).ratio(kGate, kFloor), 2);
  goals.at_most("pair at " + n + " / pair at 10", results.at(1).ratio(kGate, kGateSmall), 3);
}

void print_table(unsigned processes, const std::map<std::uint32_t, Results>& results,
                 const std::vector<std::string>& names) {
  printf("Admit and release, %u process%s:\n\n", processes, processes == 1 ? "" : "es");
  std::vector<std::string> head = {"N"};
  for (const auto& [n, by_processes] : results)
    head.push_back(count_text(n));
  print_head(head);
  for (std::size_t i = 0; i < kGateSmall; ++i) {
    std::vector<std::string> row = {names[i]};
    for (const auto& [n, by_processes] : results) {
      const Rounds& rounds = by_processes.at(processes);
      row.push_back(time_text(rounds.absolute(i).median) +
                    (i == kGate ? "" : ", ×" + ratio_text(rounds.ratio(i, kGate))));
    }
    print_row(row);
  }
  std::vector<std::string> row = {"rounds (noisy), slices repeated"};
  for (const auto& [n, by_processes] : results) {
    const Rounds& rounds = by_processes.at(processes);
    row.push_back(std::to_string(rounds.ns[0].size()) + " (" + std::to_string(rounds.noisy) +
                  "), " + std::to_string(rounds.repeated));
  }
  print_row(row);
  printf("\n");
}

}  // namespace

void measure_pairs(Effort effort, Goals& goals) {
  std::vector<std::uint32_t> numbers = {kSmall, 1000};
  if (effort != Effort::smoke) numbers.push_back(10'000);
  if (effort == Effort::full) numbers.push_back(1'000'000);
  std::map<std::uint32_t, Results> results;
  std::vector<std::string> names;
  for (const std::uint32_t n : numbers) {
    names.clear();
    results[n] = measure_at(n, n == numbers.back(), effort, goals, names);
  }
  for (const unsigned processes : kProcesses)
    print_table(processes, results, names);
  add_goals(results[numbers.back()], count_text(numbers.back()), goals);
}

void measure_races(Effort effort, Goals& goals) {
  const TmpfsDir dir;
  const unsigned rounds = effort == Effort::full ? 20'000 : effort == Effort::quick ? 2000 : 20;
  unsigned over = 0, under = 0, all = 0;
  for (const unsigned processes : {2u, 3u, 4u}) {
    for (const unsigned room : {0u, 1u}) {
      Site site(dir / (std::to_string(processes) + "-" + std::to_string(room)), kSmall,
                kSmall - room);
      const Race result = race(processes, rounds, room, [&](unsigned) {
        site.become_worker();
        return Contender{[&] { return site.admit(); }, [&] { site.release(); }};
      });
      all += result.rounds, over += result.over, under += result.under;
    }
  }
  printf(
      "Logins by 2, 3 and 4 processes at one instant, with room for one or none: %s rounds, "
      "%u admitted too many, %u too few.\n\n",
      count_text(all).c_str(), over, under);
  goals.none("rounds with too many admitted", over);
  goals.none("rounds with too few admitted", under);
}

}  // namespace bench
