#include "session.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "returning.h"
#include "terminals.h"
#include "times.h"

namespace sessreg {
namespace {

// Any value may stand in a damaged registry.
std::int64_t saturated_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b < 0 ? std::numeric_limits<std::int64_t>::min()
               : std::numeric_limits<std::int64_t>::max();
}

// A reservation's maker is not a session yet, and its terminal somebody else's.
std::vector<ProcessTable::Entry> processes_of(const Snapshot& snapshot, const ProcessTable& table) {
  if (snapshot.record.kind == RecordKind::reservation) return {};
  return sessreg::processes_of(leader_of(snapshot.record), table);
}

nlohmann::ordered_json or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json(nullptr);
}

}  // namespace

bool take_typing_as_activity(Snapshot& snapshot, OpenSite& site, const ProcessTable& table,
                             const Now& at) {
  if (snapshot.record.kind == RecordKind::reservation) return false;
  Registry& registry = *site.registry;
  std::array look = {TerminalLook{leader_of(snapshot.record), uid_of(snapshot.record)}};
  look_at_terminals(look, table);
  if (!look[0].has_terminal) return false;
  const std::uint64_t typed_ms = registry.boottime_of(look[0].typed_realtime_ms, at);
  const std::uint64_t last_ms =
      std::max(snapshot.last_activity_ms, snapshot.record.opened_boottime_ms);
  // The same moment can differ by how each was rounded.
  if (typed_ms > last_ms + kActivityUnit_ms && registry.touch(snapshot.ref, typed_ms)) {
    if (snapshot.state.stage == Stage::parked) come_back(registry, site.config, snapshot);
    snapshot.last_activity_ms = typed_ms;
    registry.snapshot(snapshot.ref, snapshot);
  }
  return true;
}

Session session_from(const Snapshot& snapshot, const std::string& site, State state,
                     bool has_terminal, const Now& at) {
  const RecordImage& record = snapshot.record;
  Session session;
  session.snapshot = snapshot;
  session.state = state;
  session.site = site;
  session.id = to_hex(record.id);
  session.user = text_of(record.user);
  session.service = text_of(record.service);
  session.host = text_of(record.host);
  session.tty = text_of(record.tty);
  session.reason = reason_of(snapshot);
  session.uid = uid_of(record);
  session.leader = leader_of(snapshot.record);
  session.has_seat = snapshot.state.stage == Stage::seated;
  session.opened_realtime_ms = record.opened_realtime_ms;
  const std::uint64_t last_ms = std::max(snapshot.last_activity_ms, record.opened_boottime_ms);
  session.last_activity_realtime_ms = saturated_sum(
      record.opened_realtime_ms, static_cast<std::int64_t>(last_ms - record.opened_boottime_ms));
  session.can_idle =
      record.kind != RecordKind::reservation && (has_terminal || snapshot.token_shown);
  if (const auto end_ms = expiry_ms(snapshot, has_terminal))
    session.expires_realtime_ms = saturated_sum(
        record.opened_realtime_ms, static_cast<std::int64_t>(*end_ms - record.opened_boottime_ms));
  session.idle_ms = at.boottime_ms > last_ms ? at.boottime_ms - last_ms : 0;
  return session;
}

bool Session::is_idle_for(Seconds time) const {
  const auto ms = std::chrono::milliseconds(time).count();
  return can_idle && idle_ms >= static_cast<std::uint64_t>(ms);
}

std::vector<ProcessTable::Entry> processes_of(const Session& session, const ProcessTable& table) {
  return processes_of(session.snapshot, table);
}

std::vector<Session> read_sessions(OpenSite& site, const ProcessTable& table) {
  if (!site.registry) return {};
  const SystemProcesses processes;
  const Now at = now();
  site.registry->reap(processes, at.boottime_ms);

  std::map<SessionId, Snapshot> found;
  site.registry->for_each([&](const Snapshot& snapshot) {
    const auto [entry, is_new] = found.emplace(snapshot.record.id, snapshot);
    // A bind in between: the session has its reservation's id.
    if (!is_new && entry->second.record.kind == RecordKind::reservation) entry->second = snapshot;
  });

  StateReader states(processes);
  std::vector<Session> sessions;
  for (auto& [id, snapshot] : found) {
    const bool has_terminal = take_typing_as_activity(snapshot, site, table, at);
    const auto state = states.state_of(snapshot, has_terminal, at.boottime_ms);
    if (!state) continue;
    sessions.push_back(session_from(snapshot, site.config.site, *state, has_terminal, at));
  }
  site.registry->note_clock(at);
  std::stable_sort(sessions.begin(), sessions.end(),
                   [](const Session& a, const Session& b) { return a.idle_ms > b.idle_ms; });
  return sessions;
}

nlohmann::ordered_json to_json(const Session& session) {
  nlohmann::ordered_json json;
  json["id"] = session.id;
  json["site"] = session.site;
  json["user"] = session.user;
  json["uid"] = session.uid ? nlohmann::ordered_json(*session.uid) : nullptr;
  json["service"] = session.service;
  json["host"] = or_null(session.host);
  json["tty"] = or_null(session.tty);
  json["state"] = text(session.state);
  json["opened"] = or_null(utc_time(session.opened_realtime_ms));
  json["last_activity"] = or_null(utc_time(session.last_activity_realtime_ms));
  json["expires"] =
      or_null(session.expires_realtime_ms ? utc_time(*session.expires_realtime_ms) : std::nullopt);
  json["idle_seconds"] = session.idle_ms / 1000;
  json["pid"] = session.leader.pid;
  json["seat"] = session.has_seat;
  json["reason"] = or_null(session.reason);
  return json;
}

}  // namespace sessreg
