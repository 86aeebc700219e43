// Admitting and releasing against the peers; and at the largest number of sessions, what else a
// registry does all day.
#pragma once

#include "report.h"

namespace bench {

struct Options {
  bool quick = false;

  RoundOptions rounds() const { return quick ? RoundOptions{15, 3, 5} : RoundOptions{31, 10, 15}; }
};

void measure_pairs(const Options& options, Goals& goals);
void measure_races(const Options& options, Goals& goals);

}  // namespace bench
