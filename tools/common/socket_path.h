// Where the daemon listens.
#pragma once

#include <string>

namespace sessreg {

// $SESSREG_SOCKET, else /run/sessreg/sessregd.sock.
std::string default_socket_path();

}  // namespace sessreg
