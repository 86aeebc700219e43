// The outcome of looking for a seat.
#pragma once

#include <cstdint>

namespace sessreg {

enum class Outcome {
  done,
  site_full,      // count >= limit
  user_full,      // the user's own limit
  group_full,     // a limit of one of the user's groups
  table_full,     // count >= capacity
  gone,           // the session, or the victim, is no longer in the expected stage
  not_idle,       // the victim was used meanwhile
  has_room,       // nobody need give way: use add()
  device_seated,  // the device has a session, in Decision::slot: with a seat
  device_parked,  // without; there is room for a newcomer
  device_exempt,
  stale_configuration,  // the limit in the registry comes from another configuration than the
                        // caller's
};

// The numbers that decided it: those of the limit that refused, else the site's.
struct Decision {
  Outcome outcome = Outcome::done;
  std::int32_t limit = -1;
  std::uint32_t count = 0;
  std::uint32_t group = 0;  // group_full: the index of its entry
  // device_…: where that session is; the generation is that of its stage.
  std::uint32_t slot = 0xffffffff;
  std::uint32_t generation = 0;
  // Of the device of the rules there are notes (record.h), which go when its login has the seat.
  bool device_has_notes = false;

  bool done() const { return outcome == Outcome::done; }
  bool is_of_device() const {
    return outcome == Outcome::device_seated || outcome == Outcome::device_parked ||
           outcome == Outcome::device_exempt;
  }
};

}  // namespace sessreg
