// Signals that cannot reach the wrong process, and which of them a login service takes as the end
// of a session.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/process.h"
#include "host/process_table.h"

namespace sessreg {

// Sends the signal by pidfd, and compares the start time once that is open, so that a reused pid is
// never hit. False: the process is gone, or may not be signalled. A stopped process is woken to
// take the signal. `as`: only if this user could do it: the real or the saved uid is theirs, as
// kill(2) has it.
bool signal_process(const ProcessId& id, int signal_number, std::optional<uid_t> as = std::nullopt);

struct FirstSignal {
  std::vector<ProcessId> targets;
  std::vector<int> signal_numbers;
};

// What makes this service close the session by itself; see sessreg(8), "How a session is ended".
// The service is recognized by the leader's program, as a PAM service may have any name. `members`
// are the session's processes; the leader is alive.
FirstSignal first_signal(const ProcessId& leader, std::string_view service,
                         const std::vector<ProcessTable::Entry>& members);

}  // namespace sessreg
