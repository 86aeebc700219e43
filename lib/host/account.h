// The system's account of a user. Does not use pam_modutil_getpwnam, which keeps every answer in
// the PAM handle, and retries that two thousand million times when there is no memory.
//
// Thread safety: keeps no state. Asks the name service, which may wait for a server.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace sessreg {

struct Account {
  std::string name;  // as the limits know it; it may be typed in more than one way
  std::optional<std::uint32_t> uid;
  std::optional<unsigned> primary_group;
};

// The name as typed and nothing else if the system does not know the user or cannot tell now.
Account find_account(const std::string& typed);

// The name of the account; the number where the system has none, or cannot tell now.
std::string name_of_uid(uid_t uid);

// What the system says of a name.
struct NameAnswer {
  enum class Known {
    no,
    yes,
    cannot_tell,  // a directory did not answer
  };
  Known known = Known::no;
  std::string spelling;  // as the system has it, which may be another than was asked for
};
NameAnswer ask_for_user(const std::string& name);
NameAnswer ask_for_group(const std::string& name);

// The same for when there is no memory: only the uid.
std::optional<uid_t> find_uid(const char* typed) noexcept;

}  // namespace sessreg
