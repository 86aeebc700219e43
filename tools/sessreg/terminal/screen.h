// The whole terminal, lent to a program that refreshes it in place. It is given back as it was when
// the program ends, when it is stopped, and when a signal ends it.
//
// Only one at a time, in a program with one thread. While it exists, the signals that it handles
// are blocked, and come as events.
#pragma once

#include <signal.h>
#include <termios.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"

namespace sessreg {

class Screen {
 public:
  enum class Event { timeout, key, resized, interrupted, ended };

  // Standard output must be a terminal; keys come from standard input, if that is one too. Throws
  // Failure.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Shows these lines, as many as the screen has rows; none may be wider than the screen. Nothing
  // is cleared before it is overwritten, and all is written at once, so nothing flickers. Throws
  // Failure if the terminal has gone.
  void show(const std::vector<std::string>& lines, int rows);

  // Waits for that long at most. Stopping and continuing is handled in here, and comes as
  // `resized`, because the screen has to be redrawn.
  Event wait(std::chrono::milliseconds most);
  char key() const { return key_; }              // of Event::key
  int signal_number() const { return signal_; }  // of Event::ended

 private:
  void take();
  void give_back();
  void stop();

  Fd signals_;
  sigset_t blocked_before_{};
  termios input_before_{};
  bool has_keys_ = false;
  bool is_taken_ = false;
  char key_ = 0;
  int signal_ = 0;
};

}  // namespace sessreg
