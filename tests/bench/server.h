// A server that is measured: a process of its own, and what its client does over a unix socket.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "base/fd.h"

namespace bench {

// A process that ends with the object, in the process that made it.
class Server {
 public:
  // `ends_by`: the signal that ends it.
  explicit Server(const std::function<void()>& serve, int ends_by = SIGKILL);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  pid_t pid() const { return pid_; }

 private:
  const pid_t owner_;
  const int ends_by_;
  pid_t pid_;
};

// Turns this process into sessregd; does not return.
void become_daemon(const std::string& conf, const std::string& socket, const std::string& log);

// Waits until somebody listens there.
sessreg::Fd connect_to(const std::string& path);

void send_all(int fd, const std::string& message);
// Up to the NUL that ends a message, and of the next ones what has come with it.
std::string receive(int fd);
// Whether receive() would not wait for its first byte.
bool has_more(int fd);

}  // namespace bench
