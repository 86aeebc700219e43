// What the tool writes to the authentication log.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "support.h"

// The log's socket lies in /dev, so the tool runs with mounts of its own, in which /dev holds
// nothing else.
class AuthLog {
 public:
  explicit AuthLog(const Sandbox& sandbox)
      : dev_(sandbox.directory() + "/dev"),
        socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (dev_ + "/log").copy(address.sun_path, sizeof address.sun_path - 1);
    if (mkdir(dev_.c_str(), 0755) != 0 ||
        bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("no socket for a log");
  }
  ~AuthLog() { close(socket_); }
  AuthLog(const AuthLog&) = delete;
  AuthLog& operator=(const AuthLog&) = delete;

  // A tool with these exits with kNoMounts where it cannot be had.
  static constexpr int kNoMounts = 77;
  ToolOptions options() const {
    ToolOptions options;
    options.before_exec = [dev = dev_] {
      if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount(dev.c_str(), "/dev", nullptr, MS_BIND, nullptr) != 0)
        _exit(kNoMounts);
    };
    return options;
  }

  // The next line; empty: there is none.
  std::string line() {
    char text[8192];
    const ssize_t size = recv(socket_, text, sizeof text, 0);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
  }

 private:
  std::string dev_;
  int socket_;
};
