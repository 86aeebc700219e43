// The whole login by PAM, in a fresh process each time, against pam_limits' maxsyslogins. Prints
// Markdown.
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <stdexcept>

#include "effort.h"
#include "machine.h"
#include "pam_subjects.h"
#include "race.h"
#include "report.h"
#include "tmpfs_dir.h"

namespace bench {
namespace {

constexpr const char* kServices[] = {"sessreg", "limits", "permit"};
constexpr const char* kNames[] = {"**pam_sessreg**", "pam_limits, maxsyslogins",
                                  "pam_permit alone"};
constexpr std::size_t kCount = 3;

struct Measured {
  std::uint64_t ns, cpu_ns;
  bool worked;

  // Nothing in a login sleeps.
  bool is_noisy() const { return static_cast<double>(cpu_ns) < 0.95 * static_cast<double>(ns); }
};

// From pam_start to pam_end in a forked process, which loads the modules anew.
Measured log_in_once(const PamHost& host, const char* service, Measured& shared) {
  shared = {};
  fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    host.use_utmp();
    // As every login service has by then, which takes the name service's start upon itself.
    if (getpwnam(kUser) == nullptr) _exit(1);
    const std::uint64_t began_ns = wall_ns(), cpu_before_ns = cpu_ns();
    bool worked = false;
    {
      PamLogin login(host, service);
      worked = login.open() && login.close();
    }
    const std::uint64_t cpu_after_ns = cpu_ns();
    shared = {wall_ns() - began_ns, cpu_after_ns - cpu_before_ns, worked};
    _exit(0);
  }
  while (waitpid(pid, nullptr, 0) != pid && errno == EINTR) {
  }
  if (!shared.worked) throw std::runtime_error(std::string(service) + ": the login was refused");
  return shared;
}

Rounds measure_logins(const PamHost& host, unsigned wanted, Measured& shared) {
  for (const char* service : kServices)
    log_in_once(host, service, shared);  // and publishes the limit
  Rounds rounds;
  rounds.ns.resize(kCount);
  for (unsigned round = 0; round < wanted; ++round) {
    wait_for_idle_machine();
    bool noisy = false;
    for (std::size_t turn = 0; turn < kCount; ++turn) {
      const std::size_t i = (turn + round) % kCount;
      Measured measured = log_in_once(host, kServices[i], shared);
      for (unsigned tried = 1; measured.is_noisy() && tried < 5; ++tried, ++rounds.repeated)
        measured = log_in_once(host, kServices[i], shared);
      rounds.ns[i].push_back(static_cast<double>(measured.ns));
      noisy |= measured.is_noisy();
    }
    rounds.noisy += noisy;
  }
  return rounds;
}

void measure_whole_logins(Effort effort, Goals& goals) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::runtime_error("mmap");
  const unsigned wanted = effort == Effort::full ? 61 : effort == Effort::quick ? 15 : 1;
  std::vector<std::string> head = {"N"};
  std::vector<std::vector<std::string>> rows(kCount + 1);
  for (std::size_t i = 0; i < kCount; ++i)
    rows[i].push_back(kNames[i]);
  rows[kCount].push_back("rounds (noisy), logins repeated");
  for (const std::uint32_t n : {10u, 1000u, 10'000u}) {
    fprintf(stderr, "PAM, N = %u\n", n);
    const TmpfsDir dir;
    const PamHost host(dir.path(), n, n - (n + 99) / 100);
    const Rounds rounds = measure_logins(host, wanted, *new (page) Measured());
    head.push_back(count_text(n));
    for (std::size_t i = 0; i < kCount; ++i)
      rows[i].push_back(time_text(rounds.absolute(i).median) +
                        (i == 0 ? "" : ", ×" + ratio_text(rounds.ratio(i, 0))));
    rows[kCount].push_back(std::to_string(wanted) + " (" + std::to_string(rounds.noisy) + "), " +
                           std::to_string(rounds.repeated));
    Spread on_top = rounds.ratio(0, 2);
    for (double* ratio : {&on_top.median, &on_top.min, &on_top.max})
      *ratio -= 1;
    goals.at_most("a login with a token, N = " + count_text(n) +
                      ": what it takes longer than pam_permit alone / pam_permit alone",
                  on_top, 1.0);
  }
  munmap(page, 4096);
  printf(
      "Whole logins by PAM (account, open with a token, close; modules loaded anew), 1 "
      "process:\n\n");
  print_head(head);
  for (const auto& row : rows)
    print_row(row);
  printf("\n");
}

// With room for one.
Race race_logins(const char* service, unsigned processes, unsigned rounds) {
  constexpr std::uint32_t kLimit = 10;
  const TmpfsDir dir;
  const PamHost host(dir.path(), kLimit, kLimit - 1);
  return race(processes, rounds, 1, [&](unsigned index) {
    host.use_utmp();
    auto login = std::make_shared<std::unique_ptr<PamLogin>>();
    return Contender{[&host, service, index, login] {
                       *login = std::make_unique<PamLogin>(host, service);
                       if (!(*login)->open()) return false;
                       host.write_utmp(index, true);
                       return true;
                     },
                     [&host, index, login] {
                       host.write_utmp(index, false);
                       (*login)->close();
                     }};
  });
}

void measure_races(Effort effort, Goals& goals) {
  const unsigned rounds = effort == Effort::full ? 1000 : effort == Effort::quick ? 200 : 5;
  printf(
      "Logins by PAM at one instant, with room for one; the login service writes its utmp "
      "record when the session is open:\n\n");
  print_head({"processes", "module", "rounds", "too many admitted", "too few"});
  for (const unsigned processes : {2u, 4u}) {
    for (const std::size_t i : {0u, 1u}) {
      fprintf(stderr, "PAM race, %u processes, %s\n", processes, kServices[i]);
      const Race race = race_logins(kServices[i], processes, rounds);
      print_row({std::to_string(processes), kNames[i], std::to_string(race.rounds),
                 std::to_string(race.over), std::to_string(race.under)});
      if (i == 0)
        goals.none("PAM logins of " + std::to_string(processes) + " at one instant: too many",
                   race.over);
    }
  }
  printf("\n");
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto effort = bench::effort_of(argc, argv);
  if (!effort) {
    fprintf(stderr, "usage: bench_pam [--quick | --smoke]\n");
    return 2;
  }
  try {
    bench::Goals goals;
    bench::measure_whole_logins(*effort, goals);
    bench::measure_races(*effort, goals);
    goals.print();
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench_pam: %s\n", e.what());
    return 1;
  }
}
