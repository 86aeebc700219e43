#include "server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace bench {

using sessreg::Fd;

Server::Server(const std::function<void()>& serve, int ends_by)
    : owner_(getpid()), ends_by_(ends_by) {
  fflush(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, ends_by);
  serve();
  _exit(1);
}

Server::~Server() {
  if (getpid() != owner_) return;  // a worker
  kill(pid_, ends_by_);
  waitpid(pid_, nullptr, 0);
}

void become_daemon(const std::string& conf, const std::string& socket, const std::string& log) {
  const Fd errors(open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  dup2(errors.get(), STDERR_FILENO);
  execl(BENCH_DAEMON, "sessregd", "--foreground", "--conf", conf.c_str(), "--socket",
        socket.c_str(), nullptr);
}

Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  for (int tried = 0; tried < 500; ++tried) {
    Fd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
      return connection;
    usleep(10'000);
  }
  throw std::runtime_error("nobody answers on " + path);
}

void send_all(int fd, const std::string& message) {
  for (std::size_t sent = 0; sent < message.size();) {
    const ssize_t n = send(fd, message.data() + sent, message.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("cannot send");
    sent += static_cast<std::size_t>(n);
  }
}

bool has_more(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

std::string receive(int fd) {
  std::string answer;
  char buffer[4096];
  do {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) throw std::runtime_error("no answer");
    answer.append(buffer, static_cast<std::size_t>(got));
  } while (answer.back() != '\0');
  return answer;
}

}  // namespace bench
