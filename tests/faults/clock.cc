// For LD_PRELOAD: CLOCK_REALTIME is off by FAULTS_CLOCK_S seconds, as if it had been set.
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

time_t off_s() {
  const char* text = getenv("FAULTS_CLOCK_S");
  return text == nullptr ? 0 : atol(text);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const auto result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += off_s();
  return static_cast<int>(result);
}

time_t time(time_t* ret) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (ret != nullptr) *ret = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* ret, void* /*zone*/) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  *ret = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

}  // extern "C"
#pragma GCC visibility pop
