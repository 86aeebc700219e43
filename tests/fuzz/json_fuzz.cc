// What is taken for JSON is JSON to others too, and means the same.
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ours = sessreg::JsonObject::parse(text);
  // A number that is too large for a double is none to the other.
  if (!ours || text.find_first_of("eE") != std::string_view::npos || size > 300) return 0;
  const auto other = nlohmann::json::parse(text, nullptr, false);
  if (!other.is_object()) abort();
  for (const auto& [name, value] : other.items()) {
    const auto string = ours->string(name);
    if (string.has_value() != value.is_string()) abort();
    if (string && *string != value.get<std::string>()) abort();
    if (ours->boolean(name).has_value() != value.is_boolean()) abort();
    if (ours->object(name).has_value() != value.is_object()) abort();
    const auto integer = ours->integer(name);
    if (integer && *integer != value.get<std::int64_t>()) abort();
  }
  return 0;
}
