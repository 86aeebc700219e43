// The system's account of a user. Not for the PAM module, which asks by PAM's own function.
//
// Thread safety: keeps no state. Asks the name service, which may wait for a server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sessreg {

struct Account {
  std::string name;  // as the limits know it: names may be typed in more than one way
  std::optional<std::uint32_t> uid;
  std::optional<unsigned> primary_group;
};

// As typed and without the rest, if the system does not know the user.
Account find_account(const std::string& typed);

}  // namespace sessreg
