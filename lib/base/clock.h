// The clocks. CLOCK_BOOTTIME decides (it cannot be set); CLOCK_REALTIME is only shown.
#pragma once

#include <time.h>

#include <cstdint>

namespace sessreg {

struct Now {
  std::uint64_t boottime_ms;
  std::int64_t realtime_ms;
};

inline std::int64_t clock_ms(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000;
}

inline std::uint64_t boottime_ms() {
  return static_cast<std::uint64_t>(clock_ms(CLOCK_BOOTTIME));
}

inline Now now() {
  return {boottime_ms(), clock_ms(CLOCK_REALTIME)};
}

// Cheap (about 5 ns) and at most a few milliseconds late. Stands still
// while the machine is suspended.
inline std::uint64_t coarse_ms() {
  return static_cast<std::uint64_t>(clock_ms(CLOCK_MONOTONIC_COARSE));
}

}  // namespace sessreg
