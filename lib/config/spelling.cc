#include "config/spelling.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace sessreg {
namespace {

// Further off, or more than half of its letters, is another word.
constexpr std::size_t kMostEdits = 2;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Levenshtein distance, blind to ASCII case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest_spelling(std::string_view word, std::span<const std::string_view> known) {
  const std::string_view name = word.substr(0, word.find('='));
  const bool has_value = name.size() < word.size();
  std::string_view nearest;
  std::size_t least = 2 * kMostEdits + 2;
  for (const std::string_view each : known) {
    const std::string_view bare = each.substr(0, each.find('='));
    if (name.size() > bare.size() + kMostEdits) continue;  // `word` may be of any length
    const std::size_t edits = edit_distance(name, bare);
    const bool takes_value = bare.size() < each.size();
    const std::size_t cost = 2 * edits + (takes_value == has_value ? 0 : 1);
    if (cost < least && edits <= bare.size() / 2) least = cost, nearest = each;
  }
  return nearest;
}

}  // namespace sessreg
