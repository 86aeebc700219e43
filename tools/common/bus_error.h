// A mapped file that somebody cuts short while it is read ends its reader by SIGBUS. No login
// service is the module's to give a handler to; the tool and the daemon have one.
#pragma once

namespace sessreg {

// From now on that ends the process with kExitUnusable, after one call of `say` with what happened.
// `say` may allocate and lock: the error comes out of reading the mapping, not out of libc.
void report_bus_errors(void (*say)(const char* what));

}  // namespace sessreg
