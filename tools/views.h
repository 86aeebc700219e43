// Sessions as tables for people.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "output.h"
#include "session.h"

namespace sessreg {

// One user of one site.
struct UserView {
  std::string site;
  std::string user;
  std::optional<std::uint32_t> uid;
  unsigned sessions = 0;
  unsigned seats = 0;
  std::int64_t last_activity_realtime_ms = 0;  // of the session used last
  std::uint64_t idle_ms = 0;
};

// In the order in which the users first appear.
std::vector<UserView> by_user_view(const std::vector<Session>& sessions);
nlohmann::ordered_json to_json(const UserView& user);

std::string sessions_table(const std::vector<Session>& sessions, bool with_site,
                           const Terminal& terminal, std::int64_t now_ms);
std::string users_table(const std::vector<UserView>& users, bool with_site,
                        const Terminal& terminal, std::int64_t now_ms);

}  // namespace sessreg
