// Makes text from outside safe to show, and fills in the placeholders of messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sessreg {

// Control characters (C0, DEL, C1), invalid UTF-8, line and paragraph separators and bidirectional
// overrides become \xNN escapes (of their bytes). A backslash becomes \\ only where it could be
// misread: before an x, a backslash or an escape; so DOM\bob stays as it is and can be pasted back.
// The result is printable valid UTF-8 without a newline, and no two texts have the same result.
std::string escape_for_terminal(std::string_view text);

// As escape_for_terminal(), but appends to `out`. True: `text` is printable ASCII without a
// backslash, and so needed no escape.
bool append_escaped(std::string& out, std::string_view text);

// Escaped as above, but every backslash left alone: for a text whose parts are escaped already.
std::string one_line(std::string_view text);

// Whether it has no character that could forge a line of a log or a terminal: control characters and
// those that change the direction. What is not UTF-8 is shown as escapes, and so is safe.
bool is_safe_to_show(std::string_view text);

// Each byte as \xNN.
void append_hex(std::string& out, std::string_view bytes);

// The value of a key=value log field: escaped as for the terminal, but every backslash doubled (log
// readers take \" for a quote); in double quotes if it is empty or holds a space, '=' or '"' (which
// becomes \x22). A longer one than `max_bytes`, quotes aside, is cut and ends in "...": a syslog daemon
// cuts long lines, and loses what comes behind.
inline constexpr std::size_t kMostLogValueBytes = 128;
std::string log_value(std::string_view text, std::size_t max_bytes = kMostLogValueBytes);

// The longest prefix of at most `max_bytes` that does not cut a UTF-8 sequence in two.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes);

// What the placeholders of a message stand for.
struct MessageValues {
  long limit = 0;
  long count = 0;
  long seconds = 0;
  std::string site;
  std::string user;
  std::string service;
};

// Replaces {limit} {count} {seconds} {site} {user} {service}. Values are escaped for the terminal;
// the result is one line.
std::string format_message(std::string_view message, const MessageValues& values);

// nullptr if `message` names only known placeholders, else what is wrong.
const char* check_message(std::string_view message);

}  // namespace sessreg
