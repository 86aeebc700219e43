#include "sessreg/session_lines.h"

#include <fmt/core.h>

#include <algorithm>

#include "sessreg/access/selection.h"
#include "sessreg/terminal/table.h"

namespace sessreg {

SessionLines::SessionLines(const std::vector<Session>& sessions)
    : terminal_(stdout_terminal()),
      digits_(terminal_.is_terminal ? distinct_digits(sessions) : std::string::npos) {}

std::string SessionLines::line(const Session& session, const std::string& result) const {
  constexpr int kLeastNames = 16;
  const std::string id = session.id().substr(0, digits_);
  const std::string end = ": " + result + "\n";
  std::string names = description(session);
  if (terminal_.is_terminal && !terminal_.utf8) names = to_ascii(names);
  if (terminal_.columns > 0) {
    const int room = terminal_.columns - static_cast<int>(id.size() + end.size()) - 1;
    names = shortened(names, std::max(room, kLeastNames), terminal_.utf8);
  }
  return fmt::format("{}  {}{}", id, names, end);
}

}  // namespace sessreg
