// What a piece of work has cost, and how long to rest after it: what costs much is done less often,
// so that however many sessions there are, the daemon takes its share of a processor and no more.
#pragma once

#include <chrono>
#include <cstdint>

namespace sessreg {

// How many times as long as the work the rest is.
inline constexpr std::uint64_t kRestOfLooking = 20;  // a twentieth of a processor
inline constexpr std::uint64_t kRestOfEnding = 4;    // a fifth

class Stopwatch {
 public:
  std::uint64_t us() const {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_).count());
  }
  std::uint64_t rest_us(std::uint64_t times) const { return times * us(); }
  std::uint64_t rest_ms(std::uint64_t times) const { return rest_us(times) / 1000; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point began_ = Clock::now();
};

}  // namespace sessreg
