// Terminals are looked at in rounds, so that typing counts as activity, and a parked session that
// is typed on takes its seat again.
//
// Rules:
//   1. A round begins every 5 seconds, or as much later as the last one cost.
//   2. It takes some sessions at each tick; nobody waits for it long.
//   3. Only when it is over is the registry told that what was typed before it began is known.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "registry/registry.h"
#include "sessregd/roster.h"

namespace sessreg {

class TerminalRounds {
 public:
  // Both must outlive it.
  TerminalRounds(Registry& registry, Roster& roster) : registry_(registry), roster_(roster) {}

  void tick(std::uint64_t now_ms);

 private:
  Registry& registry_;
  Roster& roster_;
  std::vector<std::uint32_t> left_;  // slots that this round has not looked at yet
  Now began_{};
  std::uint64_t cost_us_ = 0;
  std::uint64_t next_ms_ = 0;
};

}  // namespace sessreg
