// The end of a coffee break: a parked session is used again.
#pragma once

#include "config/config.h"
#include "registry/registry.h"

namespace sessreg {

struct Return {
  enum class What {
    seated,  // it has a seat again
    waits,   // there is none: it goes on without one (on_return = refuse, or a login is under way)
    ended,   // there is none: it was told and asked to go (on_return = end)
    gone,    // it is no longer parked, or is being ended already
  };
  What what = What::gone;
  Decision decision{};  // waits, ended: which limit leaves no room
};

// Does what `on_return` says with a parked session that was just used. `parked`: as it was read.
// Nobody is ended for a login that may come to nothing: as long as reservations hold the seats that
// it might have, it waits.
Return come_back(Registry& registry, const Config& config, const Snapshot& parked);

}  // namespace sessreg
