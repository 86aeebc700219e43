// What happened to a session. `sessreg list --watch` and the daemon's socket use the same names.
//
// Thread safety: pure.
#pragma once

namespace sessreg {

enum class Change {
  opened,    // a user has logged in
  parked,    // it gave its seat up while it was idle
  returned,  // it is active again
  ending,    // it was revoked or evicted, or it is out of time; its processes still run
  closed,    // it is over
  // Only where states are compared; the daemon does not report them.
  reserved,  // a login is under way
  orphaned,  // the process that opened it has gone
  left,      // the same, and what it left running counts
  // Only in a list.
  listed,  // was there when the first look was taken
  shown,   // matches the filter now
  hidden,  // no longer matches it
};

// The name used in lines and JSON: "opened", …
const char* text(Change change);

}  // namespace sessreg
