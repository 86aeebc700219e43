// What a piece of work cost, and how long to rest after it: costly work is done less often, so that
// the daemon takes its share of a processor and no more, however many sessions there are. Only its
// own processor time counts: on a busy host the daemon is not late because of what others do.
#pragma once

#include <time.h>

#include <cstdint>

namespace sessreg {

// How many times longer the rest is than the work.
inline constexpr std::uint64_t kRestOfLooking = 20;  // a twentieth of a processor
inline constexpr std::uint64_t kRestOfEnding = 4;

class Stopwatch {
 public:
  std::uint64_t us() const { return used_us() - began_us_; }
  std::uint64_t rest_us(std::uint64_t times) const { return times * us(); }
  std::uint64_t rest_ms(std::uint64_t times) const { return rest_us(times) / 1000; }

 private:
  static std::uint64_t used_us() {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<std::uint64_t>(used.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(used.tv_nsec) / 1000;
  }
  std::uint64_t began_us_ = used_us();
};

}  // namespace sessreg
