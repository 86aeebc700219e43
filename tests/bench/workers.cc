#include "workers.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "machine.h"

namespace bench {
namespace {

constexpr int kPatience_ms = 120'000;

struct Command {
  std::size_t task;
  unsigned processes;
  std::uint64_t iterations;
  std::uint32_t turn;
};
struct Times {
  std::uint64_t began_ns, ended_ns, cpu_ns;
};

template <class T>
bool put(int socket, const T& value) {
  return send(socket, &value, sizeof value, MSG_NOSIGNAL) == sizeof value;
}
template <class T>
T take(int socket) {
  pollfd wait_for{socket, POLLIN, 0};
  T value{};
  if (poll(&wait_for, 1, kPatience_ms) != 1 ||
      recv(socket, &value, sizeof value, 0) != sizeof value)
    throw std::runtime_error("a worker died or hangs");
  return value;
}

}  // namespace

Workers::Workers(unsigned count, const Tasks& tasks, const std::string& directory) : tasks_(tasks) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::runtime_error("mmap");
  arrived_ = new (page) std::atomic<std::uint32_t>(0);
  const pid_t parent = getpid();
  for (unsigned i = 0; i < count; ++i) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
      throw std::runtime_error("socketpair");
    fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("fork");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      for (const Worker& other : workers_)
        close(other.socket);
      close(ends[0]);
      serve(i, ends[1], tasks, directory);
    }
    close(ends[1]);
    workers_.push_back({pid, ends[0]});
  }
  for (const Worker& worker : workers_)
    take<Times>(worker.socket);  // attached
}

Workers::~Workers() {
  for (const Worker& worker : workers_) {
    close(worker.socket);  // which ends it; unless it hangs
    kill(worker.pid, SIGKILL);
    waitpid(worker.pid, nullptr, 0);
  }
  munmap(arrived_, 4096);
}

Slice Workers::run(std::size_t task, unsigned processes, std::uint64_t iterations) {
  turn_ += processes;
  for (unsigned i = 0; i < processes; ++i)
    if (!put(workers_[i].socket, Command{task, processes, iterations, turn_}))
      throw std::runtime_error(tasks_[task]->name() + ": a worker died");
  struct Core {
    std::uint64_t began_ns = ~std::uint64_t{0}, ended_ns = 0, cpu_ns = 0;
  };
  std::vector<Core> busy(std::min(processes, cores()));
  Core all;
  for (unsigned i = 0; i < processes; ++i) {
    const auto times = take<Times>(workers_[i].socket);
    for (Core* sum : {&all, &busy[i % busy.size()]}) {
      sum->began_ns = std::min(sum->began_ns, times.began_ns);
      sum->ended_ns = std::max(sum->ended_ns, times.ended_ns);
      sum->cpu_ns += times.cpu_ns;
    }
  }
  Slice slice;
  slice.ns = static_cast<double>(all.ended_ns - all.began_ns) / static_cast<double>(iterations);
  if (tasks_[task]->is_cpu_bound(processes))
    for (const Core& core : busy)
      slice.lost = std::max(slice.lost, 1 - static_cast<double>(core.cpu_ns) /
                                                static_cast<double>(core.ended_ns - core.began_ns));
  return slice;
}

void Workers::wait_for_others(unsigned processes, std::uint32_t turn) const {
  arrived_->fetch_add(1, std::memory_order_acq_rel);
  // The wait is short, since all were told at once; with fewer cores than workers, let them come.
  while (static_cast<std::int32_t>(arrived_->load(std::memory_order_acquire) - turn) < 0)
    if (processes > cores()) sched_yield();
}

void Workers::serve(unsigned index, int socket, const Tasks& tasks, const std::string& directory) {
  try {
    pin_to_core(index);
    for (const auto& task : tasks)
      task->attach();
    populate_mappings(directory);
    put(socket, Times{});
    Random random(wall_ns() * 8 + index);
    for (Command command; recv(socket, &command, sizeof command, 0) == sizeof command;) {
      // What ran before left the caches and the address translations to others.
      tasks[command.task]->run(command.iterations / 3, random);
      wait_for_others(command.processes, command.turn);
      const std::uint64_t began_ns = wall_ns(), cpu_before_ns = cpu_ns();
      tasks[command.task]->run(command.iterations, random);
      const std::uint64_t cpu_after_ns = cpu_ns();
      put(socket, Times{began_ns, wall_ns(), cpu_after_ns - cpu_before_ns});
    }
    _exit(0);
  } catch (const std::exception& e) {
    fprintf(stderr, "worker %u: %s\n", index, e.what());
    _exit(1);
  }
}

}  // namespace bench
