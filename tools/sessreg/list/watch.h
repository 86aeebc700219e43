// sessreg list --watch
#pragma once

#include "sessreg/list/listing.h"

namespace sessreg {

// On a terminal the list, refreshed in place until somebody quits; else, and with --json, a line
// for each change until the reader goes.
int watch(const GlobalOptions& global, const ListOptions& options);

}  // namespace sessreg
