#include "sessreg/list/place.h"

#include <nlohmann/json.hpp>

#include "host/terminals.h"

namespace sessreg {

Place place_of(const Session& session, const ProcessTable& table, const OwnSessions& own,
               bool with_command) {
  Place place;
  place.is_here = own.contains(session);
  if (session.tty_device == 0) return place;
  place.terminal = terminal_name(session.tty_device);
  if (with_command)
    place.command = foreground_command(processes_of(session, table), session.tty_device);
  return place;
}

nlohmann::ordered_json to_json(const Session& session, const Place& place) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
  };
  nlohmann::ordered_json json = to_json(session);
  json["terminal"] = or_null(place.terminal);
  json["command"] = or_null(place.command);
  json["here"] = place.is_here;
  return json;
}

}  // namespace sessreg
