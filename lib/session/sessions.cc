#include "session/sessions.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <unordered_map>

#include "host/terminals.h"
#include "session/returning.h"

namespace sessreg {
namespace {

// Any value may stand in a damaged registry.
std::int64_t saturated_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b < 0 ? std::numeric_limits<std::int64_t>::min()
               : std::numeric_limits<std::int64_t>::max();
}

// Fills in all but the snapshot. Memory that `session` has is used again.
void fill(Session& session, const std::string& site, State state, bool terminals_tell,
          const Now& at) {
  const Snapshot& snapshot = session.snapshot;
  const RecordImage& record = snapshot.record;
  session.state = state;
  session.site = site;
  if (snapshot.mark == MarkStage::none)
    session.reason.clear();
  else
    session.reason = reason_of(snapshot);
  session.uid = uid_of(record);
  session.leader = leader_of(record);
  session.has_seat = snapshot.state.stage == Stage::seated;
  session.can_idle = record.kind != RecordKind::reservation &&
                     (terminals_tell || snapshot.use_is_told || !has_process(record));
  session.opened_realtime_ms = record.opened_realtime_ms;
  const std::uint64_t last_ms = std::max(snapshot.last_activity_ms, record.opened_boottime_ms);
  session.last_activity_realtime_ms = saturated_sum(
      record.opened_realtime_ms, static_cast<std::int64_t>(last_ms - record.opened_boottime_ms));
  session.expires_realtime_ms.reset();
  if (const auto end_ms = expiry_ms(snapshot, terminals_tell))
    session.expires_realtime_ms = saturated_sum(
        record.opened_realtime_ms, static_cast<std::int64_t>(*end_ms - record.opened_boottime_ms));
  session.idle_ms = at.boottime_ms > last_ms ? at.boottime_ms - last_ms : 0;
  session.tty_device = 0;
}

// Looks among the processes that were read already, and asks the system only about others: with a
// million sessions most of the time would go there.
class SeenProcesses final : public Processes {
 public:
  explicit SeenProcesses(const ProcessTable& table) : table_(table) {}
  Life life(const ProcessId& id) const override {
    const ProcessTable::Entry* seen = table_.find(id.pid);
    return seen != nullptr && seen->id == id ? Life::alive : system_.life(id);
  }
  LiveSids live_sids() const override { return system_.live_sids(); }
  LiveAuditSessions live_audit_sessions() const override { return system_.live_audit_sessions(); }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override {
    return system_.start_ticks_if_alive(pid);
  }
  void look_at_terminals(std::span<TerminalLook> looks) const override {
    sessreg::look_at_terminals(looks, table_);
  }

 private:
  const ProcessTable& table_;
  SystemProcesses system_;
};

// Finds out once for each leader whether any process of its session has a terminal.
class TerminalOwners {
 public:
  explicit TerminalOwners(const ProcessTable& table) : table_(table) {}

  bool has(const RecordImage& record) {
    const auto leader = leader_of(record);
    if (!leader) return false;
    const auto [known, is_new] = known_.try_emplace(leader->pid, leader->start_ticks, false);
    if (is_new || known->second.first != leader->start_ticks) {
      const auto all = sessreg::processes_of(*leader, leftovers_of(record), table_);
      known->second = {leader->start_ticks,
                       std::any_of(all.begin(), all.end(),
                                   [](const auto& process) { return process.tty_device != 0; })};
    }
    return known->second.second;
  }

 private:
  const ProcessTable& table_;
  std::unordered_map<pid_t, std::pair<std::uint64_t, bool>> known_;  // start time
};

}  // namespace

TerminalLook take_typing_as_activity(Snapshot& snapshot, Registry& registry, const Config& config,
                                     const ProcessTable& table, const Now& at) {
  if (snapshot.record.kind == RecordKind::reservation || !leader_of(snapshot.record)) return {};
  std::array look = {look_at(snapshot.record)};
  look_at_terminals(look, table);
  if (!look[0].has_terminal) return look[0];
  const std::uint64_t typed_ms = registry.boottime_of(look[0].typed_realtime_ms, at);
  const std::uint64_t last_ms =
      std::max(snapshot.last_activity_ms, snapshot.record.opened_boottime_ms);
  // The same moment can differ by how each was rounded.
  if (typed_ms > last_ms + kActivityUnit_ms && registry.touch(snapshot.ref, typed_ms)) {
    if (snapshot.state.stage == Stage::parked) come_back(registry, config, snapshot);
    snapshot.last_activity_ms = typed_ms;
    Snapshot again;
    if (registry.snapshot(snapshot.ref, again)) snapshot = again;
  }
  return look[0];
}

Session session_from(const Snapshot& snapshot, const std::string& site, State state,
                     bool terminals_tell, const Now& at) {
  Session session;
  session.snapshot = snapshot;
  fill(session, site, state, terminals_tell, at);
  return session;
}

bool Session::is_idle_for(Seconds time) const {
  const auto ms = std::chrono::milliseconds(time).count();
  return can_idle && idle_ms >= static_cast<std::uint64_t>(ms);
}

std::vector<ProcessTable::Entry> processes_of(const Session& session, const ProcessTable& table) {
  // A reservation's maker is not a session yet, and its terminal is somebody else's. (The leader is not
  // the record's: of a session that the daemon has told, that has none.)
  if (session.snapshot.record.kind == RecordKind::reservation || !session.leader) return {};
  return processes_of(*session.leader, leftovers_of(session.snapshot.record), table);
}

SessionScan::SessionScan(Registry& registry, const Config& config, const ProcessTable& table)
    : registry_(registry),
      config_(config),
      table_(table),
      at_(now()),
      gate_before_(registry.gate_word()),
      seen_(registry.slots()) {
  registry_.count();  // settles, so that no seat is shown that was given up before
}

void SessionScan::look(std::uint32_t first, std::uint32_t end, const VisitSession& visit) {
  TerminalOwners owners(table_);
  Session session;
  const Snapshot& snapshot = session.snapshot;
  std::vector<std::uint32_t> rest;
  for (std::uint32_t slot = first; slot < end; ++slot) {
    if (!registry_.snapshot(slot, session.snapshot)) {
      if (!registry_.is_free(slot)) rest.push_back(slot);
      continue;
    }
    std::optional<State> state;
    if (!has_process(snapshot.record)) {
      // What is marked and has a seat is about to give it up.
      if (snapshot.mark == MarkStage::none || snapshot.state.stage == Stage::evicted)
        state = state_by_clock(snapshot, at_.boottime_ms);
    } else if (snapshot.record.kind != RecordKind::reservation &&
               snapshot.state.stage != Stage::parked) {
      // Who is parked may get the seat back when the dead are dropped.
      const auto leader = leader_of(snapshot.record);
      if (leader && table_.find(*leader) != nullptr && !owners.has(snapshot.record))
        state = state_while_alive(snapshot, false, at_.boottime_ms);
    }
    if (!state) {
      rest.push_back(slot);
      continue;
    }
    fill(session, config_.site, *state, false, at_);
    note_seen(snapshot.ref);
    visit(session);
  }
  const std::lock_guard lock(mutex_);
  rest_.insert(rest_.end(), rest.begin(), rest.end());
}

Reaped SessionScan::finish(const VisitSession& visit) {
  // A session that meanwhile took its seat, or a reservation's, may be in a slot
  // that was looked at before that.
  const bool has_changed = registry_.gate_word() != gate_before_;
  const SeenProcesses processes(table_);
  const Reaped dropped = registry_.reap(rest_, processes, at_.boottime_ms);

  StateReader states(processes);
  TerminalOwners owners(table_);
  Session session;
  const Snapshot& snapshot = session.snapshot;
  // Until it is sure that none of them was bound in between: the session has its reservation's id.
  std::map<SessionId, Snapshot> reservations;
  const auto read = [&] {
    TerminalLook look{};
    if (owners.has(snapshot.record))
      look = take_typing_as_activity(session.snapshot, registry_, config_, table_, at_);
    const bool terminals_tell = look.tells_use();
    const auto state = states.state_of(snapshot, terminals_tell, at_.boottime_ms);
    if (!state) return;  // it is over
    fill(session, config_.site, *state, terminals_tell, at_);
    session.tty_device = look.tty_device;
    visit(session);
  };
  const auto read_slot = [&](std::uint32_t slot) {
    if (!registry_.snapshot(slot, session.snapshot) || is_seen(snapshot.ref)) return;
    if (snapshot.record.kind == RecordKind::reservation) {
      reservations.emplace(snapshot.record.id, snapshot);
      return;
    }
    note_seen(snapshot.ref);
    reservations.erase(snapshot.record.id);
    read();
  };
  for (const std::uint32_t slot : rest_)
    read_slot(slot);
  for (std::uint32_t slot = 0; has_changed && slot < registry_.slots(); ++slot)
    read_slot(slot);
  for (const auto& [id, reservation] : reservations) {
    session.snapshot = reservation;
    read();
  }
  registry_.note_clock(at_);
  return dropped;
}

Reaped for_each_session(Registry& registry, const Config& config, const ProcessTable& table,
                        const VisitSession& visit) {
  SessionScan scan(registry, config, table);
  scan.look(0, registry.slots(), visit);
  return scan.finish(visit);
}

std::vector<Session> read_sessions(Registry& registry, const Config& config,
                                   const ProcessTable& table) {
  std::vector<Session> sessions;
  for_each_session(registry, config, table,
                   [&](const Session& session) { sessions.push_back(session); });
  sort_stalest_first(sessions);
  return sessions;
}

void sort_stalest_first(std::vector<Session>& sessions) {
  std::sort(sessions.begin(), sessions.end(), [](const Session& a, const Session& b) {
    if (a.idle_ms != b.idle_ms) return a.idle_ms > b.idle_ms;
    return a.snapshot.record.id < b.snapshot.record.id;
  });
}

}  // namespace sessreg
