// What happened between two looks at the sessions.
#pragma once

#include <string>
#include <vector>

#include "session/change.h"
#include "sessreg/list/listing.h"

namespace sessreg {

struct RowChange {
  Change what;
  const Row* row;  // as last seen; belongs to one of the two listings
  State before;    // the earlier state, if it is in another one now
};

// Reports everything in `now` as `listed`.
std::vector<RowChange> first_look(const Listing& now);
// Both were read with ListOptions::watch. Ends come first.
std::vector<RowChange> changes_between(const Listing& before, const Listing& now);

// "opened anna, sshd from 192.0.2.7", escaped for the terminal.
std::string describe(const RowChange& change);

// One line each, with its newline: the text for a pipe,
// "2026-11-22 14:03:11  opened  ID  USER  SERVICE  HOST  STATE", and the JSON object
// {"time", "event", "before", "session"}.
std::string change_line(const RowChange& change, std::int64_t now_ms);
std::string change_json(const RowChange& change, std::int64_t now_ms);

}  // namespace sessreg
