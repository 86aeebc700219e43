// Admitting and releasing against the peers; and at the largest number of sessions, what else a
// registry does all day.
#pragma once

#include "effort.h"
#include "report.h"

namespace bench {

void measure_pairs(Effort effort, Goals& goals);
void measure_races(Effort effort, Goals& goals);

}  // namespace bench
