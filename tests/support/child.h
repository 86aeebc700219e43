// Processes that tests start, and end only by pid.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <utility>

// A one-way pipe; each end closes itself.
class Pipe {
 public:
  Pipe() {
    if (pipe(ends_) != 0) throw std::runtime_error("pipe");
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_read() { close_end(ends_[0]); }
  void close_write() { close_end(ends_[1]); }
  bool put(char c) { return write(ends_[1], &c, 1) == 1; }
  // The next byte; -1: the writers have gone, or nothing came for half a minute.
  int get() {
    pollfd wait_for{ends_[0], POLLIN, 0};
    if (poll(&wait_for, 1, 30'000) != 1) return -1;
    char c = 0;
    return read(ends_[0], &c, 1) == 1 ? c : -1;
  }

 private:
  static void close_end(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  int ends_[2] = {-1, -1};
};

// A forked child, killed and waited for by the destructor. Its exit status is what `body` returns.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      alarm(120);  // whatever happens to the parent
      _exit(body());
    }
  }
  ~Child() { kill_and_wait(); }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;

  pid_t pid() const { return pid_; }
  // Leaves a zombie until wait().
  void kill_only() const { ::kill(pid_, SIGKILL); }
  void kill_and_wait() {
    if (pid_ <= 0) return;
    kill_only();
    wait();
  }
  // The exit status; -1: ended by a signal.
  int wait() {
    const int status = wait_status();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // The status as waitpid(2) gives it; -1: it was waited for already.
  int wait_status() {
    int status = 0;
    if (pid_ <= 0 || waitpid(pid_, &status, 0) != pid_) return -1;
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};
