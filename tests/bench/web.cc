// Sessions without a process, which web applications open: what a device key costs in the library, a use
// of a device against a mark by a token, and logins against what web frameworks do. Prints Markdown.
#include <stdio.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "device_site.h"
#include "devices.h"
#include "effort.h"
#include "machine.h"
#include "report.h"
#include "rounds.h"
#include "tmpfs_dir.h"
#include "web_daemon.h"
#include "web_peers.h"

namespace bench {
namespace {

constexpr std::uint32_t kUsed = 1000;  // sessions, where one is used

// A mark by each of the two, of the same session.
void measure_uses(Effort effort, Goals& goals) {
  fprintf(stderr, "uses and marks\n");
  const TmpfsDir dir;
  const WebDaemon daemon(dir.path(), kUsed, kUsed - 1, 1);
  WebClient client(daemon.socket(), WebClient::Waits::awake);
  const std::string by_token = R"({"token":")" + client.admit("somebody", "phone") + R"("})";
  const std::string by_device =
      R"({"service":"shop","host":"192.0.2.7","label":"Firefox","user":"somebody","device":"phone"})";
  constexpr unsigned kTrips = 100;
  const auto trip_ns = [&](bool is_use) {
    const std::uint64_t began_ns = wall_ns();
    for (unsigned i = 0; i < kTrips; ++i)
      if (is_use)
        client.call("Use", by_device, R"({"parameters":{"session":{)");
      else
        client.call("Touch", by_token, R"({"parameters":{}})");
    return static_cast<double>(wall_ns() - began_ns) / kTrips;
  };
  const unsigned rounds = effort == Effort::full ? 61 : effort == Effort::quick ? 15 : 1;
  Rounds result;
  result.ns.resize(2);
  for (unsigned round = 0; round <= rounds; ++round) {
    wait_for_idle_machine();
    for (std::size_t turn = 0; turn < 2; ++turn) {
      const std::size_t i = (turn + round) % 2;
      const double ns = trip_ns(i == 0);
      if (round > 0) result.ns[i].push_back(ns);  // the first is to warm up
    }
  }
  printf(
      "One message that marks a session of %s, client and server on a core each, the client awake "
      "(%u "
      "rounds of %u round trips):\n\n",
      count_text(kUsed).c_str(), rounds, kTrips);
  print_head({"message", "a round trip", "ratio"});
  print_row({"**Use of its device**", time_text(result.absolute(0).median),
             ratio_text(result.ratio(0, 1))});
  print_row({"Touch of its token", time_text(result.absolute(1).median), ""});
  printf("\n");
  goals.at_most("Use of a device / Touch of a token", result.ratio(0, 1), 1.5);
}

enum Contestant : std::size_t { kDaemon, kLibrary, kRedis, kSqlite, kPostgres };

void measure_logins_at(std::uint32_t n, Effort effort, Goals& goals) {
  const std::string number = count_text(n);
  fprintf(stderr, "web logins, N = %s\n", number.c_str());
  const TmpfsDir dir;
  const Scale scale{dir.path(), n, n - n / 100};
  Tasks tasks;
  tasks.push_back(daemon_pair(std::make_shared<WebDaemon>(dir.path(), n, scale.sessions, -1)));
  tasks.push_back(device_pair(
      std::make_shared<DeviceSite>(dir / "library", n, scale.sessions, DeviceSite::By::device, 0),
      "sessreg, the library's call"));
  tasks.push_back(redis(scale));
  tasks.push_back(django_sqlite(scale));
  if (auto postgres = django_postgres(scale)) tasks.push_back(std::move(postgres));
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    all.push_back(i);
  Rounds rounds;
  {
    Workers workers(1, tasks, dir.path());
    rounds = run_rounds(workers, all, 1, rounds_of(effort));
  }
  for (const auto& task : tasks)
    task->check();
  printf(
      "Web logins: one admitted among N = %s, and closed, 1 client (%zu rounds, %u noisy; "
      "%u slices repeated):\n\n",
      number.c_str(), rounds.ns[0].size(), rounds.noisy, rounds.repeated);
  print_head({"how", "time", "/ sessregd", "/ library"});
  for (std::size_t i = 0; i < tasks.size(); ++i)
    print_row({tasks[i]->name(), time_text(rounds.absolute(i).median),
               i == kDaemon ? "" : ratio_text(rounds.ratio(i, kDaemon)),
               i == kLibrary ? "" : ratio_text(rounds.ratio(i, kLibrary))});
  printf("\n%s", tasks.size() > kPostgres ? "" : "PostgreSQL is not installed here.\n\n");
  const auto goal = [&](const char* peer, Contestant who, Contestant ours, double wanted) {
    goals.at_least(
        std::string(peer) + (ours == kDaemon ? " / sessregd" : " / library") + ", N = " + number,
        rounds.ratio(who, ours), wanted);
  };
  for (const auto& [ours, wanted] : {std::pair(kLibrary, 10.0), std::pair(kDaemon, 1.0)}) {
    goal("Redis", kRedis, ours, wanted);
    goal("Django's table in SQLite", kSqlite, ours, wanted);
    if (tasks.size() > kPostgres) goal("Django's table in PostgreSQL", kPostgres, ours, wanted);
  }
}

void measure(Effort effort) {
  Goals goals;
  // The servers that it starts may be on any core.
  measure_logins_at(100, effort, goals);
  if (effort != Effort::smoke) measure_logins_at(10'000, effort, goals);
  pin_to_core(0);
  measure_devices(effort, goals);
  measure_uses(effort, goals);
  goals.print();
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto effort = bench::effort_of(argc, argv);
  if (!effort) {
    fprintf(stderr, "usage: bench_web [--quick | --smoke]\n");
    return 2;
  }
  try {
    bench::measure(*effort);
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench_web: %s\n", e.what());
    return 1;
  }
}
