#include "config/policy.h"

#include <errno.h>
#include <grp.h>
#include <sys/types.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

namespace sessreg {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::optional<gid_t> gid_of(const std::string& name) {
  // A group's line can be long; the members are read only because the interface gives them.
  constexpr std::size_t kMaxBuffer = 16u << 20;
  std::vector<char> buffer(16384);
  for (;;) {
    group entry{};
    group* found = nullptr;
    const int error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < kMaxBuffer) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    if (error == EINTR) continue;
    if (error != 0 || found == nullptr) return std::nullopt;
    return entry.gr_gid;
  }
}

std::vector<gid_t> group_ids(const std::string& user, gid_t primary) {
  int count = 64;
  std::vector<gid_t> ids;
  for (;;) {
    ids.resize(static_cast<std::size_t>(count));
    const int room = count;
    if (getgrouplist(user.c_str(), primary, ids.data(), &count) >= 0) break;
    if (count <= room) return {};  // not a question of room
  }
  ids.resize(static_cast<std::size_t>(count));
  return ids;
}

// nullopt: the section sets none.
std::optional<GroupLimit> limit_of(const Section& section) {
  const std::int32_t limit = section.settings.sessions_limit.value_or(-1);
  if (limit < 0) return std::nullopt;
  return GroupLimit{section.name, limit, section.kind == SectionKind::service};
}

}  // namespace

std::vector<GroupLimit> limited_groups(const Config& config) {
  std::vector<GroupLimit> limits;
  for (const Section& section : config.sections)
    if (auto limit = limit_of(section)) limits.push_back(std::move(*limit));
  return limits;
}

const char* text(Standing standing) {
  switch (standing) {
    case Standing::counted:
      return "counted";
    case Standing::ignored:
      return "ignored";
    case Standing::exempt:
      return "exempt";
  }
  return "unknown";
}

bool matches(const NameList& list, std::string_view user, const InGroup& in_group) {
  return contains(list.users, user) ||
         std::any_of(list.groups.begin(), list.groups.end(), in_group);
}

bool is_ignored(const Config& config, std::string_view service) {
  return (!config.only_services.empty() && !contains(config.only_services, service)) ||
         contains(config.ignore_services, service);
}

Standing standing_of(const Config& config, std::string_view user, std::string_view service,
                     const InGroup& in_group) {
  if (is_ignored(config, service)) return Standing::ignored;
  if (matches(config.exempt, user, in_group)) return Standing::exempt;
  return Standing::counted;
}

ServiceRules rules_of_service(const Config& config, std::string_view service) {
  ServiceRules rules;
  for (const Section& section : config.sections)
    if (section.kind == SectionKind::service && section.name == service) rules.from = &section;
  if (rules.from == nullptr) return rules;
  const SectionSettings& settings = rules.from->settings;
  rules.keep = settings.keep.value_or(Seconds(0));
  // Whoever goes through PAM has an account, as a rule.
  rules.names_are_accounts = settings.accounts.value_or(rules.keep.count() != 0);
  return rules;
}

Rulebook rules_for(const Config& config, std::string_view user, std::string_view service,
                   const InGroup& in_group) {
  const Section* of_user = nullptr;
  const Section* of_service = nullptr;
  std::vector<const Section*> of_groups;
  Rulebook rules;
  for (const Section& section : config.sections) {
    if (section.kind == SectionKind::user && section.name == user) of_user = &section;
    if (section.kind == SectionKind::service && section.name == service) of_service = &section;
    const bool is_group = section.kind == SectionKind::group && in_group(section.name);
    if (is_group) of_groups.push_back(&section);
    if (!is_group && of_service != &section) continue;
    if (const auto limit = limit_of(section)) rules.group_limits.push_back(*limit);
  }
  std::vector<const Section*> order;
  if (of_user != nullptr) order.push_back(of_user);
  if (of_service != nullptr) order.push_back(of_service);
  // "The first matching group" is asked key by key: a group that does not set a key leaves
  // it to the next one.
  std::copy(of_groups.begin(), of_groups.end(), std::back_inserter(order));

  const auto choose = [&](auto& ret, const auto& at_top, auto SectionSettings::*key) {
    ret.value = at_top;
    for (const Section* section : order) {
      if (!(section->settings.*key)) continue;
      ret.value = *(section->settings.*key);
      ret.from = section;
      return;
    }
  };
  using Settings = SectionSettings;
  choose(rules.user_sessions_limit, config.user_sessions_limit, &Settings::user_sessions_limit);
  choose(rules.user_limit_policy, config.user_limit_policy, &Settings::user_limit_policy);
  choose(rules.user_lock, config.user_lock, &Settings::user_lock);
  choose(rules.session_lifetime, config.session_lifetime, &Settings::session_lifetime);
  choose(rules.session_ttl, config.session_ttl, &Settings::session_ttl);
  choose(rules.idle_after, config.idle_after, &Settings::idle_after);
  choose(rules.count_leftovers, config.count_leftovers, &Settings::count_leftovers);
  rules.may_use_reserved =
      config.reserved_sessions == 0 || matches(config.reserved_for, user, in_group);
  return rules;
}

Seconds shortest_idle(const Config& config) {
  Seconds shortest = config.idle_after;
  for (const Section& section : config.sections) {
    const Seconds own = section.settings.idle_after.value_or(Seconds(0));
    if (own.count() != 0 && (shortest.count() == 0 || own < shortest)) shortest = own;
  }
  return shortest;
}

InGroup groups_of(const std::string& user, std::optional<unsigned> primary_group) {
  return [user, primary_group,
          ids = std::optional<std::vector<gid_t>>()](const std::string& group) mutable {
    if (!primary_group) return false;  // nobody is asked about a name that is no account's
    const auto gid = gid_of(group);
    if (!gid) return false;
    if (!ids) ids = group_ids(user, *primary_group);  // looked up once, and only if a list asks
    return std::find(ids->begin(), ids->end(), *gid) != ids->end();
  };
}

}  // namespace sessreg
