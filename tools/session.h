// The user sessions of a site (sessions.h) as the commands ask for them and print them.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "sessions.h"
#include "site.h"

namespace sessreg {

// As in sessions.h; a site without a registry has none.
bool take_typing_as_activity(Snapshot& ret_snapshot, OpenSite& site, const ProcessTable& table,
                             const Now& at);
Reaped for_each_session(OpenSite& site, const ProcessTable& table,
                        const std::function<void(const Session&)>& visit);
std::vector<Session> read_sessions(OpenSite& site, const ProcessTable& table);

// The object that `list --json` and `show --json` print.
nlohmann::ordered_json to_json(const Session& session);

}  // namespace sessreg
