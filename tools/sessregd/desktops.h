// Desktops: nobody types on a terminal there, so their use is seen by what they tell logind.
//
// Rules:
//   1. A round begins every 5 seconds, or later if the last one was costly. It looks at some sessions
//      at each tick, and nobody waits for an answer.
//   2. Of a session that was opened with a display logind's word counts as the word of a token does:
//      idle from the moment the desktop said so, used when it said otherwise. While it is in use, and
//      where nobody has ever told, it counts as one of which nobody tells, and is never idle.
//   3. What was told counts only while it is sure to be taken back: the registry forgets it where the
//      daemon is not at work, and this when it begins, and when logind does not answer.
//   4. A session that became a desktop's later (a compositor started on a console) is marked as used,
//      unless it says that it is idle.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"
#include "registry/registry.h"
#include "sessregd/logind.h"
#include "sessregd/roster.h"

namespace sessreg {

class Desktops {
 public:
  // All of these must outlive it.
  Desktops(Registry& registry, const Config& config, Roster& roster, Logind& logind);

  void tick(std::uint64_t now_ms);

 private:
  void ask_after(Tracked& tracked);
  void told(Tracked& tracked, const Logind::Answer& answer);
  void told_nothing(Tracked& tracked);

  Registry& registry_;
  const Config& config_;
  Roster& roster_;
  Logind& logind_;
  std::vector<std::uint32_t> left_;  // slots that this round has not looked at yet
  std::uint64_t cost_us_ = 0;
  std::uint64_t next_ms_ = 0;
};

}  // namespace sessreg
