#include "host/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "host/process_table.h"
#include "host/signals.h"

using namespace sessreg;

TEST_CASE("this process and its parent are alive and have a start time") {
  const SystemProcesses processes;
  CHECK(self_id().pid == getpid());
  CHECK(self_id().start_ticks != 0);
  CHECK(processes.life(self_id()) == Life::alive);
  CHECK(processes.life(parent_id()) == Life::alive);
  CHECK(processes.live_sids().contains(getsid(0)));
}

TEST_CASE("the same pid with another start time is somebody else") {
  ProcessId other = self_id();
  ++other.start_ticks;
  CHECK(SystemProcesses().life(other) == Life::reused);
}

TEST_CASE("a signal for a process that has ended does not reach whoever has its pid now") {
  Child child([] { return pause(); });
  const ProcessId now{child.pid(), read_process_stat(child.pid())->start_ticks};
  const ProcessId ended{now.pid, now.start_ticks - 1};
  CHECK_FALSE(signal_process(ended, SIGKILL));
  CHECK(SystemProcesses().life(now) == Life::alive);
  CHECK(signal_process(now, SIGKILL));
  child.wait();
}

TEST_CASE("a start time that is not known is no proof of death") {
  CHECK(SystemProcesses().life({getpid(), 0}) == Life::alive);
}

TEST_CASE("a zombie is dead, and so is nobody") {
  const SystemProcesses processes;
  Child child([] { return pause(); });
  const ProcessId id{child.pid(), read_process_stat(child.pid())->start_ticks};
  CHECK(processes.life(id) == Life::alive);
  child.kill_only();
  siginfo_t info{};
  REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
  CHECK(processes.life(id) == Life::gone);
  child.wait();
  CHECK(processes.life(id) == Life::gone);
  CHECK(processes.life({0, 0}) == Life::gone);
}

TEST_CASE("a process whose main thread has ended is alive while another thread runs") {
  Pipe ready;
  Child child([&] {
    std::thread([&] {
      ready.put('x');
      pause();
    }).detach();
    syscall(SYS_exit, 0);  // this thread alone, without unwinding
    return 0;
  });
  REQUIRE(ready.get() == 'x');
  auto stat = read_process_stat(child.pid());
  for (int i = 0; i < 1000 && stat && stat->state != 'Z'; ++i) {
    usleep(10'000);
    stat = read_process_stat(child.pid());
  }
  REQUIRE(stat);
  CHECK(stat->state == 'Z');
  CHECK(SystemProcesses().life({child.pid(), stat->start_ticks}) == Life::alive);
}

TEST_CASE("a name full of parentheses and spaces does not confuse the reading of stat") {
  Pipe ready;
  Child child([&] {
    prctl(PR_SET_NAME, ") Z 1 (x) R", 0, 0, 0);
    ready.put('x');
    return pause();
  });
  REQUIRE(ready.get() == 'x');
  const auto stat = read_process_stat(child.pid());
  REQUIRE(stat);
  CHECK(stat->ppid == getpid());
  CHECK(stat->session == getsid(0));
}

TEST_CASE("processes left with a dead leader's sid are found") {
  Pipe ready;
  Child leader([&] {
    setsid();
    if (fork() == 0) {
      alarm(60);
      ready.put('x');
      pause();
      _exit(0);
    }
    pause();
    return 0;
  });
  REQUIRE(ready.get() == 'x');
  const pid_t sid = leader.pid();
  pid_t rest = 0;
  const auto pids = all_pids();
  REQUIRE(pids);
  for (const pid_t pid : *pids) {
    const auto stat = read_process_stat(pid);
    if (stat && stat->session == sid && pid != sid) rest = pid;
  }
  REQUIRE(rest > 0);
  leader.kill_and_wait();
  CHECK(SystemProcesses().live_sids().contains(sid));
  kill(rest, SIGKILL);
  for (int i = 0; i < 200 && SystemProcesses().live_sids().contains(sid); ++i)
    usleep(10'000);
  CHECK_FALSE(SystemProcesses().live_sids().contains(sid));
}

TEST_CASE("a table that is read in steps has whoever was there all the time") {
  const Child child([] { return pause(); });
  ProcessTableReader reader;
  int steps = 0;
  while (!reader.read_some([] { return true; }))
    ++steps;
  CHECK(steps >= 2);
  const ProcessTable table = reader.take();
  REQUIRE(table.find(self_id()) != nullptr);
  REQUIRE(table.find(child.pid()) != nullptr);
  CHECK(table.find(child.pid())->parent == getpid());
  CHECK(table.closure(std::array{self_id()}, 0).size() >= 2);
}
