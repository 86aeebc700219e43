// Signals that cannot reach the wrong process, and which of them a login service takes as the end
// of a session.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "host/process.h"
#include "host/process_table.h"

namespace sessreg {

// By pidfd, the start time compared after it was opened, so that a pid that was used again is never
// hit. False: it is gone, or may not be signalled. A stopped process is woken to take it.
bool signal_process(const ProcessId& id, int signal_number);

struct FirstSignal {
  std::vector<ProcessId> targets;
  std::vector<int> signal_numbers;
};

// What makes this service close the session by itself; see sessreg(8), "How a session is ended".
// The service is told by the leader's program, as the name of a PAM service may be any. `members`
// are the session's processes; the leader is alive.
FirstSignal first_signal(const ProcessId& leader, std::string_view service,
                         const std::vector<ProcessTable::Entry>& members);

}  // namespace sessreg
