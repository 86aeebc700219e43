// The end of a session that lost its place to another: told why, and asked to go 0.1 s later (at
// once if it has no terminal). No waiting for its end and no SIGKILL, as this runs inside
// somebody's login; what does not go is for the daemon or `purge`.
#pragma once

#include "config/config.h"
#include "registry/registry.h"

namespace sessreg {

// Why, as the registry and the log have it.
const char* text(Displaced::Why why);

// Marks the session, writes the message to its terminals, and sends its service's first signal,
// each by pidfd with the start time compared. Never to the caller or one of its ancestors, nor to a
// process that leads another session too.
void send_off(Registry& registry, const Config& config, const Displaced& displaced);

}  // namespace sessreg
