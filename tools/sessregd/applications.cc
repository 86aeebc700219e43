#include "sessregd/applications.h"

#include <grp.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "host/account.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kLookAgain_ms = 60'000;

std::optional<std::uint32_t> number_in(const std::string& text) {
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

std::optional<gid_t> gid_of(const std::string& name) {
  const group* const entry = getgrnam(name.c_str());
  return entry == nullptr ? std::nullopt : std::optional(entry->gr_gid);
}

}  // namespace

void Applications::read(const Config& config, std::uint64_t now_ms) {
  all_.clear();
  is_complete_ = true;
  read_ms_ = now_ms;
  for (const Section& section : config.sections) {
    if (section.kind != SectionKind::service || !section.settings.clients) continue;
    Application application{section.name, {}, {}};
    for (const std::string& name : section.settings.clients->users) {
      auto uid = find_account(name).uid;
      if (!uid) uid = number_in(name);
      is_complete_ &= uid.has_value();
      if (uid) application.uids.insert(*uid);
    }
    for (const std::string& name : section.settings.clients->groups) {
      auto gid = gid_of(name);
      if (!gid) gid = number_in(name);
      is_complete_ &= gid.has_value();
      if (gid) application.gids.insert(*gid);
    }
    all_.push_back(std::move(application));
  }
}

void Applications::look_again(const Config& config, std::uint64_t now_ms) {
  if (!is_complete_ && now_ms >= read_ms_ + kLookAgain_ms) read(config, now_ms);
}

std::vector<std::string> Applications::services_of(const varlink::Peer& peer) const {
  std::vector<std::string> services;
  for (const Application& application : all_) {
    const auto is_of = [&](gid_t gid) { return application.gids.contains(gid); };
    if (application.uids.contains(peer.uid) || is_of(peer.gid) ||
        std::any_of(peer.groups.begin(), peer.groups.end(), is_of))
      services.push_back(application.service);
  }
  return services;
}

}  // namespace sessreg
