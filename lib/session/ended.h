// The sessions without a process that were revoked, for as long as their tokens are good: a reboot takes
// the registry with its notes, and not the tokens that browsers keep.
//
// A text file beside the site's key, one line a session: its id, and when its token ends in seconds
// since 1970. Only root writes it.
//
// Concurrency: any number of processes at once; a line is written in one piece.
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

std::string ended_path(const Config& config);

// When the token of that session ends, whether or not it has one.
EndedSession ended_session(const RecordImage& record);

// Adds them, and waits until they are on the disk. A file that has grown long is written anew, without
// what is out of time, and, if that is not enough, without the oldest.
std::optional<Error> note_ended(const Config& config, std::span<const EndedSession> sessions,
                                std::int64_t now_s);

// Whether it was noted.
Result<bool> was_ended(const Config& config, const SessionId& id);

}  // namespace sessreg
