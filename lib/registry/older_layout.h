// Registries that an earlier version of sessreg made in the same boot: an upgrade must not lose the
// sessions that are open.
//
// Rules this file and layout.h keep:
//   1. Any change to a registry file after its HeaderImage, or to the image after `slots`, raises
//      kLayoutVersion. Magic, version and stamp stay as they are in every version, so that the
//      stamp tells a file of another version from a damaged one.
//   2. A version that was in use stays known here until no host that ran it can still be up: a
//      change of layout adds a reader that turns the old records into today's.
//   3. A file of a known older version is carried over by the first login, sessregd or command that
//      opens it: sessions with their ids, seats, last activity and revocations, and the limit that
//      was set; see registry_file.h. Reservations are not: the login under way is of the older
//      version, finds a file it cannot read, and its user tries again.
//   4. A newer version, or one not known here, is the error other_layout.
//   5. A change of layout also raises the versions in the Breaks of debian/control, so that module,
//      tool, daemon and library come together.
//
// Thread safety: functions keep no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/layout.h"
#include "registry/words.h"

namespace sessreg {

struct CarriedSession {
  RecordImage record;              // a session, or an exempt one
  Stage stage;                     // seated, parked, evicted or exempt
  std::uint64_t last_activity_ms;  // CLOCK_BOOTTIME
  bool is_revoked;
  std::string reason;
  MarkStage revoked_by = MarkStage::revoked;
  std::uint32_t grace_s = 0;
  bool use_is_told = false;
};

struct CarriedGroup {
  std::uint64_t name_hash;
  std::int32_t limit;  // negative: none
};

struct OlderRegistry {
  HeaderImage header;
  std::optional<std::int32_t> override_limit;
  std::vector<CarriedGroup> groups;  // by their index, which the bits of records name
  std::vector<CarriedSession> sessions;
};

bool is_older_layout(std::uint32_t version);

// `header` was read from `fd`, its stamp fits and its version is_older_layout(). Others may
// still be changing the file: each session is read as it was at one moment. Errors: corrupt,
// truncated, system.
Result<OlderRegistry> read_older_registry(int fd, const HeaderImage& header,
                                          const std::string& path);

}  // namespace sessreg
