#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/utf8.h"

namespace sessreg {
namespace {

enum class Placeholder { limit, count, seconds, site, user, service };

struct NamedPlaceholder {
  std::string_view spelling;
  Placeholder placeholder;
};

constexpr std::array<NamedPlaceholder, 6> kPlaceholders{{{"{limit}", Placeholder::limit},
                                                         {"{count}", Placeholder::count},
                                                         {"{seconds}", Placeholder::seconds},
                                                         {"{site}", Placeholder::site},
                                                         {"{user}", Placeholder::user},
                                                         {"{service}", Placeholder::service}}};

// The placeholder that `text` begins with.
std::optional<NamedPlaceholder> leading_placeholder(std::string_view text) {
  for (const NamedPlaceholder& known : kPlaceholders) {
    if (text.substr(0, known.spelling.size()) == known.spelling) return known;
  }
  return std::nullopt;
}

std::string value_of(Placeholder placeholder, const MessageValues& values) {
  switch (placeholder) {
    case Placeholder::limit:
      return std::to_string(values.limit);
    case Placeholder::count:
      return std::to_string(values.count);
    case Placeholder::seconds:
      return std::to_string(values.seconds);
    case Placeholder::site:
      return escape_for_terminal(values.site);
    case Placeholder::user:
      return escape_for_terminal(values.user);
    case Placeholder::service:
      return escape_for_terminal(values.service);
  }
  return {};
}

// Appends the first character of `text`, made safe; returns how many bytes of `text` that was.
std::size_t append_safe(std::string& out, std::string_view text) {
  const Utf8Char next = decode_utf8(text);
  if (next.size_bytes == 0) {
    append_hex(out, text.substr(0, 1));
    return 1;
  }
  const std::string_view bytes = text.substr(0, next.size_bytes);
  if (is_unsafe_to_show(next.code)) {
    append_hex(out, bytes);
  } else {
    out += bytes;
  }
  return next.size_bytes;
}

// Whether `rest`, as shown, begins so that a backslash before it would be misread.
bool begins_ambiguously(std::string_view rest) {
  if (rest.empty()) return false;
  if (rest.front() == 'x') return true;
  std::string shown;
  append_safe(shown, rest);
  return shown.front() == '\\';
}

enum class Backslash { alone, doubled_where_needed };

std::string escape(std::string_view text, Backslash backslash) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (text.front() == '\\' && backslash == Backslash::doubled_where_needed &&
        begins_ambiguously(text.substr(1)))
      out += '\\';
    text.remove_prefix(append_safe(out, text));
  }
  return out;
}

}  // namespace

std::string escape_for_terminal(std::string_view text) {
  return escape(text, Backslash::doubled_where_needed);
}

bool append_escaped(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](char c) { return c >= ' ' && c < '\x7f' && c != '\\'; });
  if (plain)
    out += text;
  else
    out += escape_for_terminal(text);
  return plain;
}

std::string one_line(std::string_view text) {
  return escape(text, Backslash::alone);
}

bool is_safe_to_show(std::string_view text) {
  while (!text.empty()) {
    if (text[0] >= ' ' && text[0] <= '~') {  // as nearly all are
      text.remove_prefix(1);
      continue;
    }
    const Utf8Char next = decode_utf8(text);
    if (next.size_bytes != 0 && is_unsafe_to_show(next.code)) return false;
    text.remove_prefix(next.size_bytes == 0 ? 1 : next.size_bytes);
  }
  return true;
}

void append_hex(std::string& out, std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 0xf];
  }
}

std::string log_value(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view kCut = "...";
  const bool has_quote = text.find('"') != std::string_view::npos;
  std::string value;
  std::size_t fits = 0;  // of it, with kCut behind
  while (!text.empty() && value.size() <= max_bytes) {
    if (text.front() == '"') {
      append_hex(value, text.substr(0, 1));
      text.remove_prefix(1);
    } else {
      if (text.front() == '\\') value += '\\';
      text.remove_prefix(append_safe(value, text));
    }
    if (value.size() + kCut.size() <= max_bytes) fits = value.size();
  }
  if (value.size() > max_bytes) value.replace(fits, std::string::npos, kCut);
  if (value.empty() || has_quote || value.find_first_of(" =") != std::string::npos) {
    value.insert(value.begin(), '"');
    value += '"';
  }
  return value;
}

std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  // A sequence that is cut at max_bytes began at most three bytes before.
  for (std::size_t back = 1; back <= 3 && back <= max_bytes; ++back) {
    const std::size_t start = max_bytes - back;
    if (decode_utf8(text.substr(start)).size_bytes > back) return text.substr(0, start);
  }
  return text.substr(0, max_bytes);
}

std::string format_message(std::string_view message, const MessageValues& values) {
  std::string out;
  out.reserve(message.size() + 32);
  while (!message.empty()) {
    if (const auto known = leading_placeholder(message)) {
      out += value_of(known->placeholder, values);
      message.remove_prefix(known->spelling.size());
    } else {
      message.remove_prefix(append_safe(out, message));
    }
  }
  return out;
}

const char* check_message(std::string_view message) {
  while (!message.empty()) {
    if (const auto known = leading_placeholder(message)) {
      message.remove_prefix(known->spelling.size());
      continue;
    }
    if (message.front() == '{' || message.front() == '}') {
      return "a brace that is not part of a placeholder; the placeholders are {limit} {count} "
             "{site} {user} {service} and, where a time is left, {seconds}";
    }
    message.remove_prefix(1);
  }
  return nullptr;
}

}  // namespace sessreg
