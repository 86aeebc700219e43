// The user sessions of a site as they are shown and chosen, read from its registry.
//
// Thread safety: functions keep no state; a Registry belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clock.h"
#include "config.h"
#include "process.h"
#include "process_table.h"
#include "registry.h"
#include "session_state.h"

namespace sessreg {

// Texts are as they were recorded: escape them before they are shown.
struct Session {
  Snapshot snapshot;
  State state = State::active;
  std::string site;
  std::string reason;
  std::optional<std::uint32_t> uid;
  ProcessId leader;
  bool has_seat = false;
  bool can_idle = false;  // it can be told whether it is used: a terminal, or a token shown
  std::int64_t opened_realtime_ms = 0;
  std::int64_t last_activity_realtime_ms = 0;
  std::uint64_t idle_ms = 0;
  std::optional<std::int64_t> expires_realtime_ms;

  std::string id() const { return to_hex(snapshot.record.id); }
  std::string_view user() const { return text_of(snapshot.record.user); }
  std::string_view service() const { return text_of(snapshot.record.service); }
  std::string_view host() const { return text_of(snapshot.record.host); }
  std::string_view tty() const { return text_of(snapshot.record.tty); }

  // A session without a terminal (a tunnel, a mount; a container's cannot be seen) that never
  // showed a token is never idle: nobody can see whether it is used.
  bool is_idle_for(Seconds time) const;
};

// The processes of a session that is not over.
std::vector<ProcessTable::Entry> processes_of(const Session& session, const ProcessTable& table);

// `has_terminal`: of its own processes, that can be looked at.
Session session_from(const Snapshot& snapshot, const std::string& site, State state,
                     bool has_terminal, const Now& at);

// Takes when its terminals were last typed on as activity, of which a parked session takes a seat
// again if it can. True: it has a terminal that can be looked at. `ret_snapshot` is read again.
bool take_typing_as_activity(Snapshot& ret_snapshot, Registry& registry, const Config& config,
                             const ProcessTable& table, const Now& at);

// Drops what is dead from the registry, takes the typing on terminals as activity, and visits what
// is there, in no order. Every visit is of the same object, filled anew: allocates next to nothing.
// Returns what was dropped.
Reaped for_each_session(Registry& registry, const Config& config, const ProcessTable& table,
                        const std::function<void(const Session&)>& visit);

// The same, all at once, stalest first.
std::vector<Session> read_sessions(Registry& registry, const Config& config,
                                   const ProcessTable& table);
void sort_stalest_first(std::vector<Session>& sessions);

}  // namespace sessreg
