#include "common/session.h"

#include <nlohmann/json.hpp>

#include "common/parallel.h"

namespace sessreg {
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
  for_each_member(session,
                  [&](std::string_view name, auto value) { json[std::string(name)] = value; });
  return json;
}

}  // namespace sessreg
