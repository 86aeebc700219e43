// Activity by token: whoever shows a session's token uses the session.
//
// A token that its session knows needs no signature check: the digest in the registry, which only
// root writes, was made of the very text that was signed. The check here is that of the session: is
// it there, is it to go, has it a seat.
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
    revoked,    // it is to go; `reason` tells why
    expired,    // out of time
    site_full,  // it was parked, and no seat is free; `message` is for its user, `limit` is full
  };
  What what = What::unknown;
  std::string reason;
  std::string message;
  std::int32_t limit = -1;
  Snapshot session{};  // unless unknown: as it was before
};

// The token of a session whose record is complete but for that. Errors as issue_token().
Result<std::string> token_for(const RecordImage& record, std::uint32_t slot,
                              const std::string& site, const std::string& user,
                              const SigningKey& key);

// `now_ms`: CLOCK_BOOTTIME. Costs a look at /proc only for a session that would be out of time.
Marked mark_activity(Registry& registry, const Config& config, std::uint32_t slot,
                     const TokenDigest& digest, const Processes& processes, std::uint64_t now_ms);
// The same for a session that its service itself says is used. What the service says it sees, so
// from then on it can be told whether the session is used, as if its token had been shown.
Marked mark_activity(Registry& registry, const Config& config, const Snapshot& session,
                     const Processes& processes, std::uint64_t now_ms);

}  // namespace sessreg
