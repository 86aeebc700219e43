#include "libc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <optional>
#include <string_view>
#include <utility>

#include "../support/sanitized.h"

namespace faults {
namespace {

std::vector<std::string> log;
std::optional<int> names_error;
std::int64_t clock_is_off_s = 0;
bool is_impatient = false;
std::optional<unsigned> opens_left;
bool open_has_failed = false;

struct {
  bool armed = false;
  bool failed = false;
  unsigned good = 0;
  FailingMemory::How how = FailingMemory::How::once;
} memory;

// False: this allocation is to fail.
[[maybe_unused]] bool may_allocate() {
  if (!memory.armed) return true;
  if (memory.good > 0) {
    --memory.good;
    return true;
  }
  if (memory.failed && memory.how == FailingMemory::How::once) return true;
  memory.failed = true;
  return false;
}

// libc's own; it is only asked for where nothing fails.
template <class Function>
Function* behind(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void write_log(const char* format, va_list arguments) {
  const bool was_armed = std::exchange(memory.armed, false);  // the test's own memory
  char line[8192];
  vsnprintf(line, sizeof line, format, arguments);
  // libpam has things to say of its own.
  if (std::string_view(line).starts_with("pam_sessreg(")) log.emplace_back(line);
  memory.armed = was_armed;
}

// Of a lookup; nullopt: ask libc.
std::optional<int> fails() {
  while (names_error == kHangs)
    pause();
  return names_error;
}

}  // namespace

std::vector<std::string> take_log() {
  return std::exchange(log, {});
}

FailingNames::FailingNames(int error) {
  names_error = error;
}
FailingNames::~FailingNames() {
  names_error.reset();
}

SetClock::SetClock(std::int64_t seconds) {
  clock_is_off_s = seconds;
}
SetClock::~SetClock() {
  clock_is_off_s = 0;
}

ImpatientKernel::ImpatientKernel() {
  is_impatient = true;
}
ImpatientKernel::~ImpatientKernel() {
  is_impatient = false;
}

FailingOpen::FailingOpen(unsigned good) {
  opens_left = good;
  open_has_failed = false;
}
FailingOpen::~FailingOpen() {
  opens_left.reset();
}
bool FailingOpen::has_failed() {
  return open_has_failed;
}

FailingMemory::FailingMemory(unsigned good, How how) {
  memory = {true, false, good, how};
}
FailingMemory::~FailingMemory() {
  memory.armed = false;
}
bool FailingMemory::has_failed() {
  return memory.failed;
}

}  // namespace faults

extern "C" {

void __syslog_chk(int /*priority*/, int /*flag*/, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  faults::write_log(format, arguments);
  va_end(arguments);
}

int getpwnam_r(const char* name, passwd* entry, char* buffer, size_t size, passwd** found) {
  if (const auto error = faults::fails()) {
    *found = nullptr;
    return *error;
  }
  static const auto libc = faults::behind<decltype(getpwnam_r)>("getpwnam_r");
  return libc(name, entry, buffer, size, found);
}

int getgrnam_r(const char* name, group* entry, char* buffer, size_t size, group** found) {
  if (const auto error = faults::fails()) {
    *found = nullptr;
    return *error;
  }
  static const auto libc = faults::behind<decltype(getgrnam_r)>("getgrnam_r");
  return libc(name, entry, buffer, size, found);
}

int getgrouplist(const char* user, gid_t group, gid_t* groups, int* count) {
  if (const auto error = faults::fails()) {
    errno = *error;
    return -1;
  }
  static const auto libc = faults::behind<decltype(getgrouplist)>("getgrouplist");
  return libc(user, group, groups, count);
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += faults::clock_is_off_s;
  return static_cast<int>(result);
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  if (faults::opens_left && *faults::opens_left == 0) {
    faults::open_has_failed = true;
    errno = EMFILE;
    return -1;
  }
  if (faults::opens_left) --*faults::opens_left;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int posix_fallocate(int fd, off_t from, off_t bytes) {
  if (faults::is_impatient && bytes > 2 << 20) return EINTR;
  return fallocate(fd, 0, from, bytes) == 0 ? 0 : errno;
}
#ifndef SESSREG_SANITIZED
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);

void* malloc(size_t size) noexcept {
  if (faults::may_allocate()) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}
void* calloc(size_t count, size_t size) noexcept {
  if (faults::may_allocate()) return __libc_calloc(count, size);
  errno = ENOMEM;
  return nullptr;
}
void* realloc(void* block, size_t size) noexcept {
  if (faults::may_allocate()) return __libc_realloc(block, size);
  errno = ENOMEM;
  return nullptr;
}
#endif

}  // extern "C"
