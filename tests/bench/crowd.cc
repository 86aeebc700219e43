#include "crowd.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/config.h"
#include "machine.h"
#include "registry/registry.h"
#include "server.h"
#include "tmpfs_dir.h"
#include "varlink/write.h"

namespace bench {
namespace {

using namespace sessreg;

// Processes that sleep, until the object's end.
class Sleepers {
 public:
  explicit Sleepers(std::uint32_t number) {
    fflush(nullptr);
    for (std::uint32_t i = 0; i < number; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        for (;;)
          pause();
      }
      if (pid < 0) throw std::runtime_error("cannot start so many processes");
      pids_.push_back(pid);
    }
  }
  ~Sleepers() {
    for (const pid_t pid : pids_)
      kill(pid, SIGKILL);
    for (const pid_t pid : pids_)
      waitpid(pid, nullptr, 0);
  }
  Sleepers(const Sleepers&) = delete;
  Sleepers& operator=(const Sleepers&) = delete;

  const std::vector<pid_t>& pids() const { return pids_; }

 private:
  std::vector<pid_t> pids_;
};

class CrowdedSite {
 public:
  explicit CrowdedSite(std::uint32_t capacity) {
    std::ofstream(conf()) << "registry = " << dir_ / "site.reg"
                          << "\nkey_file = " << dir_ / "site.key"
                          << "\ncapacity = " << capacity << "\n";
    config_ = *load_config("default", conf());
    auto registry = Registry::open_or_create(config_.registry, *host_identity(), capacity);
    if (!registry) throw std::runtime_error(registry.error().what);
    registry_.emplace(std::move(*registry));
    registry_->publish_limit(registry_->published_limit(), limit());
  }

  std::string conf() const { return dir_ / "site.conf"; }
  std::string path(const char* name) const { return dir_ / name; }

  SlotRef open(pid_t pid) {
    const auto stat = read_process_stat(pid);
    if (!stat) throw std::runtime_error("a process has gone");
    Login login;
    login.user = "user" + std::to_string(pid);
    login.uid = static_cast<std::uint32_t>(pid);
    login.service = "sshd";
    login.host = "192.0.2.7";
    login.self = {pid, stat->start_ticks};
    login.parent = self_id();
    const Admission opened = registry_->admit(login, Terms(limit()), SystemProcesses());
    if (!opened.admitted()) throw std::runtime_error("the site is full");
    return opened.ref;
  }
  void close(SlotRef ref) { registry_->release(ref); }

 private:
  ConfiguredLimit limit() const { return {config_.identity, config_.sessions_limit}; }

  TmpfsDir dir_;
  Config config_;
  std::optional<Registry> registry_;
};

std::uint64_t own_memory_kb(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; in >> word;) {
    std::uint64_t kb = 0;
    if (word == "RssAnon:" && in >> kb) return kb;
  }
  throw std::runtime_error("how much memory the daemon has is not known");
}

std::uint64_t processor_ns(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/schedstat");
  std::uint64_t ns = 0;
  in >> ns;
  return ns;
}

struct Answers {
  double longest_ns = 0;
  double one_in_a_thousand_ns = 0;  // as long as this, or longer
};

// Asks all the time, for so long, while a session comes or goes each 100 ms.
Answers ask(CrowdedSite& site, pid_t guest, int fd, std::uint64_t for_ns) {
  std::string message;
  varlink::append_call(message, "org.varlink.service.GetInfo", varlink::Json::object());
  std::vector<double> times;
  std::optional<SlotRef> session;
  const std::uint64_t began_ns = wall_ns();
  for (std::uint64_t now_ns = began_ns, changed_ns = began_ns; now_ns - began_ns < for_ns;) {
    send_all(fd, message);
    while (!has_more(fd)) {
    }
    receive(fd);
    const std::uint64_t then_ns = wall_ns();
    times.push_back(static_cast<double>(then_ns - now_ns));
    if (then_ns - changed_ns > 100'000'000) {
      if (session) {
        site.close(*session);
        session.reset();
      } else {
        session = site.open(guest);
      }
      changed_ns = then_ns;
    }
    now_ns = wall_ns();
  }
  if (session) site.close(*session);
  std::sort(times.begin(), times.end());
  return {times.back(), times[times.size() - 1 - times.size() / 1000]};
}

}  // namespace

void measure_crowd(Effort effort, Goals& goals) {
  fprintf(stderr, "a crowd\n");
  const bool full = effort == Effort::full, quick = effort == Effort::quick;
  const std::uint32_t number = full ? 10'000 : quick ? 1'000 : 20;
  const std::uint64_t for_ns = full ? 20'000'000'000 : quick ? 5'000'000'000 : 200'000'000;
  CrowdedSite site(number + 100);
  const Sleepers sleepers(number + 1);
  const Server daemon([&] {
    pin_to_core(1);
    become_daemon(site.conf(), site.path("socket"), site.path("log"));
  });
  const Fd connection = connect_to(site.path("socket"));
  ask(site, sleepers.pids().back(), connection.get(), for_ns / 10);
  const std::uint64_t before_kb = own_memory_kb(daemon.pid());
  for (std::uint32_t i = 0; i < number; ++i)
    site.open(sleepers.pids()[i]);
  ask(site, sleepers.pids().back(), connection.get(), for_ns / 5);  // by then it knows all of them
  const std::uint64_t memory = (own_memory_kb(daemon.pid()) - before_kb) * 1024 / number;

  const std::uint64_t busy_ns = processor_ns(daemon.pid()), began_ns = wall_ns();
  usleep(static_cast<useconds_t>(for_ns / 1000));
  const double share = static_cast<double>(processor_ns(daemon.pid()) - busy_ns) /
                       static_cast<double>(wall_ns() - began_ns);
  const Answers answers = ask(site, sleepers.pids().back(), connection.get(), for_ns);

  const double memory_bytes = static_cast<double>(memory);
  printf(
      "sessregd with %s sessions, each of a process: %.1f %% of a core while nothing happens; %s "
      "bytes of "
      "its own memory for each. Asked all the time while every 100 ms a session came or went, it "
      "kept a "
      "caller waiting for %s at the longest; one time in a thousand for %s or more.\n\n",
      count_text(number).c_str(), 100 * share, count_text(memory).c_str(),
      time_text(answers.longest_ns).c_str(), time_text(answers.one_in_a_thousand_ns).c_str());
  goals.at_most_ns("the longest answer of sessregd, " + count_text(number) + " sessions",
                   {answers.longest_ns, answers.longest_ns, answers.longest_ns}, 20e6);
  goals.at_most("own memory of sessregd, for each session / 1 KB",
                {memory_bytes / 1024, memory_bytes / 1024, memory_bytes / 1024}, 1.0);
}

}  // namespace bench
