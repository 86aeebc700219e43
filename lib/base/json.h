// Reads one JSON object (RFC 8259), as a member of the login module, which takes answers from the
// daemon and is to be small: what a program needs that reads more, a library has.
//
// 1. The text MUST be one object and nothing else, in UTF-8, with no name twice in one object, and no
//    more than kMostJsonDepth levels deep.
// 2. Strings are given out as they are written: what may be shown is the caller's to decide.
//
// Thread safety: none needed; an object is constant. It points into the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sessreg {

inline constexpr int kMostJsonDepth = 16;

class JsonObject {
 public:
  // nullopt: it breaks rule 1.
  static std::optional<JsonObject> parse(std::string_view text);

  // nullopt: there is no such member, or it is of another type.
  std::optional<std::string> string(std::string_view name) const;
  std::optional<std::int64_t> integer(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<JsonObject> object(std::string_view name) const;

 private:
  const std::string_view* find(std::string_view name) const;

  std::vector<std::pair<std::string, std::string_view>> members_;  // name, and the value as written
};

// As a JSON string, with its quotes. The text has to be UTF-8.
std::string json_string(std::string_view text);

}  // namespace sessreg
