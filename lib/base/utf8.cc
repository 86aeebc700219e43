#include "base/utf8.h"

#include <cstdint>

namespace sessreg {

Utf8Char decode_utf8(std::string_view text) {
  if (text.empty()) return {};
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1};

  std::size_t size_bytes = 0;
  char32_t code = 0;
  char32_t least = 0;  // smaller codes have a shorter form
  if ((lead & 0xe0) == 0xc0) {
    size_bytes = 2, code = lead & 0x1fU, least = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    size_bytes = 3, code = lead & 0x0fU, least = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    size_bytes = 4, code = lead & 0x07U, least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < size_bytes) return {};
  for (std::size_t i = 1; i < size_bytes; ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least || code > 0x10ffff || surrogate) return {};
  return {code, size_bytes};
}

bool is_unsafe_to_show(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace sessreg
