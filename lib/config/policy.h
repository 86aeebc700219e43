// Which limits hold for whom: plain values in, decisions out. Knows neither PAM nor the registry.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace sessreg {

enum class Standing {
  counted,  // needs a seat
  ignored,  // the service opens no user session of its own: nothing is done
  exempt,   // the user is neither counted nor refused, but listed
};
// "counted", …
const char* text(Standing standing);

// Whether the user of this login is in a group of that name.
using InGroup = std::function<bool(const std::string& group)>;

bool matches(const NameList& list, std::string_view user, const InGroup& in_group);

bool is_ignored(const Config& config, std::string_view service);
Standing standing_of(const Config& config, std::string_view user, std::string_view service,
                     const InGroup& in_group);

// What holds for the sessions of a service, whoever's they are.
struct ServiceRules {
  // The service's sessions have no process, and last so long after the last login; 0: they have one.
  Seconds keep{0};
  // The users that its clients name are accounts of this host.
  bool names_are_accounts = false;
  const Section* from = nullptr;  // nullptr: the service has no section
};
ServiceRules rules_of_service(const Config& config, std::string_view service);

// A setting, and the section that it comes from; nullptr: the top of the file, or the default.
template <class T>
struct Setting {
  T value{};
  const Section* from = nullptr;
};

// A limit of the seats that a group's members, or the sessions of a service, may hold together.
struct GroupLimit {
  std::string name;
  std::int32_t limit;
  bool is_of_service = false;

  // What the registry knows it by: of a service one that no group can have.
  std::string entry() const { return is_of_service ? "service\n" + name : name; }
};

// Those of all sections, whoever they hold for.
std::vector<GroupLimit> limited_groups(const Config& config);

// What holds for one login.
struct Rulebook {
  Setting<std::int32_t> user_sessions_limit;
  Setting<UserLimitPolicy> user_limit_policy;
  Setting<Seconds> user_lock;
  Setting<Seconds> session_lifetime;
  Setting<Seconds> session_ttl;
  Setting<Seconds> idle_after;
  Setting<CountLeftovers> count_leftovers;
  // Of every limited group that the user is in, and of the service.
  std::vector<GroupLimit> group_limits;
  bool may_use_reserved = false;
  // Only sessions of these services are ended for it; unset: any of the user's.
  std::optional<std::vector<std::string>> evictable_services{};
};

// Precedence, key by key: the user's section, then the service's, then that of the first group in
// the file that the user is in, then the top.
Rulebook rules_for(const Config& config, std::string_view user, std::string_view service,
                   const InGroup& in_group);

// The least `idle_after` that anybody may have under this configuration; 0: nobody is ever idle.
Seconds shortest_idle(const Config& config);

// Group membership by the login's own group list (getgrouplist), so that large groups and any NSS
// source work without listing a group's members. A name that cannot be looked up matches nobody.
// `primary_group`: of the user's passwd entry; unset: there is none, and the user is in no group.
InGroup groups_of(const std::string& user, std::optional<unsigned> primary_group);

}  // namespace sessreg
