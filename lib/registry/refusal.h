// Why a login is refused: one table of what each reason is called, counted as, and told as.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "registry/counters.h"
#include "registry/decision.h"

namespace sessreg {

struct Config;

enum class Refusal : std::uint8_t {
  none,
  site_full,
  drain,
  user_full,
  locked,
  group_full,
  table_full,
  blacklisted,
  count,  // of these, with `none`
};
inline constexpr auto kRefusals = static_cast<std::size_t>(Refusal::count);

// For a static_assert after a table that has a row for each from `first` on, in their order.
template <class Table>
constexpr bool has_row_for_each(const Table& rows, Refusal first) {
  auto next = static_cast<std::size_t>(first);
  for (const auto& row : rows)
    if (static_cast<std::size_t>(row.refusal) != next++) return false;
  return next == kRefusals;
}

struct RefusalFacts {
  Refusal refusal;
  const char* name;  // in logs and JSON
  Counter counter;
  Counter observed;              // the same, where `observe` has let the login in
  std::string Config::*message;  // for the user who is refused
};

// All but `none`, in the order in which they are shown.
std::span<const RefusalFacts> refusals();
// Not of `none`.
const RefusalFacts& facts_of(Refusal refusal);
// Why there is no seat. For a decision that found none.
Refusal refusal_of(const Decision& decision);
// The name, also of `none`.
const char* text(Refusal refusal);

}  // namespace sessreg
