// The leader of a terminal session, on a pseudo-terminal whose other side is kept; ended by the
// destructor.
#pragma once

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>

#include "child.h"

class OnTerminal {
 public:
  // `prepare` is run in the process when the terminal is surely its own.
  explicit OnTerminal(const std::function<bool()>& prepare = [] { return true; }) {
    char path[64];
    pid_ = forkpty(&terminal_, path, nullptr, nullptr);
    if (pid_ == 0) {
      signal(SIGTERM, SIG_DFL);  // not as Catch2 has it
      alarm(60);
      ready_.put(prepare() ? 'r' : 'n');
      for (;;)
        pause();
    }
    path_ = path;
    is_ready_ = ready_.get() == 'r';
  }
  ~OnTerminal() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  // What `prepare` returned.
  bool is_ready() const { return is_ready_; }
  pid_t pid() const { return pid_; }
  const std::string& path() const { return path_; }
  // The next that it was told; empty: nothing within half a minute.
  std::string output() const {
    pollfd wait_for{terminal_, POLLIN, 0};
    char text[4096];
    if (poll(&wait_for, 1, 30'000) != 1) return {};
    const ssize_t size = read(terminal_, text, sizeof text);
    return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

 private:
  int terminal_ = -1;
  Pipe ready_;
  pid_t pid_ = -1;
  std::string path_;
  bool is_ready_ = false;
};
