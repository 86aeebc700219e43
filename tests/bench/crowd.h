// sessregd with thousands of sessions, each with a process of its own.
#pragma once

#include "effort.h"
#include "report.h"

namespace bench {

// Prints what they cost it, and how long it keeps anybody waiting.
void measure_crowd(Effort effort, Goals& goals);

}  // namespace bench
