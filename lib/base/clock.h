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

// CLOCK_REALTIME against CLOCK_BOOTTIME: another number only once the former was set.
inline std::int64_t clock_offset_ms(const Now& at) {
  return at.realtime_ms - static_cast<std::int64_t>(at.boottime_ms);
}
// A clock that was set, not one that is being adjusted.
inline constexpr std::int64_t kClockStep_ms = 2'000;

// Cheap (about 5 ns) and at most a few milliseconds late. Stands still
// while the machine is suspended.
inline std::uint64_t coarse_ms() {
  return static_cast<std::uint64_t>(clock_ms(CLOCK_MONOTONIC_COARSE));
}

}  // namespace sessreg
