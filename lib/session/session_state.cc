#include "session/session_state.h"

namespace sessreg {

const char* text(State state) {
  switch (state) {
    case State::active:
      return "active";
    case State::parked:
      return "parked";
    case State::reserved:
      return "reserved";
    case State::orphaned:
      return "orphaned";
    case State::left:
      return "left";
    case State::ending:
      return "ending";
    case State::exempt:
      return "exempt";
    case State::observed:
      return "observed";
  }
  return "unknown";
}

std::optional<State> state_named(std::string_view name) {
  for (const State state : {State::active, State::parked, State::reserved, State::orphaned,
                            State::left, State::ending, State::exempt, State::observed})
    if (name == text(state)) return state;
  return std::nullopt;
}

State state_while_alive(const Snapshot& session, bool terminals_tell, std::uint64_t now_ms) {
  if (session.state.stage == Stage::exempt)
    return has(session.record.flags, RecordFlags::observed) ? State::observed : State::exempt;
  if (session.mark != MarkStage::none || session.state.stage == Stage::evicted)
    return State::ending;
  if (now_ms >= expiry_ms(session, terminals_tell).value_or(~0ull)) return State::ending;
  return session.state.stage == Stage::parked ? State::parked : State::active;
}

std::optional<State> state_by_clock(const Snapshot& session, std::uint64_t now_ms) {
  const std::uint64_t ends_ms = is_note(session)
                                    ? end_of_note_ms(session)
                                    : expiry_ms(session, true).value_or(~std::uint64_t{0});
  if (now_ms >= ends_ms) return std::nullopt;
  return state_while_alive(session, true, now_ms);
}

std::optional<State> StateReader::state_of(const Snapshot& session, bool terminals_tell,
                                           std::uint64_t now_ms) {
  const RecordImage& record = session.record;
  if (record.kind == RecordKind::reservation) return State::reserved;

  if (!has_process(record)) return state_by_clock(session, now_ms);
  const auto known_leader = leader_of(record);
  const pid_t leader = known_leader ? known_leader->pid : 0;
  const Life life = known_leader ? processes_->life(*known_leader) : Life::reused;
  const Leftovers leftovers = leftovers_of(record);
  if (life != Life::alive) {
    if (!live_sids_) live_sids_ = processes_->live_sids();
    if (leftovers.audit_session != 0 && !live_audit_sessions_)
      live_audit_sessions_ = processes_->live_audit_sessions();
    if (!(life == Life::gone && live_sids_->contains(leader)) &&
        !(leftovers.audit_session != 0 && live_audit_sessions_->contains(leftovers)))
      return std::nullopt;
  }

  const State state = state_while_alive(session, terminals_tell, now_ms);
  if (state != State::active || life == Life::alive) return state;
  return leftovers.beside_leader ? State::left : State::orphaned;
}

}  // namespace sessreg
