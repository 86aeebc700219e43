// The sessions without a process that have ended, for as long as their tokens are good: a reboot takes
// the registry with its notes, and not the tokens that browsers keep.
//
// A text file beside the site's key, one line a session: its id, when its token ends in seconds since
// 1970, and "revoked" or "closed". Only root writes it. It has some 16,000 lines at most: when there are
// more those go that are out of time, then the oldest of the closed, then the oldest of the revoked.
//
// Concurrency: any number of processes at once, each under flock(2).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "registry/record.h"

namespace sessreg {

struct EndedSession {
  SessionId id;
  std::int64_t token_ends_s;
};

// Revoked: noted on the disk when that returns. Closed, evicted or out of time: some seconds later, so
// that a logout does not wait for a disk.
enum class EndedHow { revoked, closed };

std::string ended_path(const Config& config);

// What there is to note of that session; nullopt: it has a process, or no token.
std::optional<EndedSession> ended_session(const RecordImage& record);

std::optional<Error> note_ended(const Config& config, std::span<const EndedSession> sessions,
                                EndedHow how);

// Whether it was noted.
Result<bool> was_ended(const Config& config, const SessionId& id);

}  // namespace sessreg
