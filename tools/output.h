// Writing results so that a failure to write is noticed, and what the terminal can show.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sessreg {

// Keeps the caller from opening a registry as descriptor 0, 1 or 2 when it was started with one of
// them closed, and turns SIGPIPE into a write error. Call first.
void prepare_standard_streams();

// False: errno tells why not everything was written.
[[nodiscard]] bool write_all(int fd, std::string_view text);

// Writes a whole result to standard output; throws Failure (exit code 1) if that fails.
void print(std::string_view text);

// Indented JSON and a newline. Strings need not be UTF-8: what is invalid becomes U+FFFD. Only
// ASCII is written (the rest as \uXXXX), so that no string can drive a terminal.
std::string json_text(const nlohmann::ordered_json& value);
// The same on one line.
std::string json_line(const nlohmann::ordered_json& value);

struct Terminal {
  bool is_terminal = false;
  int columns = 0;   // 0: no limit
  bool utf8 = true;  // may show more than ASCII
  bool colour = false;
};
// Of standard output.
Terminal stdout_terminal();

}  // namespace sessreg
