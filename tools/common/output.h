// Writes results so that a failure to write is noticed, and finds out what the terminal can show.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sessreg {

// Keeps the caller from opening a registry as descriptor 0, 1 or 2 when it was started with one of
// them closed, and turns SIGPIPE into a write error. Call first.
void prepare_standard_streams();

// False: not everything was written; errno tells why.
[[nodiscard]] bool write_all(int fd, std::string_view text);

// Writes a whole result to standard output; throws Failure (exit code 1) if that fails.
void print(std::string_view text);

// A long result, written piece by piece in the way of print().
class Output {
 public:
  // The text to be written; append to it.
  std::string& text() { return text_; }
  // Call after each line: writes once there is enough.
  void line_done() {
    if (text_.size() >= kEnough_bytes) flush();
  }
  void flush();

 private:
  static constexpr std::size_t kEnough_bytes = 256 * 1024;
  std::string text_;
};

// Indented JSON and a newline. Strings need not be UTF-8: what is invalid becomes U+FFFD. Only
// ASCII is written (the rest as \uXXXX), so that no string can control a terminal.
std::string json_text(const nlohmann::ordered_json& value);
// The same on one line.
std::string json_line(const nlohmann::ordered_json& value);

struct Terminal {
  bool is_terminal = false;
  int columns = 0;   // 0: no limit
  int rows = 0;      // 0: not known
  bool utf8 = true;  // may show more than ASCII
  bool colour = false;
};
Terminal terminal_of(int fd);
// Of standard output.
Terminal stdout_terminal();

}  // namespace sessreg
