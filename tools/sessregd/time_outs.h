// Whose time is up: past the lifetime or the time to live, revoked or evicted and still there, or a
// reservation that was not bound in time.
//
// Rules:
//   1. Nobody is called out of time before its terminals were looked at.
//   2. Whoever revoked or evicted a session ends it by itself. It is ended from here if that has
//      not happened in time, as when the revoker died, and its user is not told again.
//   3. Those whose time is up at the same moment are ended together, 500 at most: a whole class can
//      run out at once. The rest comes with the next tick.
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

  // As the roster noticed it.
  void noticed(Change change, Tracked& tracked, const Snapshot& held);
  // It was ended, and is there still.
  void look_again(Tracked& tracked);
  void tick(std::uint64_t now_ms);

 private:
  // By what they are told and how patiently.
  using Overdue =
      std::map<std::tuple<std::string, std::chrono::milliseconds, bool>, std::vector<Session>>;

  void look(std::uint64_t now_ms);
  void look_at(Tracked& tracked, const ProcessTable& table, std::uint64_t now_ms, Overdue& ret);
  void look_at_reservation(Tracked& tracked, std::uint64_t now_ms);
  void check_at(Tracked& tracked, std::uint64_t time_ms);

  Registry& registry_;
  const Config& config_;
  Roster& roster_;
  Endings& endings_;
  const Processes& processes_;
  // CLOCK_BOOTTIME, as Tracked::check_ms, of which it is the earliest.
  std::uint64_t next_check_ms_ = 0;
  std::uint64_t rests_until_ms_ = 0;
};

}  // namespace sessreg
