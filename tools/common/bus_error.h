// If somebody truncates a mapped file, its reader dies of SIGBUS. The module must not install a
// signal handler in a login service, which is not its own; the tool and the daemon have one.
#pragma once

namespace sessreg {

// From now on such an error ends the process with kExitUnusable, after one call of `say` with what
// happened. `say` may allocate and lock: the signal comes from reading the mapping, not from libc.
void report_bus_errors(void (*say)(const char* what));

}  // namespace sessreg
