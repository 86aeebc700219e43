// sessreg list --watch
#pragma once

#include "sessreg/list/listing.h"

namespace sessreg {

// On a terminal, shows the list, refreshed in place, until somebody quits. Without one, or with
// --json, prints a line for each change until the reader goes.
int watch(const GlobalOptions& global, const ListOptions& options);

}  // namespace sessreg
