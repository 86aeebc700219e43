#include "common/socket_path.h"

#include <stdlib.h>

namespace sessreg {

std::string default_socket_path() {
  const char* const chosen = secure_getenv("SESSREG_SOCKET");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/run/sessreg/sessregd.sock";
}

}  // namespace sessreg
