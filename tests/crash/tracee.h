// A forked child that is run one instruction at a time, to be killed or left standing between any
// two of them.
//
// Reaching step k by k single steps makes a test quadratic (some 40,000 steps a second). The way to
// an instruction that the operation has executed seldom before is shorter: a breakpoint on it, and
// a single step only to pass each earlier time. So trace() records the addresses once, and go_to()
// takes the cheapest way that ends in single steps to step k. The child is forked from the same
// image into the same memory each time, so the way is the same; go_to() compares the address where
// it arrives.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

// What the child does.
struct Script {
  std::function<void()> enter;  // before tracing: reading /proc, building records
  std::function<int()> act;     // traced; what it returns (0 to 100) is the child's exit status
};

// The way through an operation. steps[k]: the address of the instruction that step k + 1 will
// execute; the last one is the end.
struct Path {
  struct Jump {
    std::size_t to = 0;     // the step before which the breakpoint is met
    std::size_t times = 0;  // for the how-manieth time; 0: no breakpoint, but from the start
  };
  std::vector<std::uintptr_t> steps;
  std::vector<Jump> jump;  // the best one for each step

  std::size_t length() const { return steps.size() - 1; }
};

class Tracee {
 public:
  // Forks, and returns when the child stands before the first instruction of script.act.
  explicit Tracee(const Script& script);
  ~Tracee();
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;

  pid_t pid() const { return pid_; }
  std::uintptr_t address() const;
  // True: `act` has returned. The child still lives.
  bool at_end() const;
  // One instruction. A call into the vdso counts as one: it touches nothing of ours, and in single
  // steps it would begin again at each tick of the clock that it reads.
  void step();
  // True: the instruction to be executed next is a system call.
  bool at_system_call() const;
  // True: the instruction to be executed next reads or writes there; never false if it does, but
  // for string instructions. Addresses are the child's.
  bool at_access_to(std::span<const std::byte> memory) const;

  // Steps to the end and returns the way there; `visit` is called before each step and at the end.
  Path trace(const std::function<void()>& visit);
  // Goes to step k of `path`. False: the child came another way, or ended; use another one.
  bool go_to(const Path& path, std::size_t k);

  // SIGKILL, and waits until nothing is left of the child, not even a zombie.
  void kill();
  // Lets the child go on untraced to its end; what `act` returned. Throws if it does not end so.
  int finish();

  // Empty: this machine lets processes be traced; else why not.
  static std::string unavailable();

 private:
  void wait_for_trap();
  bool run_to(std::uintptr_t address, std::size_t times);

  pid_t pid_ = -1;
};

// The child ended or was stopped where it should not have been: the test itself is at fault, or the
// operation crashed.
class TraceeLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
