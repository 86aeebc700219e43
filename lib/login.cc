#include "login.h"

#include <utility>

#include "text.h"

namespace sessreg {

Site::Site(Config config, std::string config_path, Registry registry)
    : config_(std::move(config)),
      config_path_(std::move(config_path)),
      registry_(std::move(registry)) {}

Result<Site> Site::open(Config config, std::string config_path) {
  const auto host = host_identity();
  if (!host) return host.error();
  auto registry =
      Registry::open_or_create(config.registry, *host, static_cast<std::uint32_t>(config.capacity));
  if (!registry) return registry.error();
  return Site(std::move(config), std::move(config_path), std::move(*registry));
}

template <class Attempt>
Result<Admission> Site::with_current_limit(Attempt attempt) {
  // More turns than two only if somebody else publishes another text in between, each time anew.
  constexpr int kTurns = 100;
  const ConfiguredLimit mine{config_.identity, config_.sessions_limit};
  for (int turn = 0; turn < kTurns; ++turn) {
    const ConfiguredLimit published = registry_.published_limit();
    const Admission result = attempt(mine);
    if (!result.stale_configuration) return result;
    // Read behind `published`: whoever edits and logs in after this read makes our publishing fail.
    const auto again = load_config(config_.site, config_path_);
    if (!again) return again.error();
    if (again->identity != config_.identity) return result;
    registry_.publish_limit(published, mine);
  }
  return Error{Errc::system, config_.registry +
                                 " is used with more than one configuration: give "
                                 "each site one configuration file"};
}

Result<Admission> Site::reserve(const Login& login) {
  return with_current_limit([&](ConfiguredLimit limit) {
    const auto time = std::chrono::milliseconds(config_.reservation_time).count();
    return registry_.reserve(login, limit, processes_,
                             now().boottime_ms + static_cast<std::uint64_t>(time));
  });
}

Result<Admission> Site::open_session(const Login& login, const SlotRef* reservation) {
  std::vector<SlotRef> strays;
  std::optional<SlotRef> found;
  if (reservation != nullptr && registry_.is_reservation_of(*reservation, login))
    found = *reservation;
  else
    found = registry_.find_reservation(login, strays);
  for (const SlotRef& stray : strays)
    registry_.release_reservation(stray);
  if (found) {
    if (const auto bound = registry_.bind(*found, login, processes_)) {
      if (!bound->admitted()) registry_.release_reservation(*found);
      return *bound;
    }
  }
  return with_current_limit(
      [&](ConfiguredLimit limit) { return registry_.admit(login, limit, processes_); });
}

std::string Site::message(const Admission& refused, const Login& login) const {
  const std::string& text = refused.refusal == Refusal::drain        ? config_.message_drain
                            : refused.refusal == Refusal::table_full ? config_.message_table_full
                                                                     : config_.message_site_full;
  MessageValues values;
  values.limit = refused.limit;
  values.count = refused.count;
  values.site = config_.site;
  values.user = login.user;
  values.service = login.service;
  return format_message(text, values);
}

}  // namespace sessreg
