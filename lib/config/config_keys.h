// The one table of the configuration's keys. Internal to lib/, but for the defaults.
//
// Thread safety: the table is constant.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/config.h"

namespace sessreg {

// Where a key may stand; a set of bits.
enum Place : unsigned { kNowhere = 0, kTop = 1, kUser = 2, kGroup = 4, kService = 8 };
inline constexpr unsigned kAnywhere = kTop | kUser | kGroup | kService;

enum class ValueShape {
  single,   // may not be empty
  list,     // may be empty
  message,  // may not be empty; runs to the end of the line, '#' included
};

// What a key sets: `section` is null at the top of the file.
struct Target {
  Config& config;
  SectionSettings* section;
  bool adds = false;  // "+=": to the list that is there
};

struct Key {
  std::string_view name;
  unsigned places;  // Place bits where the key may stand
  ValueShape shape;
  // Parses and stores the value; returns why it was refused, or "".
  std::string (*set)(std::string_view value, Target target);
};

std::span<const Key> config_keys();

// Nullptr if there is none of that name (in lower case exactly).
const Key* find_key(std::string_view name);

// The key that `name` is most likely a misspelling of; empty if none is close.
std::string_view nearest_key(std::string_view name);

// Every key at its default.
Config default_config(std::string_view site);

}  // namespace sessreg
