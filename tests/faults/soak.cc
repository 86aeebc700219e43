// Many logins by processes that are killed at any instant, in one run; afterwards nothing may be
// left of them anywhere. Ten thousand; a hundred thousand, or twenty with --kill-daemon, with
// SESSREG_THOROUGH=1.
//
//   faults_soak [--logins N] [--workers N] [--seed N] [--kill-daemon]
//
// Prints its seed, with which the same logins are made again (when who is killed inside what is the
// kernel's to decide). Some of the workers' logins go through the whole module, by libpam; the
// others, which cost a hundredth, through the library as the module uses it. Beside them live a
// login service that is never killed, and sessregd; with --kill-daemon that is killed all the time.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstring>
#include <random>

#include "../pam/transaction.h"
#include "../support/child.h"
#include "../support/sanitized.h"
#include "../support/thorough.h"
#include "config/policy.h"
#include "leftovers.h"
#include "seats.h"
#include "session/login.h"

namespace {

using namespace faults;
using Clock = std::chrono::steady_clock;
using Random = std::mt19937_64;

constexpr int kLimit = 4;
constexpr const char* kUsers[] = {"daemon", "bin", "sys", "games", "man"};
constexpr std::uint64_t kReservationTime_ms = 1'000;

struct Options {
  std::uint64_t logins = 0;  // 0: not given
  std::uint64_t workers = 6;
  std::uint64_t seed = 0;
  bool kill_daemon = false;
};

// Shared by all processes.
struct Shared {
  std::atomic<std::uint64_t> logins, by_pam, refused, touched, over_limit, wrong;
  std::atomic<int> wrong_code;
};

class Soak {
 public:
  Soak(const Options& options, const PamSite& site, Shared& shared)
      : options_(options), site_(site), shared_(shared) {}

  bool is_done() const { return shared_.logins >= options_.logins; }

  // Logs in until it is killed, or all are done.
  int work(std::uint64_t seed) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Random random(seed);
    while (!is_done())
      if (random() % 256 == 0)
        log_in_by_pam(random);
      else
        log_in_by_library(random);
    return 0;
  }

  // One login as a service makes it.
  void log_in_by_pam(Random& random) {
    Transaction t(site_, kUsers[random() % std::size(kUsers)]);
    const int account = t.account();
    ++shared_.logins;
    ++shared_.by_pam;
    if (account != PAM_SUCCESS) return refused(account == PAM_PERM_DENIED);
    if (random() % 16 == 0) return;  // a later module refuses: pam_end
    const int open = t.open_session();
    // A reservation may have run out meanwhile.
    if (open != PAM_SUCCESS) return refused(open == PAM_PERM_DENIED);
    hold_seat(random);
    const int close = t.close_session();
    if (close != PAM_SUCCESS) wrong(close);
  }

 private:
  // The same through the library.
  void log_in_by_library(Random& random) {
    using namespace sessreg;
    auto config = load_config("default", site_.config_path());
    if (!config) return wrong(-1);
    auto site = Site::open(*config, site_.config_path(), Site::IfMissing::create);
    if (!site) return wrong(-2);
    Login login;
    login.user = kUsers[random() % std::size(kUsers)];
    login.service = "sshd";
    login.self = self_id();  // no parent: whoever is killed leaves no reservation that lasts
    const Rulebook rules =
        rules_for(*config, login.user, login.service, [](const auto&) { return false; });
    const auto reserved = reserve(*site, login, rules);
    if (!reserved) return wrong(-3);
    ++shared_.logins;
    if (!reserved->admitted())
      return refused(reserved->refusal == Refusal::site_full ||
                     reserved->refusal == Refusal::user_full);
    if (random() % 16 == 0) {
      site->registry->release_reservation(reserved->ref);
      return;
    }
    const auto opened = find_and_bind_or_admit(*site, login, rules, reserved->ref);
    if (!opened) return wrong(-4);
    if (!opened->admitted()) return refused(true);
    if (random() % 4 == 0 && site->registry->touch(opened->ref, boottime_ms())) ++shared_.touched;
    hold_seat(random);
    if (!site->registry->release(opened->ref)) wrong(-5);
  }

  void hold_seat(Random& random) {
    const bool held = seats_.take();
    if (!held) ++shared_.over_limit;
    if (random() % 4 == 0) usleep(static_cast<useconds_t>(random() % 2'000));
    if (held) seats_.give_back();
  }
  void refused(bool properly) {
    ++shared_.refused;
    if (!properly) wrong(-6);
  }
  void wrong(int code) {
    ++shared_.wrong;
    shared_.wrong_code = code;
  }

  const Options& options_;
  const PamSite& site_;
  Shared& shared_;
  KernelSeats seats_{kLimit};
};

std::unique_ptr<Child> start_daemon(const PamSite& site) {
  return std::make_unique<Child>([&] {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(0);
    const std::string socket = site.dir / "daemon.sock", log = site.dir / "daemon.log";
    dup2(open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600), STDERR_FILENO);
    const char* program = getenv("SESSREG_DAEMON");
    if (program != nullptr)
      execl(program, program, "--foreground", "--conf", site.config_path().c_str(), "--socket",
            socket.c_str(), nullptr);
    return 127;
  });
}

// What a process that lives through it all holds.
struct Holdings {
  std::size_t descriptors, mappings;
  long rss_kb;

  explicit Holdings(const std::string& pid)
      : descriptors(open_descriptors(pid)),
        mappings(faults::mappings(pid)),
        rss_kb(faults::rss_kb(pid)) {}
};

int faults_found = 0;
void expect(bool good, const std::string& what) {
  if (good) return;
  ++faults_found;
  printf("WRONG: %s\n", what.c_str());
}

template <class Condition>
bool wait_until(Condition condition) {
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (Clock::now() > end) return false;
    usleep(20'000);
  }
  return true;
}

// Nothing grew but by what allocators keep.
void expect_same(const char* who, const std::string& pid, const Holdings& before) {
  if (kHasShadowMemory) return;
  constexpr long kKept_kb = 8 << 10;
  wait_until([&] { return open_descriptors(pid) <= before.descriptors; });
  const Holdings after(pid);
  printf("%s: %zu descriptors, %zu mappings, %ld KB; before: %zu, %zu, %ld\n", who,
         after.descriptors, after.mappings, after.rss_kb, before.descriptors, before.mappings,
         before.rss_kb);
  expect(after.descriptors <= before.descriptors, std::string(who) + " has more descriptors");
  expect(after.mappings <= before.mappings + 8, std::string(who) + " has more mappings");
  expect(after.rss_kb <= before.rss_kb + kKept_kb, std::string(who) + " has grown");
}

int run(const Options& options) {
  const PamSite site("sessions_limit = " + std::to_string(kLimit) +
                     "\nuser_sessions_limit = 2\nreservation_time = " +
                     std::to_string(kReservationTime_ms / 1000) + "s\n");
  auto* const shared =
      new (mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
          Shared();
  Soak soak(options, site, *shared);
  Random random(options.seed);
  auto daemon = start_daemon(site);
  const auto log_in = [&] {
    Random of_this(random());
    soak.log_in_by_pam(of_this);
  };
  for (int i = 0; i < 300; ++i)
    log_in();
  // It has opened the registry, and has been through some rounds.
  const auto is_warm = [&, began_ms = sessreg::boottime_ms()] {
    const auto seen = site.registry().daemon();
    return seen.pid == daemon->pid() && seen.seen_ms > began_ms + 1'000;
  };
  expect(wait_until(is_warm), "the daemon does not come up");
  const std::string daemon_pid = std::to_string(daemon->pid());
  const Holdings own_before("self"), daemon_before(daemon_pid);

  const auto began = Clock::now();
  std::vector<std::unique_ptr<Child>> workers;
  const auto start_worker = [&] {
    const std::uint64_t seed = random();
    return std::make_unique<Child>([&soak, seed] { return soak.work(seed); });
  };
  for (std::uint64_t i = 0; i < options.workers; ++i)
    workers.push_back(start_worker());
  std::uint64_t killed = 0, daemons_killed = 0;
  auto registry = site.registry();
  while (!soak.is_done()) {
    usleep(static_cast<useconds_t>(random() % 20'000));
    const std::size_t victim = random() % workers.size();
    workers[victim]->kill_and_wait();
    ++killed;
    const std::uint32_t count = registry.count();
    expect(count <= kLimit, "seats taken: " + std::to_string(count));
    log_in();
    workers[victim] = start_worker();
    if (options.kill_daemon && killed % 8 == 0) {
      daemon->kill_and_wait();
      daemon = start_daemon(site);
      ++daemons_killed;
    }
  }
  workers.clear();
  const std::chrono::duration<double> took = Clock::now() - began;
  printf("%" PRIu64 " logins, %" PRIu64 " of them by PAM, %" PRIu64 " refused, %" PRIu64
         " touched, %" PRIu64 " workers and %" PRIu64 " daemons killed, in %.1f s\n",
         shared->logins.load(), shared->by_pam.load(), shared->refused.load(),
         shared->touched.load(), killed, daemons_killed, took.count());

  expect(shared->over_limit == 0,
         std::to_string(shared->over_limit) + " sessions were admitted above the limit");
  expect(shared->wrong == 0, std::to_string(shared->wrong) + " phases went wrong, the last with " +
                                 std::to_string(shared->wrong_code));
  expect(shared->refused > 0, "the limits were never reached");
  expect(shared->refused < shared->logins / 2, "hardly anybody got in");
  registry.reap(sessreg::SystemProcesses(), sessreg::boottime_ms() + kReservationTime_ms);
  expect(registry.count() == 0, std::to_string(registry.count()) + " seats are lost");
  const int slots = slots_in_use(site.registry_path());
  expect(slots == 0, std::to_string(slots) + " slots are lost");
  log_in();
  expect_same("the login service", "self", own_before);
  if (!options.kill_daemon) {
    expect(kill(daemon->pid(), 0) == 0, "the daemon has died");
    expect_same("sessregd", daemon_pid, daemon_before);
  }
  return faults_found == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.seed = std::random_device()();
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    std::uint64_t* number = nullptr;
    if (word == "--logins") number = &options.logins;
    if (word == "--workers") number = &options.workers;
    if (word == "--seed") number = &options.seed;
    if (word == "--kill-daemon") {
      options.kill_daemon = true;
    } else if (number != nullptr && i + 1 < argc && sscanf(argv[i + 1], "%" SCNu64, number) == 1) {
      ++i;
    } else {
      fprintf(stderr, "usage: %s [--logins N] [--workers N] [--seed N] [--kill-daemon]\n", argv[0]);
      return 2;
    }
  }
  const bool given = options.logins != 0;
  if (!given) options.logins = !is_thorough() ? 10'000 : options.kill_daemon ? 20'000 : 100'000;
  printf("seed %" PRIu64 "\n", options.seed);
  fflush(stdout);
  const int result = run(options);
  puts(given           ? "as many as asked for"
       : is_thorough() ? "the full bound"
                       : "the default bound: more with SESSREG_THOROUGH=1");
  return result;
}
