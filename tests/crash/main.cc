// Runs the crash tests on one processor, and prints at the end how many points were tried. Exits
// with 77 (skipped) where processes cannot be traced or a sanitizer has put its own instructions
// between the registry's.

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "../support/catch_runner.h"
#include "explore.h"
#include "tracee.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SESSREG_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SESSREG_SANITIZED
#endif
#endif

int main(int argc, char** argv) {
#ifdef SESSREG_SANITIZED
  static_cast<void>(argc), static_cast<void>(argv);
  puts("SKIP: built with a sanitizer");
  return 77;
#else
  // Every symbol is bound before anything is traced: a child that binds one goes another way than
  // the next, whose parent has bound it meanwhile.
  if (getenv("LD_BIND_NOW") == nullptr) {
    setenv("LD_BIND_NOW", "1", 1);
    execv("/proc/self/exe", argv);
  }
  // Tracer and child take turns: on one processor the change costs half of what it does on two.
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<std::size_t>(std::max(sched_getcpu(), 0)), &here);
  sched_setaffinity(0, sizeof here, &here);
  if (const std::string why = Tracee::unavailable(); !why.empty()) {
    printf("SKIP: %s\n", why.c_str());
    return 77;
  }
  const int result = run_catch(argc, argv);
  // What has failed stays the last that is read.
  if (result == 0) print_table(all_tallies());
  return result;
#endif
}
