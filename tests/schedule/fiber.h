// A stackful coroutine: an actor of a schedule that stops before each of its shared accesses. One
// thread runs them all, so that a schedule costs microseconds, and some hundred thousand can be
// tried. ucontext(3); told to the address sanitizer, which otherwise takes the stacks for lost.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Begins anew. What was left of an earlier body is forgotten without unwinding, as the stack of a
  // killed process is: a body must own nothing when it calls yield().
  void start(void (*body)(void*), void* argument);
  // Runs the body until it yields or returns. False: it has returned.
  bool resume();
  // From the body: back to resume().
  void yield();

 private:
  static constexpr std::size_t kStackBytes = 256 * 1024;
  static void entry(unsigned high, unsigned low);

  std::unique_ptr<char[]> stack_;
  ucontext_t outside_{}, inside_{};
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool done_ = true;
  const void* outside_stack_ = nullptr;  // for the address sanitizer
  std::size_t outside_stack_bytes_ = 0;
};
