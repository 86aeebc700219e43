#include "policy.h"

#include <errno.h>
#include <grp.h>
#include <sys/types.h>

#include <algorithm>
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

}  // namespace

bool matches(const NameList& list, std::string_view user, const InGroup& in_group) {
  return contains(list.users, user) ||
         std::any_of(list.groups.begin(), list.groups.end(), in_group);
}

Standing standing_of(const Config& config, std::string_view user, std::string_view service,
                     const InGroup& in_group) {
  if (!config.only_services.empty() && !contains(config.only_services, service))
    return Standing::ignored;
  if (contains(config.ignore_services, service)) return Standing::ignored;
  if (matches(config.exempt, user, in_group)) return Standing::exempt;
  return Standing::counted;
}

InGroup groups_of(const std::string& user, unsigned primary_group) {
  return [user, primary_group,
          ids = std::optional<std::vector<gid_t>>()](const std::string& group) mutable {
    const auto gid = gid_of(group);
    if (!gid) return false;
    if (!ids) ids = group_ids(user, primary_group);  // looked up once, and only if a list asks
    return std::find(ids->begin(), ids->end(), *gid) != ids->end();
  };
}

}  // namespace sessreg
