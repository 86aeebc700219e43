// Ending sessions: told why, asked in the way their service understands, then made to.
//
//   mark      the registry shows the session as ending, with the reason
//   tell      a line on its terminals
//   ask       the first signal of its service; most close the session at once
//   `grace`   later SIGHUP and SIGTERM to what is left of the processes seen at the start and of
//             their descendants, 2 s later SIGKILL, 1 s later also to the leader: a leader that
//             dies before its children leaves them running, and closes nothing
//
// Rules:
//   1. A signal goes by pidfd, the start time compared, to a process that belonged to the session.
//   2. Never to pid 1, the caller, or (unless it asked for that) one of its ancestors.
//   3. A leader that has closed the session, or leads another one that is to stay, is left alone.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "session.h"
#include "site.h"

namespace sessreg {

enum class EndResult {
  ended,     // no process left, and the seat is free
  ending,    // its process holds another session too, so it was only marked
  survived,  // processes are left even so
};
const char* text(EndResult result);

struct Ended {
  EndResult result = EndResult::ended;
  std::vector<pid_t> survivors;
};

struct EndingOptions {
  std::string reason;
  std::chrono::milliseconds grace{10'000};
  bool include_own = false;
};

// The sessions that the calling process itself runs in: an ancestor, or its terminal session, is
// their leader.
bool is_own_session(const Session& session, const ProcessTable& table);

// All at once. `all` are the sessions there are; `chosen`, of these, the ones to end. The results
// are in the order of `chosen`.
std::vector<Ended> end_sessions(OpenSite& site, const std::vector<Session>& all,
                                const std::vector<Session>& chosen, const EndingOptions& options);

}  // namespace sessreg
