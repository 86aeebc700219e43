// The user sessions of a site as they are shown and chosen, read from its registry.
//
// Thread safety: functions keep no state; a Registry belongs to one thread, but see SessionScan.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/config.h"
#include "host/process.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "session/session_state.h"

namespace sessreg {

// Texts are as they were recorded: escape them before they are shown.
struct Session {
  Snapshot snapshot;
  State state = State::active;
  std::string site;
  std::string reason;
  std::optional<std::uint32_t> uid;
  std::optional<ProcessId> leader;  // nullopt: it has no process
  bool has_seat = false;
  // It can be seen whether it is used: a terminal, a token shown, or no process, so that its service
  // tells.
  bool can_idle = false;
  std::int64_t opened_realtime_ms = 0;
  std::int64_t last_activity_realtime_ms = 0;
  std::uint64_t idle_ms = 0;
  std::optional<std::int64_t> expires_realtime_ms;
  // The terminal of its processes that was typed on last, as in ProcessStat; 0: none can be looked at.
  std::uint32_t tty_device = 0;

  std::string id() const { return to_hex(snapshot.record.id); }
  std::string_view user() const { return text_of(snapshot.record.user); }
  std::string_view service() const { return text_of(snapshot.record.service); }
  std::string_view host() const { return text_of(snapshot.record.host); }
  std::string_view tty() const { return text_of(snapshot.record.tty); }  // or a device's label
  // For showing; 0: it has no process.
  pid_t pid() const { return leader ? leader->pid : 0; }

  // A session without a terminal (a tunnel, a mount; a container's terminal cannot be seen), or with
  // a display beside it, of which nobody tells is never idle: nobody can see whether it is used.
  bool is_idle_for(Seconds time) const;
};

// The processes of a session that is not over.
std::vector<ProcessTable::Entry> processes_of(const Session& session, const ProcessTable& table);

// `terminals_tell`: see TerminalLook.
Session session_from(const Snapshot& snapshot, const std::string& site, State state,
                     bool terminals_tell, const Now& at);

// Counts the last typing on its terminals as activity, upon which a parked session takes a seat
// again if it can. Returns what was seen of its terminals. `ret_snapshot` is read again.
TerminalLook take_typing_as_activity(Snapshot& ret_snapshot, Registry& registry,
                                     const Config& config, const ProcessTable& table,
                                     const Now& at);

// Called with each session, in no particular order. Every visit gets the same object, filled anew.
using VisitSession = std::function<void(const Session&)>;

// One look at the sessions of a registry, which threads may share: first look() at every slot,
// then finish(). A login that is under way is shown as its reservation or as its session.
// Allocates next to nothing per session.
class SessionScan {
 public:
  // All of these must outlive it.
  SessionScan(Registry& registry, const Config& config, const ProcessTable& table);

  // Visits those sessions in the slots [first, end) for which one look is enough: they are not
  // parked, their leader is alive, and no process of theirs has a terminal. Several threads may do
  // this at once, each with other slots.
  void look(std::uint32_t first, std::uint32_t end, const VisitSession& visit);
  // Then, by one thread and once: drops what is dead, takes the typing on terminals as activity,
  // and visits the others. Returns what was dropped.
  Reaped finish(const VisitSession& visit);

 private:
  void note_seen(SlotRef ref) { seen_[ref.slot] = ref.epoch + 1; }
  bool is_seen(SlotRef ref) const {
    return seen_[ref.slot] != 0 && seen_[ref.slot] == ref.epoch + 1;
  }

  Registry& registry_;
  const Config& config_;
  const ProcessTable& table_;
  Now at_;
  std::uint64_t gate_before_;
  std::vector<std::uint32_t> seen_;  // by slot: 1 + epoch of the session visited; 0: none
  std::mutex mutex_;                 // guards what follows
  std::vector<std::uint32_t> rest_;  // slots
};

// All of it, by this thread.
Reaped for_each_session(Registry& registry, const Config& config, const ProcessTable& table,
                        const VisitSession& visit);

// The same, all at once, stalest first.
std::vector<Session> read_sessions(Registry& registry, const Config& config,
                                   const ProcessTable& table);
void sort_stalest_first(std::vector<Session>& sessions);

}  // namespace sessreg
