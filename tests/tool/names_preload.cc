// Loaded before libc, so that a test has a directory of names of its own: the user alice may be asked
// for by more names than one, and nothing can be said of those that are unreachable.
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

namespace {

constexpr unsigned kId = 4711;
char alice[] = "alice", staffers[] = "staffers", nothing[] = "";

bool is_any(const char* name, const char* a, const char* b, const char* c) {
  return strcmp(name, a) == 0 || strcmp(name, b) == 0 || strcmp(name, c) == 0;
}

}  // namespace

extern "C" {

int getpwnam_r(const char* name, passwd* entry, char* buffer, size_t size, passwd** found) {
  *found = nullptr;
  if (strcmp(name, "unreachable") == 0) return ECONNREFUSED;
  if (is_any(name, "alice", "ALICE", "CORP\\alice")) {
    *entry = {alice, nothing, kId, kId, nothing, nothing, nothing};
    *found = entry;
    return 0;
  }
  static const auto libc = reinterpret_cast<decltype(getpwnam_r)*>(dlsym(RTLD_NEXT, "getpwnam_r"));
  return libc(name, entry, buffer, size, found);
}

int getgrnam_r(const char* name, group* entry, char* buffer, size_t size, group** found) {
  static char* no_members[] = {nullptr};
  *found = nullptr;
  if (strcmp(name, "unreachable") == 0) return ECONNREFUSED;
  if (is_any(name, "staffers", "STAFFERS", "CORP\\staffers")) {
    *entry = {staffers, nothing, kId, no_members};
    *found = entry;
    return 0;
  }
  static const auto libc = reinterpret_cast<decltype(getgrnam_r)*>(dlsym(RTLD_NEXT, "getgrnam_r"));
  return libc(name, entry, buffer, size, found);
}
}
