// What happened between two looks at the sessions.
#pragma once

#include <string>
#include <vector>

#include "sessreg/list/listing.h"

namespace sessreg {

enum class ChangeKind {
  listed,    // was there when the first look was taken
  reserved,  // a login is under way
  login,     // was opened
  state,     // is in another state
  end,       // is over
  shown,     // fits the filter now
  hidden,    // does not any more
};

// The name used in lines and JSON: "login", …
const char* text(ChangeKind kind);

struct Change {
  ChangeKind kind;
  const Row* row;  // as it was seen last; belongs to one of the two listings
  State before;    // of `state`
};

// Everything in `now` is `listed`.
std::vector<Change> first_look(const Listing& now);
// Both were read with ListOptions::watch. Ends come first.
std::vector<Change> changes_between(const Listing& before, const Listing& now);

// "login anna, sshd from 192.0.2.7", escaped for the terminal.
std::string describe(const Change& change);

// One line each, with the newline: for a pipe "2026-11-22 14:03:11  login  ID  USER  SERVICE  HOST
// STATE", and the JSON object {"time", "event", "before", "session"}.
std::string change_line(const Change& change, std::int64_t now_ms);
std::string change_json(const Change& change, std::int64_t now_ms);

}  // namespace sessreg
