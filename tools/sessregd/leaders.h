// The processes that lead sessions: the moment one goes, its session is looked at, and freed if it
// is over.
//
// Rules:
//   1. A leader is watched by pidfd. If there are not enough descriptors, its session is looked at
//      from time to time, like one whose leader has gone and left processes behind.
//   2. If many die together, one reading of /proc does for all of them.
//   3. At its start the daemon may find a million leaders: it starts watching some at a time.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "host/process.h"
#include "registry/registry.h"
#include "sessregd/event_source.h"
#include "sessregd/roster.h"
#include "sessregd/site_loop.h"

namespace sessreg {

class Leaders {
 public:
  // All of these must outlive it.
  Leaders(Registry& registry, Roster& roster, const Processes& processes, const SiteLoop& loop)
      : registry_(registry), roster_(roster), processes_(processes), loop_(loop) {}

  // Has the next watch_some() watch the leader of that session.
  void add(const SlotRef& ref) { unwatched_.push_back(ref); }
  // Watches as many as there is time for; the rest follow soon, by themselves.
  void watch_some();
  // Frees the sessions without a leader that are over, if it is time to look.
  void tick(std::uint64_t now_ms);

 private:
  void on_leader_gone(const SlotRef& ref);
  void look_at_leaderless();

  Registry& registry_;
  Roster& roster_;
  const Processes& processes_;
  const SiteLoop& loop_;
  std::vector<SlotRef> unwatched_;   // their leaders are to be watched
  std::vector<SlotRef> leaderless_;  // their leaders have gone, or cannot be watched
  std::uint64_t next_look_ms_ = 0;
  bool said_unwatchable_ = false;
  EventSource look_soon_;
  EventSource watch_soon_;
};

}  // namespace sessreg
