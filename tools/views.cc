#include "views.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "selection.h"
#include "table.h"
#include "text.h"
#include "times.h"

namespace sessreg {
namespace {

constexpr const char* kAbsent = "-";

Cell text_cell(const std::string& raw) {
  return {raw.empty() ? kAbsent : escape_for_terminal(raw), {}, Colour::none};
}

Cell time_cell(std::int64_t realtime_ms, std::int64_t now_ms) {
  return {time_with_relative(realtime_ms, now_ms), relative_time(realtime_ms, now_ms),
          Colour::none};
}

Colour colour_of(State state) {
  switch (state) {
    case State::orphaned:
      return Colour::yellow;
    case State::ending:
      return Colour::red;
    case State::parked:
    case State::reserved:
    case State::exempt:
      return Colour::dim;
    case State::active:
      break;
  }
  return Colour::none;
}

}  // namespace

std::vector<UserView> by_user_view(const std::vector<Session>& sessions) {
  std::vector<UserView> users;
  // By the hash of the whole name: what is recorded of two long names may be equal.
  std::map<std::pair<std::string, std::array<std::uint8_t, 16>>, std::size_t> places;
  for (const Session& session : sessions) {
    const auto [place, is_new] =
        places.try_emplace({session.site, session.snapshot.record.user_hash}, users.size());
    if (is_new)
      users.push_back({session.site, session.user, session.uid, 0, 0,
                       session.last_activity_realtime_ms, session.idle_ms});
    UserView& user = users[place->second];
    ++user.sessions;
    if (session.has_seat) ++user.seats;
    if (session.idle_ms < user.idle_ms) {
      user.idle_ms = session.idle_ms;
      user.last_activity_realtime_ms = session.last_activity_realtime_ms;
    }
  }
  return users;
}

nlohmann::ordered_json to_json(const UserView& user) {
  nlohmann::ordered_json json;
  json["site"] = user.site;
  json["user"] = user.user;
  json["uid"] = user.uid ? nlohmann::ordered_json(*user.uid) : nullptr;
  json["sessions"] = user.sessions;
  json["seats"] = user.seats;
  const auto last = utc_time(user.last_activity_realtime_ms);
  json["last_activity"] = last ? nlohmann::ordered_json(*last) : nullptr;
  json["idle_seconds"] = user.idle_ms / 1000;
  return json;
}

std::string sessions_table(const std::vector<Session>& sessions, bool with_site,
                           const Terminal& terminal, std::int64_t now_ms) {
  std::vector<Column> columns = {
      {"id"},        {"user", true}, {"service", true}, {"from", true},
      {"tty", true}, {"state"},      {"opened"},        {"last activity", false, "used"},
      {"expires"},   {"pid"}};
  if (with_site) columns.insert(columns.begin(), {"site", true});
  Table table(std::move(columns));
  const std::size_t digits = distinct_digits(sessions);
  for (const Session& session : sessions) {
    std::vector<Cell> row = {
        {terminal.is_terminal ? session.id.substr(0, digits) : session.id},
        text_cell(session.user),
        text_cell(session.service),
        text_cell(session.host),
        text_cell(session.tty),
        {text(session.state), {}, colour_of(session.state)},
        time_cell(session.opened_realtime_ms, now_ms),
        time_cell(session.last_activity_realtime_ms, now_ms),
        session.expires_realtime_ms ? time_cell(*session.expires_realtime_ms, now_ms)
                                    : Cell{kAbsent},
        {std::to_string(session.leader.pid)},
    };
    if (with_site) row.insert(row.begin(), text_cell(session.site));
    table.add(std::move(row));
  }
  return table.text(terminal);
}

std::string users_table(const std::vector<UserView>& users, bool with_site,
                        const Terminal& terminal, std::int64_t now_ms) {
  std::vector<Column> columns = {{"user", true}, {"sessions"}, {"seats"}, {"last activity"}};
  if (with_site) columns.insert(columns.begin(), {"site", true});
  Table table(std::move(columns));
  for (const UserView& user : users) {
    std::vector<Cell> row = {text_cell(user.user),
                             {std::to_string(user.sessions)},
                             {std::to_string(user.seats)},
                             time_cell(user.last_activity_realtime_ms, now_ms)};
    if (with_site) row.insert(row.begin(), text_cell(user.site));
    table.add(std::move(row));
  }
  return table.text(terminal);
}

}  // namespace sessreg
