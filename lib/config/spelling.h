// "did you mean …?"
#pragma once

#include <span>
#include <string_view>

namespace sessreg {

// The one of `known` that `word` is most likely a misspelling of; empty if none is close. Blind to
// ASCII case.
//
// A known word that takes a value ends in '='; `word` may be followed by its value. Both are
// compared up to there. Of two that are equally close, the one wins that takes a value if and only
// if `word` has one.
std::string_view nearest_spelling(std::string_view word, std::span<const std::string_view> known);

}  // namespace sessreg
