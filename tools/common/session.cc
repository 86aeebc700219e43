#include "common/session.h"

#include <nlohmann/json.hpp>

#include "common/parallel.h"
#include "common/times.h"

namespace sessreg {
namespace {

nlohmann::ordered_json or_null(std::string_view text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

nlohmann::ordered_json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::ordered_json(*text) : nlohmann::ordered_json(nullptr);
}

}  // namespace

Reaped for_each_session(Site& site, const ProcessTable& table, const VisitSession& visit) {
  return for_each_session(site, table, {&visit, 1});
}

Reaped for_each_session(Site& site, const ProcessTable& table,
                        std::span<const VisitSession> visits) {
  if (!site.registry) return {};
  SessionScan scan(*site.registry, site.config, table);
  const std::uint32_t slots = site.registry->slots();
  share_work(visits.size(), [&](std::size_t part) {
    const auto begin = [&](std::size_t of) {
      return static_cast<std::uint32_t>(part_begin(slots, of, visits.size()));
    };
    scan.look(begin(part), begin(part + 1), visits[part]);
  });
  return scan.finish(visits.front());
}

std::vector<Session> read_sessions(Site& site, const ProcessTable& table) {
  if (!site.registry) return {};
  return read_sessions(*site.registry, site.config, table);
}

void audit_session(const std::string& event, const Session& session, std::string_view reason,
                   const AuditFields& more) {
  const std::string id = session.id(), pid = std::to_string(session.pid());
  AuditFields fields = {{"session", id},
                        {"user", session.user()},
                        {"service", session.service()},
                        {"host", session.host()},
                        {"pid", pid},
                        {"reason", reason}};
  fields.insert(fields.end(), more.begin(), more.end());
  audit(event, session.site, fields);
}

nlohmann::ordered_json to_json(const Session& session) {
  nlohmann::ordered_json json;
  json["id"] = session.id();
  json["site"] = session.site;
  json["user"] = session.user();
  json["uid"] = session.uid ? nlohmann::ordered_json(*session.uid) : nullptr;
  json["service"] = session.service();
  json["host"] = or_null(session.host());
  json["tty"] = or_null(session.tty());
  json["state"] = text(session.state);
  json["opened"] = or_null(utc_time(session.opened_realtime_ms));
  json["last_activity"] = or_null(utc_time(session.last_activity_realtime_ms));
  json["expires"] =
      or_null(session.expires_realtime_ms ? utc_time(*session.expires_realtime_ms) : std::nullopt);
  json["idle_seconds"] = session.idle_ms / 1000;
  json["pid"] = session.pid();
  json["seat"] = session.has_seat;
  json["reason"] = or_null(std::string_view(session.reason));
  json["process"] = session.leader.has_value();
  return json;
}

}  // namespace sessreg
