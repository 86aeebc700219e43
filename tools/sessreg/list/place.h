// What the processes of a session tell of it at the moment.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "common/session.h"
#include "host/process_table.h"
#include "session/ending.h"

namespace sessreg {

// Texts are as they were found: escape them before they are shown.
struct Place {
  std::string terminal;  // "pts/3", the one that was typed on last; empty: none can be looked at
  std::string command;   // what runs in its foreground; empty: none is seen, or not asked for
  bool is_here = false;  // the caller is in this session
};

Place place_of(const Session& session, const ProcessTable& table, const OwnSessions& own,
               bool with_command);

// What `list --json` and `show --json` print of a session.
nlohmann::ordered_json to_json(const Session& session, const Place& place);

}  // namespace sessreg
