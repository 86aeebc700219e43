// One character of UTF-8 at a time (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace sessreg {

struct Utf8Char {
  char32_t code = 0;
  std::size_t size_bytes = 0;  // 0: `text` does not begin with a valid sequence
};

// The first character of `text`; an empty text has none.
Utf8Char decode_utf8(std::string_view text);

// Characters that could forge, hide or reorder what a terminal or a log shows: C0, DEL, C1, line
// and paragraph separators, bidirectional embeddings, overrides and isolates.
bool is_unsafe_to_show(char32_t code);

}  // namespace sessreg
