// The system's account of a user. Not by pam_modutil_getpwnam, which keeps every answer in the PAM
// handle, and without memory tries that two thousand million times.
//
// Thread safety: keeps no state. Asks the name service, which may wait for a server.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace sessreg {

struct Account {
  std::string name;  // as the limits know it: names may be typed in more than one way
  std::optional<std::uint32_t> uid;
  std::optional<unsigned> primary_group;
};

// As typed and without the rest, if the system does not know the user, or nobody can tell now.
Account find_account(const std::string& typed);

// The same where there is no memory to be had: the uid alone.
std::optional<uid_t> find_uid(const char* typed) noexcept;

}  // namespace sessreg
