// Looks at terminals in rounds, so that typing counts as activity, and a parked session takes a
// seat again when its user types.
//
// Rules:
//   1. A round begins every 5 seconds, or later if the last one was costly.
//   2. At each tick it looks at some processes, and when it has seen all, at some sessions, so that
//      nobody waits for it long.
//   3. Only when a round is over is the registry told that everything typed before the round began
//      is known.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "sessregd/roster.h"
#include "sessregd/stopwatch.h"

namespace sessreg {

class TerminalRounds {
 public:
  // Both must outlive it.
  TerminalRounds(Registry& registry, Roster& roster) : registry_(registry), roster_(roster) {}

  void tick(std::uint64_t now_ms);

 private:
  void look(const Stopwatch& took);

  Registry& registry_;
  Roster& roster_;
  std::vector<SlotRef> left_;  // sessions that this round has not looked at yet
  // While there are some: the processes there are, or else as far as they have been read.
  std::optional<ProcessTable> table_;
  std::optional<ProcessTableReader> reader_;
  Now began_{};
  std::uint64_t cost_us_ = 0;
  std::uint64_t next_ms_ = 0;
};

}  // namespace sessreg
