// Interleaved rounds: in each, every contestant works for a slice, so that whatever happens to the
// machine happens to all of them; what is compared is one round's slices with each other.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "effort.h"
#include "workers.h"

namespace bench {

struct Spread {
  double median = 0, min = 0, max = 0;
};
Spread spread_of(std::vector<double> values);

struct Rounds {
  std::vector<std::vector<double>> ns;  // [contestant][round]
  unsigned repeated = 0;                // slices done again: neighbours took more than 5 % of one
  // Rounds in `ns` with a slice that stayed so; 0 where there were enough without.
  unsigned noisy = 0;

  Spread absolute(std::size_t contestant) const { return spread_of(ns[contestant]); }
  // Of each round: that contestant's time / the other's.
  Spread ratio(std::size_t contestant, std::size_t to) const;
};

struct RoundOptions {
  unsigned rounds = 31;
  double slice_ms = 10;
  double patience_s = 15;  // with neighbours; then noisy rounds must do
};
RoundOptions rounds_of(Effort effort);

// `contestants`: indices of tasks.
Rounds run_rounds(Workers& workers, const std::vector<std::size_t>& contestants, unsigned processes,
                  const RoundOptions& options);

}  // namespace bench
