// The user sessions of a site (sessions.h) as the commands ask for them and print them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/audit.h"
#include "common/site.h"
#include "session/sessions.h"

namespace sessreg {

// As in sessions.h; a site without a registry has none.
Reaped for_each_session(Site& site, const ProcessTable& table, const VisitSession& visit);
// The same with up to one thread for each of `visits`. Only one thread calls each of them, and the
// calling thread calls the first.
Reaped for_each_session(Site& site, const ProcessTable& table,
                        std::span<const VisitSession> visits);
std::vector<Session> read_sessions(Site& site, const ProcessTable& table);

// What happens to a session, in the authentication log. `more`: behind the session's own fields.
void audit_session(const std::string& event, const Session& session, std::string_view reason,
                   const AuditFields& more = {});

// A session as the daemon tells it, and the tool; see list/place.h for what `list` adds.
nlohmann::ordered_json to_json(const Session& session);

}  // namespace sessreg
