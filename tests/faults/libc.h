// Faults of this very process: functions of libc that this program puts in front of libc's own, for
// itself, libpam and the module. Each behaves as libc's until it is told otherwise.
//
// Thread safety: none, as they are set by a test and used by the phase it calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faults {

// What the module sent to the system's log since the last call: one string a line.
std::vector<std::string> take_log();

// As long as it lives, looking up a user or a user's groups fails with that error (0: no such
// entry), or never returns.
class FailingNames {
 public:
  explicit FailingNames(int error);
  ~FailingNames();
  FailingNames(const FailingNames&) = delete;
  FailingNames& operator=(const FailingNames&) = delete;
};
inline constexpr int kHangs = -1;

// As long as it lives, CLOCK_REALTIME is so far off.
class SetClock {
 public:
  explicit SetClock(std::int64_t seconds);
  ~SetClock();
  SetClock(const SetClock&) = delete;
  SetClock& operator=(const SetClock&) = delete;
};

// As long as it lives, no allocation of more than 2 MB in a file is made without an interruption:
// some kernels give it up at any signal.
class ImpatientKernel {
 public:
  ImpatientKernel();
  ~ImpatientKernel();
  ImpatientKernel(const ImpatientKernel&) = delete;
  ImpatientKernel& operator=(const ImpatientKernel&) = delete;
};

// As long as it lives, open(2) says EMFILE once it has been called `good` times, as where another
// thread takes the descriptors.
class FailingOpen {
 public:
  explicit FailingOpen(unsigned good);
  ~FailingOpen();
  FailingOpen(const FailingOpen&) = delete;
  FailingOpen& operator=(const FailingOpen&) = delete;
  static bool has_failed();
};

// As long as it lives, malloc and its kin fail once they have been called `good` times: `once`, or
// from then on. Where a sanitizer brings its own malloc, nothing fails.
class FailingMemory {
 public:
  enum class How { once, from_then_on };
  FailingMemory(unsigned good, How how);
  ~FailingMemory();
  FailingMemory(const FailingMemory&) = delete;
  FailingMemory& operator=(const FailingMemory&) = delete;
  // Whether any call did fail.
  static bool has_failed();
};

}  // namespace faults
