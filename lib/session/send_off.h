// The end of a session that lost its place to another: it is told why, and asked to go 0.1 s later
// (at once if it has no terminal). This runs inside somebody's login, so it does not wait for the
// end and sends no SIGKILL; what does not go is left to the daemon or `purge`.
#pragma once

#include "config/config.h"
#include "registry/registry.h"

namespace sessreg {

// Why, as the registry and the log have it.
const char* text(Displaced::Why why);

// Marks the session, writes the message to its terminals, and sends its service's first signal.
// Signals go by pidfd with the start time compared; never to the caller or one of its ancestors. A
// session whose leader is not its alone (ending.h) is only marked and told; one without a process is
// marked, and becomes a note.
void send_off(Registry& registry, const Config& config, const Displaced& displaced);

}  // namespace sessreg
