// The rules under which a login is admitted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sessreg {

// The limit the caller read from its configuration.
struct ConfiguredLimit {
  std::uint32_t identity;
  std::int32_t limit;
  bool operator==(const ConfiguredLimit&) const = default;
};

struct GroupRule {
  std::uint32_t index;  // of the group's entry; see Registry::group_index
  std::int32_t limit;
};

// policy.h works them out. Negative limits: none.
struct Terms {
  Terms() = default;
  // No other rule than the site's limit.
  Terms(ConfiguredLimit limit) : site(limit) {}  // NOLINT(google-explicit-constructor)

  ConfiguredLimit site{};
  std::int32_t reserved_seats = 0;  // the last ones, kept for those who may use them
  bool may_use_reserved = true;     // whether this login may
  std::int32_t user_limit = -1;
  // At the user's limit the user's stalest session gives way if it was opened at least this long
  // ago; unset: the newcomer is refused.
  std::optional<std::uint64_t> evict_after_ms;
  // Only sessions of these services are evicted for it, or taken over; unset: of any.
  std::optional<std::vector<std::string>> evictable_services;
  std::vector<GroupRule> groups;
  std::uint32_t idle_after_s = 0;  // 0: never idle
  std::uint32_t ttl_s = 0;         // 0: none
  std::uint64_t lifetime_ms = 0;   // 0: none
  // What the session leaves running when it is closed keeps it: what has a terminal, or anything.
  bool count_terminals = false;
  bool count_any = false;
  // The least that any login may have under this configuration; 0: nobody is ever idle.
  std::uint32_t shortest_idle_s = 0;
};

}  // namespace sessreg
