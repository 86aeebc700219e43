#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/errors.h"

namespace sessreg {

void prepare_standard_streams() {
  signal(SIGPIPE, SIG_IGN);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // open() returns the lowest free number, which is this one. Standard output is opened for
    // reading only, so that printing a result that nobody gets is an error.
    const int opened = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) abort();
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void print(std::string_view text) {
  if (write_all(STDOUT_FILENO, text)) return;
  // The reader (head, a pager) has seen enough: there is nobody to tell.
  if (errno == EPIPE) throw Failure(kExitFailed, "output", "");
  throw Failure(
      kExitFailed, "output",
      std::string("cannot write the result to standard output: ") + strerrordesc_np(errno));
}

void Output::flush() {
  print(text_);
  text_.clear();
}

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string json_line(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Terminal stdout_terminal() {
  return terminal_of(STDOUT_FILENO);
}

Terminal terminal_of(int fd) {
  Terminal terminal;
  terminal.is_terminal = isatty(fd) == 1;
  if (!terminal.is_terminal) return terminal;

  constexpr int kUsualColumns = 80;
  winsize size{};
  const bool told = ioctl(fd, TIOCGWINSZ, &size) == 0;
  if (told) terminal.rows = size.ws_row;
  if (told && size.ws_col > 0) {
    terminal.columns = size.ws_col;
  } else {
    terminal.columns = kUsualColumns;
    if (const char* columns = getenv("COLUMNS")) {
      int value = 0;
      const auto [end, error] = std::from_chars(columns, columns + strlen(columns), value);
      if (error == std::errc() && *end == '\0' && value > 0) terminal.columns = value;
    }
  }
  terminal.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  const char* no_colour = getenv("NO_COLOR");
  const char* type = getenv("TERM");
  terminal.colour = (no_colour == nullptr || *no_colour == '\0') && type != nullptr &&
                    *type != '\0' && strcmp(type, "dumb") != 0;
  return terminal;
}

}  // namespace sessreg
