// What a session is doing, as people see it.
//
// Thread safety: a StateReader belongs to one thread; text() and state_named() are pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "host/process.h"
#include "registry/registry.h"

namespace sessreg {

enum class State : std::uint8_t {
  active,    // holds a seat
  parked,    // lives on without a seat, which somebody else needed while it was idle
  reserved,  // a seat taken in the account phase, not yet bound to an opened session
  orphaned,  // the process that opened it is gone, processes of the session still run
  left,      // the same, where what a session leaves running is to count (count_leftovers)
  ending,    // revoked, evicted, or out of time, and its processes have not gone yet
  exempt,    // listed, neither counted nor refused
  observed,  // let in by `observe` where there was no seat: listed, not counted
};

inline constexpr std::size_t kStates = static_cast<std::size_t>(State::observed) + 1;

// The name used in tables, JSON and --state: "active", …
const char* text(State state);
std::optional<State> state_named(std::string_view name);

// For a session that is not a reservation and whose leader is alive. `terminals_tell`: see
// TerminalLook.
State state_while_alive(const Snapshot& session, bool terminals_tell, std::uint64_t now_ms);

// For a session without a process, of which the clock tells all. nullopt: it is over.
std::optional<State> state_by_clock(const Snapshot& session, std::uint64_t now_ms);

// Tells states from one look at the processes: /proc is searched when the first leader is found to
// be gone, and not again. Make a new one for a newer look. `processes` must outlive it.
class StateReader {
 public:
  explicit StateReader(const Processes& processes) : processes_(&processes) {}

  // `terminals_tell`: as above.
  // nullopt: it is over, as its leader, every process whose sid is the leader's pid, and all that
  // counts of its audit session are gone. A reservation is never over here: Registry::reap()
  // decides when it ends.
  std::optional<State> state_of(const Snapshot& session, bool terminals_tell, std::uint64_t now_ms);

 private:
  const Processes* processes_;
  std::optional<LiveSids> live_sids_;
  std::optional<LiveAuditSessions> live_audit_sessions_;
};

}  // namespace sessreg
