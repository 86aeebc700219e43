#include "base/json.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"

namespace sessreg {
namespace {

constexpr std::string_view kBlank = " \t\n\r";
constexpr std::string_view kDigits = "0123456789";

void append_utf8(std::string& out, std::uint32_t code) {
  const auto add = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | (code >> 6));
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | (code >> 12));
    add(0x80 | ((code >> 6) & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | (code >> 18));
    add(0x80 | ((code >> 12) & 0x3f));
    add(0x80 | ((code >> 6) & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

// Goes through a text. Each function takes what its name says from the rest, or fails.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool take_blanks_to_end() {
    take_blanks();
    return rest_.empty();
  }

  // Passes the name and the value of each member; false of it ends the reading.
  template <class Each>
  bool take_object(int depth, Each each) {
    if (depth > kMostJsonDepth || !take('{')) return false;
    std::vector<std::string> names;
    if (take('}')) return true;
    do {
      std::string name;
      std::string_view value;
      if (!take_string(name) || !take(':') || !take_value(depth, value)) return false;
      each(name, value);
      names.push_back(std::move(name));
    } while (take(','));
    std::sort(names.begin(), names.end());
    return take('}') && std::adjacent_find(names.begin(), names.end()) == names.end();
  }

  bool take_string(std::string& ret) {
    ret.clear();
    if (!take('"')) return false;
    while (!rest_.empty() && rest_[0] != '"') {
      if (rest_[0] == '\\') {
        if (!take_escape(ret)) return false;
        continue;
      }
      const Utf8Char next = decode_utf8(rest_);
      if (next.size_bytes == 0 || next.code < 0x20) return false;
      ret += rest_.substr(0, next.size_bytes);
      rest_.remove_prefix(next.size_bytes);
    }
    return take_here('"');
  }

 private:
  void take_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlank), rest_.size()));
  }
  bool take_here(char wanted) {
    if (rest_.empty() || rest_[0] != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(char wanted) {
    take_blanks();
    return take_here(wanted);
  }
  bool take_word(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool take_value(int depth, std::string_view& ret) {
    take_blanks();
    const std::string_view before = rest_;
    if (!take_any(depth)) return false;
    ret = before.substr(0, before.size() - rest_.size());
    return true;
  }

  bool take_any(int depth) {
    std::string ignored;
    if (rest_.empty()) return false;
    switch (rest_[0]) {
      case '{':
        return take_object(depth + 1, [](const std::string&, std::string_view) {});
      case '[':
        return take_array(depth + 1);
      case '"':
        return take_string(ignored);
      case 't':
        return take_word("true");
      case 'f':
        return take_word("false");
      case 'n':
        return take_word("null");
      default:
        return take_number();
    }
  }

  bool take_array(int depth) {
    if (depth > kMostJsonDepth || !take('[')) return false;
    if (take(']')) return true;
    std::string_view value;
    do {
      if (!take_value(depth, value)) return false;
    } while (take(','));
    return take(']');
  }

  std::size_t take_digits() {
    const std::size_t size = std::min(rest_.find_first_not_of(kDigits), rest_.size());
    rest_.remove_prefix(size);
    return size;
  }

  bool take_number() {
    take_here('-');
    if (!take_here('0') && take_digits() == 0) return false;
    if (take_here('.') && take_digits() == 0) return false;
    if (!take_here('e') && !take_here('E')) return true;
    if (!take_here('+')) take_here('-');
    return take_digits() > 0;
  }

  bool take_escape(std::string& ret) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    rest_.remove_prefix(1);
    if (rest_.empty()) return false;
    if (rest_[0] == 'u') return take_code(ret);
    const std::size_t at = kNames.find(rest_[0]);
    if (at == std::string_view::npos) return false;
    ret += kMeant[at];
    rest_.remove_prefix(1);
    return true;
  }

  bool take_hex(std::uint32_t& ret) {
    const std::string_view digits = rest_.substr(0, 5);
    if (digits.size() < 5 || digits[0] != 'u') return false;
    const char* const end = digits.data() + digits.size();
    if (std::from_chars(digits.data() + 1, end, ret, 16).ptr != end) return false;
    rest_.remove_prefix(5);
    return true;
  }

  // A character outside the first plane is written as two halves.
  bool take_code(std::string& ret) {
    std::uint32_t code = 0, low = 0;
    if (!take_hex(code) || (code >= 0xdc00 && code < 0xe000)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
      if (!take_here('\\') || !take_hex(low) || low < 0xdc00 || low >= 0xe000) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(ret, code);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<JsonObject> JsonObject::parse(std::string_view text) {
  JsonObject object;
  Reader reader(text);
  if (!reader.take_object(1, [&](const std::string& name, std::string_view value) {
        object.members_.emplace_back(name, value);
      }))
    return std::nullopt;
  return reader.take_blanks_to_end() ? std::optional(std::move(object)) : std::nullopt;
}

const std::string_view* JsonObject::find(std::string_view name) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const auto& member) { return member.first == name; });
  return found == members_.end() ? nullptr : &found->second;
}

std::optional<std::string> JsonObject::string(std::string_view name) const {
  const std::string_view* const value = find(name);
  std::string text;
  if (value == nullptr || !Reader(*value).take_string(text)) return std::nullopt;
  return text;
}

std::optional<std::int64_t> JsonObject::integer(std::string_view name) const {
  const std::string_view* const value = find(name);
  if (value == nullptr) return std::nullopt;
  std::int64_t number = 0;
  const char* const end = value->data() + value->size();
  const auto [at, error] = std::from_chars(value->data(), end, number);
  return error == std::errc() && at == end ? std::optional(number) : std::nullopt;
}

std::optional<bool> JsonObject::boolean(std::string_view name) const {
  const std::string_view* const value = find(name);
  if (value == nullptr || (*value != "true" && *value != "false")) return std::nullopt;
  return *value == "true";
}

std::optional<JsonObject> JsonObject::object(std::string_view name) const {
  const std::string_view* const value = find(name);
  return value == nullptr ? std::nullopt : parse(*value);
}

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    } else {
      out += c;
    }
  }
  return out += '"';
}

}  // namespace sessreg
