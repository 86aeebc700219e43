#include "race.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <vector>

#include "machine.h"

namespace bench {
namespace {

constexpr unsigned kPatience_s = 120;

struct Shared {
  std::atomic<std::uint32_t> arrived;
  std::atomic<std::uint32_t> admitted;
  Race result;
};

class Runner {
 public:
  Runner(Shared& shared, unsigned processes) : shared_(shared), processes_(processes) {}

  void run(unsigned index, unsigned rounds, unsigned room, const Contender& contender) {
    for (unsigned round = 0; round < rounds; ++round) {
      meet();
      const bool in = contender.log_in();
      if (in) shared_.admitted.fetch_add(1);
      meet();
      if (index == 0) {
        const std::uint32_t admitted = shared_.admitted.exchange(0);
        ++shared_.result.rounds;
        shared_.result.over += admitted > room;
        shared_.result.under += admitted < room;
      }
      if (in) contender.log_out();
    }
  }

 private:
  void meet() {
    turn_ += processes_;
    shared_.arrived.fetch_add(1);
    while (static_cast<std::int32_t>(shared_.arrived.load() - turn_) < 0)
      if (processes_ > cores()) sched_yield();
  }

  Shared& shared_;
  const std::uint32_t processes_;
  std::uint32_t turn_ = 0;
};

}  // namespace

Race race(unsigned processes, unsigned rounds, unsigned room,
          const std::function<Contender(unsigned index)>& make_contender) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::runtime_error("mmap");
  auto& shared = *new (page) Shared();
  fflush(nullptr);
  std::vector<pid_t> children;
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("fork");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      alarm(kPatience_s);  // where another died, nobody comes to meet
      try {
        pin_to_core(i);
        Runner(shared, processes).run(i, rounds, room, make_contender(i));
        _exit(0);
      } catch (const std::exception& e) {
        fprintf(stderr, "race: %s\n", e.what());
        _exit(1);
      }
    }
    children.push_back(pid);
  }
  bool failed = false;
  for (const pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    failed |= status != 0;
  }
  const Race result = shared.result;
  munmap(page, 4096);
  if (failed) throw std::runtime_error("race: a process died or hung");
  return result;
}

}  // namespace bench
