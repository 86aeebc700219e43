// Making a listening socket, and raising the limit of descriptors.

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "varlink/server.h"

namespace sessreg::varlink {
namespace {

Fd new_socket() {
  return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Nothing but an abandoned socket may be removed.
std::optional<Error> make_way(const std::string& path, const sockaddr_un& address) {
  struct stat there;
  if (lstat(path.c_str(), &there) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return system_error(errno, "cannot look at " + path);
  }
  if (!S_ISSOCK(there.st_mode))
    return Error{Errc::system, path + " is not a socket: move it out of the way"};
  const Fd probe = new_socket();
  if (!probe) return system_error(errno, "cannot make a socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN)
    return Error{Errc::system, "somebody listens on " + path + " already: stop that service first"};
  if (errno != ECONNREFUSED) return system_error(errno, "cannot tell whether " + path + " is used");
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return system_error(errno, "cannot remove the abandoned " + path);
  return std::nullopt;
}

}  // namespace

Result<Fd> make_listening_socket(const std::string& path, mode_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{Errc::system, "a socket's path must have 1 to " +
                                   std::to_string(sizeof address.sun_path - 1) + " bytes: " + path};
  memcpy(address.sun_path, path.data(), path.size());
  if (auto error = make_way(path, address)) return std::move(*error);
  Fd made = new_socket();
  if (!made) return system_error(errno, "cannot make a socket");
  // Nobody can connect before listen().
  if (bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_error(errno, "cannot bind a socket to " + path);
  if (chmod(path.c_str(), mode) != 0)
    return system_error(errno, "cannot set the access to " + path);
  if (::listen(made.get(), SOMAXCONN) != 0) return system_error(errno, "cannot listen on " + path);
  return made;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace sessreg::varlink
