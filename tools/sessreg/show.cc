// sessreg show
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/times.h"
#include "sessreg/access/selection.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"
#include "sessreg/list/place.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

std::string or_dash(std::string_view raw) {
  return raw.empty() ? "-" : escape_for_terminal(raw);
}

int run_show(const GlobalOptions& global, const std::string& id) {
  SiteSessions site(global);
  const ProcessTable table = ProcessTable::read();
  const auto sessions = site.read(table);
  const Session& session = find_by_prefix(sessions, id, site.is_remote());
  const Place place = place_of(session, table, OwnSessions(table), true);
  if (global.json) {
    print(json_text(to_json(session, place)));
    return kExitDone;
  }
  const std::int64_t now_ms = now().realtime_ms;
  print(field_list(
      {
          {"id", session.id()},
          {"site", or_dash(session.site)},
          {"user", or_dash(session.user())},
          {"uid", session.uid ? std::to_string(*session.uid) : "-"},
          {"service", or_dash(session.service())},
          {"from", or_dash(session.host())},
          {"tty", or_dash(session.tty())},
          {"terminal", or_dash(place.terminal)},
          {"command", or_dash(place.command)},
          {"state", text(session.state)},
          {"opened", time_with_relative(session.opened_realtime_ms, now_ms)},
          {"last activity", time_with_relative(session.last_activity_realtime_ms, now_ms)},
          {"dangling", session.is_idle_for(site.config().dangling_after) ? "yes" : "no"},
          {"expires", session.expires_realtime_ms
                          ? time_with_relative(*session.expires_realtime_ms, now_ms)
                          : "-"},
          {"pid", session.leader ? std::to_string(session.pid()) : "-"},
          {"seat", session.has_seat ? "yes" : "no"},
          {"reason", or_dash(session.reason)},
          {"you are here", place.is_here ? "yes" : "no"},
      },
      stdout_terminal()));
  return kExitDone;
}

}  // namespace

Runner declare_show(Options& command) {
  auto id = std::make_shared<std::string>();
  command.add_argument("ID", *id, "the session's id, or at least its first 4 digits").required();
  return [id](const GlobalOptions& global) { return run_show(global, *id); };
}

}  // namespace sessreg
