// Activity by token: whoever shows a session's token uses the session.
//
// A token that its session knows needs no signature check: the digest in the registry, which only
// root writes, was made from the very text that was signed. What is checked here is the session:
// whether it exists, whether it has to end, whether it has a seat.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "host/process.h"
#include "registry/registry.h"
#include "token/token.h"

namespace sessreg {

struct Marked {
  enum class What {
    marked,
    unknown,    // no session in that slot has a token of that digest
    revoked,    // it has to end; `reason` says why
    expired,    // out of time
    site_full,  // it was parked, and no seat is free; `message` is for its user, `limit` is full
  };
  What what = What::unknown;
  std::string reason;
  std::string message;
  Refusal refusal = Refusal::site_full;  // site_full: which limit it is
  std::int32_t limit = -1;
  std::uint32_t count = 0;
  Snapshot session{};  // unless unknown: as it was before
};

// When its token ends, in seconds since 1970.
std::int64_t token_end_s(const RecordImage& record);

// The token for a session whose record lacks nothing else. Errors as issue_token().
Result<std::string> token_for(const RecordImage& record, std::uint32_t slot,
                              const std::string& site, const std::string& user,
                              const SigningKey& key);

// `now_ms`: CLOCK_BOOTTIME. Reads /proc only for a session that seems to be out of time.
Marked mark_activity(Registry& registry, const Config& config, std::uint32_t slot,
                     const TokenDigest& digest, const Processes& processes, std::uint64_t now_ms);
// The same for a session that its service reports as used. The service can see that, so from then
// on it is known whether the session is used, as if its token had been shown.
Marked mark_activity(Registry& registry, const Config& config, const Snapshot& session,
                     const Processes& processes, std::uint64_t now_ms);

}  // namespace sessreg
