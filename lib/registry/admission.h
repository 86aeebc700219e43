// A login that asks for a seat, and the answer it gets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/process.h"
#include "registry/record.h"
#include "registry/refusal.h"

namespace sessreg {

// What a login brings with it.
struct Login {
  std::string user;  // the whole name; decides
  std::uint32_t uid = kNoUid;
  std::string service;
  std::string host;
  std::string tty;
  std::string connection;  // SSH_CONNECTION, or empty
  ProcessId self;          // the process that calls
  ProcessId parent;        // for a reservation
  // A reservation that it may bind whoever made it: the caller has shown it to be its own, or one
  // that came to it from the process that it was forked from.
  std::optional<SlotRef> inherited;
  // The session lasts as long as this process; unset: self. For a reservation it is always self.
  std::optional<ProcessId> leader;
  bool has_shared_leader = false;   // see RecordFlags
  bool has_display = false;         // see RecordFlags
  bool is_observed = false;         // see RecordFlags; for list_exempt()
  std::uint32_t audit_session = 0;  // its own (own_audit_session()); 0: none
  // A session without a process: see RecordFlags. Leader, parent and what follows from them count for
  // nothing then; `tty` is a label of the device. A reservation has a process in any case: its maker.
  bool no_process = false;
  // Of one user and service at most one session has a given key. Empty: none. Only with no_process.
  std::string device;
  // A session of the same user that gives way to this login.
  std::optional<SlotRef> take_over;
};

// A session that gives way. Parked sessions just lost their seat; for all others it is for good:
// the caller tells them why and ends their processes (send_off.h).
struct Displaced {
  enum class Why { evicted, table_full, returned_in_vain, parked };
  Snapshot session;
  Why why;
};

struct Admission {
  Refusal refusal = Refusal::none;
  // The limit in the registry comes from another configuration than the caller's: read the file
  // again, and publish_limit() if it still says the same.
  bool stale_configuration = false;
  std::int32_t limit = -1;    // the one that refused, else the site's
  std::uint32_t count = 0;    // seats taken under it, with this one if it was admitted
  std::uint32_t group = 0;    // group_full: the index of its entry
  std::uint64_t wait_ms = 0;  // locked: for how long
  SlotRef ref;
  SessionId id{};
  // Of a reservation: there would be a seat, but others would have to lose what could not be given
  // back to them. A login may end here, so that is for its session: nothing was taken, admit() it.
  bool deferred = false;
  // Of use(): the device had a session, which `ref` and `id` are; nothing was taken.
  bool found = false;
  std::string token;                 // of a session that was opened, if it has one
  std::vector<Displaced> displaced;  // never for a reservation

  bool admitted() const { return refusal == Refusal::none && !stale_configuration; }
};

}  // namespace sessreg
