#include "account.h"

#include <errno.h>
#include <pwd.h>

#include <vector>

namespace sessreg {

Account find_account(const std::string& typed) {
  constexpr std::size_t kMaxBuffer = 1u << 20;
  std::vector<char> buffer(16384);
  for (;;) {
    passwd entry{};
    passwd* found = nullptr;
    const int error = getpwnam_r(typed.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error == ERANGE && buffer.size() < kMaxBuffer) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    if (error != 0 || found == nullptr) return {typed, std::nullopt, std::nullopt};
    return {found->pw_name, found->pw_uid, found->pw_gid};
  }
}

}  // namespace sessreg
