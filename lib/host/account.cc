#include "host/account.h"

#include <errno.h>
#include <pwd.h>

#include <array>
#include <span>
#include <vector>

namespace sessreg {
namespace {

// Returns an error number. *ret_found is nullptr if there is no such user.
int look_up(const char* name, std::span<char> buffer, passwd* entry, passwd** ret_found) {
  int error = 0;
  do {
    *ret_found = nullptr;
    error = getpwnam_r(name, entry, buffer.data(), buffer.size(), ret_found);
  } while (error == EINTR);
  return error;
}

}  // namespace

Account find_account(const std::string& typed) {
  constexpr std::size_t kMost_bytes = 1 << 20;  // a larger entry is a fault of the directory
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  while (look_up(typed.c_str(), buffer, &entry, &found) == ERANGE && buffer.size() < kMost_bytes)
    buffer.resize(buffer.size() * 4);
  if (found == nullptr) return {typed, std::nullopt, std::nullopt};
  return {found->pw_name, found->pw_uid, found->pw_gid};
}

std::optional<uid_t> find_uid(const char* typed) noexcept {
  std::array<char, 8192> buffer;
  passwd entry{};
  passwd* found = nullptr;
  look_up(typed, buffer, &entry, &found);
  if (found == nullptr) return std::nullopt;
  return found->pw_uid;
}

}  // namespace sessreg
