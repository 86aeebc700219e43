// The end of a coffee break: a parked session is used again.
#pragma once

#include "config.h"
#include "registry.h"

namespace sessreg {

enum class Return {
  seated,  // it has a seat again
  waits,   // there is none: it goes on without (on_return = refuse)
  ended,   // there is none: it was told and asked to go (on_return = end)
};

// What `on_return` says, for a parked session that was just used. `parked` as it was read.
Return come_back(Registry& registry, const Config& config, const Snapshot& parked);

}  // namespace sessreg
