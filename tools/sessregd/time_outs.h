// Whose time is up: past the lifetime or the time to live, revoked or evicted and still there, or a
// reservation that was not bound in time.
//
// Rules:
//   1. No session is out of time before its terminals were looked at.
//   2. Whoever revokes or evicts a session also ends it. If that has not happened in time, for
//      example because the revoker died, it is ended from here, with no more force than who marked
//      it has, and its user is not told again.
//   3. Sessions whose time is up at the same moment are ended together, because a whole class can
//      run out at once: 500 at most. The rest follow at the next tick.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "config/config.h"
#include "host/process.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "session/change.h"
#include "session/sessions.h"
#include "sessregd/endings.h"
#include "sessregd/roster.h"

namespace sessreg {

class TimeOuts {
 public:
  // All of these must outlive it.
  TimeOuts(Registry& registry, const Config& config, Roster& roster, Endings& endings,
           const Processes& processes)
      : registry_(registry),
        config_(config),
        roster_(roster),
        endings_(endings),
        processes_(processes) {}

  // A change that the roster noticed.
  void noticed(Change change, Tracked& tracked, const Snapshot& held);
  // It was to be ended, and is still there.
  void look_again(Tracked& tracked);
  void tick(std::uint64_t now_ms);

 private:
  // Grouped by how they are ended: reason, grace, tell, is_by_its_user.
  using Overdue = std::map<std::tuple<std::string, std::chrono::milliseconds, bool, bool>,
                           std::vector<Session>>;

  void look(std::uint64_t now_ms);
  void look_at(Tracked& tracked, const ProcessTable& table, std::uint64_t now_ms, Overdue& ret);
  void look_at_clock(Tracked& tracked, const Snapshot& held, std::uint64_t now_ms);
  void look_at_reservation(Tracked& tracked, std::uint64_t now_ms);
  void check_at(Tracked& tracked, std::uint64_t time_ms);

  Registry& registry_;
  const Config& config_;
  Roster& roster_;
  Endings& endings_;
  const Processes& processes_;
  // The earliest Tracked::check_ms; CLOCK_BOOTTIME too.
  std::uint64_t next_check_ms_ = 0;
  std::uint64_t rests_until_ms_ = 0;
};

}  // namespace sessreg
