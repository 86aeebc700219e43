#include "machine.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#ifdef __clang__
#define COMPILER "clang++ "
#else
#define COMPILER "g++ "
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace bench {
namespace {

std::uint64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec);
}

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

unsigned cores() {
  static const auto count = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  return count;
}

void pin_to_core(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core % cores(), &set);
  // Where that is forbidden (a container with fewer cores), the scheduler decides.
  sched_setaffinity(0, sizeof set, &set);
}

std::uint64_t wall_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}
std::uint64_t cpu_ns() {
  return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void wait_for_idle_machine() {
  for (int attempt = 0; attempt < 20; ++attempt, usleep(5000)) {
    // proc(5): three averages, then runnable/existing; this process is one of the runnable.
    std::ifstream in("/proc/loadavg");
    double average = 0;
    unsigned runnable = 0;
    if (!(in >> average >> average >> average >> runnable) || runnable <= 1) return;
  }
}

void populate_mappings(const std::string& directory) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(directory + "/") == std::string::npos || line.find(" rw-s") == std::string::npos)
      continue;
    std::size_t end_of_first = 0;
    const std::uintptr_t begin = std::stoull(line, &end_of_first, 16);
    const std::uintptr_t end = std::stoull(line.substr(end_of_first + 1), nullptr, 16);
    // Kernels before 5.14 refuse; then warming up does it, more slowly.
    void* mapping = reinterpret_cast<void*>(begin);  // NOLINT: the kernel's number
    madvise(mapping, end - begin, MADV_POPULATE_WRITE);
  }
}

std::string machine_facts() {
  utsname kernel{};
  uname(&kernel);
  std::ostringstream out;
  out << "Processor: " << processor() << ", " << cores() << " cores; Linux " << kernel.release
      << "; " COMPILER << __VERSION__ << ", optimized, assertions off.\n";
  return out.str();
}

}  // namespace bench
