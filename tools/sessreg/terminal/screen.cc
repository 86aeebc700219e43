#include "sessreg/terminal/screen.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/errors.h"
#include "common/output.h"

namespace sessreg {
namespace {

// Switches to the alternate screen, so that the earlier contents come back; hides the cursor; has
// the terminal cut lines that are too long.
constexpr const char* kTake = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
constexpr const char* kGiveBack = "\033[?7h\033[?25h\033[?1049l";

sigset_t looked_after() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH})
    sigaddset(&set, number);
  return set;
}

}  // namespace

Screen::Screen() {
  const sigset_t set = looked_after();
  signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_)
    throw Failure(kExitFailed, "system", std::string("cannot watch: ") + strerrordesc_np(errno));
  sigprocmask(SIG_BLOCK, &set, &blocked_before_);
  has_keys_ = tcgetattr(STDIN_FILENO, &input_before_) == 0;
  take();
}

Screen::~Screen() {
  give_back();
  // A signal that came at the very end is not lost: it is delivered now.
  sigprocmask(SIG_SETMASK, &blocked_before_, nullptr);
}

void Screen::take() {
  is_taken_ = true;
  if (has_keys_) {
    termios raw = input_before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  if (!write_all(STDOUT_FILENO, kTake)) is_taken_ = false;
}

void Screen::give_back() {
  if (!is_taken_) return;
  is_taken_ = false;
  // If this fails, the terminal has gone, and there is nothing to give back.
  static_cast<void>(write_all(STDOUT_FILENO, kGiveBack));
  // Keys typed ahead and not read are not meant for the shell.
  if (has_keys_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &input_before_);
}

void Screen::show(const std::vector<std::string>& lines, int rows) {
  std::string frame = "\033[H";
  const std::size_t most = rows > 0 ? static_cast<std::size_t>(rows) : lines.size();
  for (std::size_t i = 0; i < lines.size() && i < most; ++i)
    frame += (i == 0 ? "" : "\r\n") + lines[i] + "\033[K";
  if (lines.size() < most) frame += "\033[J";
  print(frame);
}

void Screen::stop() {
  give_back();
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGTSTP);
  // The default action, to stop, happens inside the second call.
  raise(SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  sigprocmask(SIG_BLOCK, &only, nullptr);
  take();
}

Screen::Event Screen::wait(std::chrono::milliseconds most) {
  pollfd polls[] = {{signals_.get(), POLLIN, 0}, {has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}};
  if (poll(polls, 2, static_cast<int>(most.count())) <= 0) return Event::timeout;
  signalfd_siginfo info{};
  if (polls[0].revents != 0 && read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGTSTP:
        stop();
        return Event::resized;
      case SIGCONT:
        // After SIGSTOP, which cannot be caught: the shell had the terminal meanwhile.
        take();
        return Event::resized;
      case SIGWINCH:
        return Event::resized;
      case SIGINT:
        return Event::interrupted;
      default:
        signal_ = static_cast<int>(info.ssi_signo);
        return Event::ended;
    }
  }
  if (polls[1].revents != 0) {
    if (read(STDIN_FILENO, &key_, 1) == 1) return Event::key;
    // A hangup or the end of input: whoever typed there has gone.
    signal_ = SIGHUP;
    return Event::ended;
  }
  return Event::timeout;
}

}  // namespace sessreg
