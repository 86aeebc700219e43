// The user sessions of a site (sessions.h) as the commands ask for them and print them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/audit.h"
#include "common/site.h"
#include "common/times.h"
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

// A session as the daemon tells it, and the tool; see list/place.h for what `list` adds. Calls
// each(name, value) with each member: a value is a string_view, a bool, an integer of up to 64 bits, or
// nullptr.
template <class Each>
void for_each_member(const Session& session, Each&& each) {
  const auto text_or_null = [&](std::string_view name, std::string_view text) {
    if (text.empty())
      each(name, nullptr);
    else
      each(name, text);
  };
  const auto time_or_null = [&](std::string_view name, std::int64_t realtime_ms) {
    text_or_null(name, UtcTime(realtime_ms).text());
  };
  each("id", std::string_view(session.id()));
  each("site", std::string_view(session.site));
  each("user", session.user());
  if (session.uid)
    each("uid", *session.uid);
  else
    each("uid", nullptr);
  each("service", session.service());
  text_or_null("host", session.host());
  text_or_null("tty", session.tty());
  each("state", std::string_view(text(session.state)));
  time_or_null("opened", session.opened_realtime_ms);
  time_or_null("last_activity", session.last_activity_realtime_ms);
  if (session.expires_realtime_ms)
    time_or_null("expires", *session.expires_realtime_ms);
  else
    each("expires", nullptr);
  each("idle_seconds", session.idle_ms / 1000);
  each("pid", session.pid());
  each("seat", session.has_seat);
  text_or_null("reason", session.reason);
  each("process", session.leader.has_value());
}

nlohmann::ordered_json to_json(const Session& session);

}  // namespace sessreg
