// A sessregd of a sandbox's own, ended with the object.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "../support/catch.h"
#include "support.h"

class DaemonProcess {
 public:
  explicit DaemonProcess(const Sandbox& sandbox)
      : socket_(sandbox.directory() + "/daemon.sock"), conf_(sandbox.conf_path()) {
    const char* program = getenv("SESSREG_DAEMON");
    REQUIRE(program != nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const int log =
          open((sandbox.directory() + "/daemon.log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
      dup2(log, 2);
      execl(program, program, "--conf", conf_.c_str(), "--socket", socket_.c_str(), "--foreground",
            nullptr);
      _exit(127);
    }
    REQUIRE(wait_until([&] { return answers(); }));
  }
  ~DaemonProcess() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& path() const { return socket_; }
  std::string environment() const { return "SESSREG_SOCKET=" + socket_; }

 private:
  bool answers() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
    const bool connected =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    return connected;
  }

  std::string socket_, conf_;
  pid_t pid_ = -1;
};

// In the child, before the tool.
inline void become(uid_t uid) {
  if (setgid(uid) != 0 || setuid(uid) != 0) _exit(126);
}
