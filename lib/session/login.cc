#include "session/login.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/text.h"
#include "session/activity.h"
#include "token/token_key.h"

namespace sessreg {
namespace {

std::uint64_t milliseconds(Seconds time) {
  return static_cast<std::uint64_t>(std::chrono::milliseconds(time).count());
}

// Saturated: some hundred years are as good as never.
std::uint32_t seconds(Seconds time) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time.count(), 0, 0xffffffff));
}

}  // namespace

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

Result<Terms> Site::terms_of(const Rulebook& rules) {
  Terms terms;
  terms.site = {config_.identity, config_.sessions_limit};
  terms.reserved_seats = config_.reserved_sessions;
  terms.may_use_reserved = rules.may_use_reserved;
  terms.user_limit = rules.user_sessions_limit.value;
  const UserLimitPolicy policy = rules.user_limit_policy.value;
  if (policy == UserLimitPolicy::evict) terms.evict_after_ms = 0;
  if (policy == UserLimitPolicy::lock_then_evict)
    terms.evict_after_ms = milliseconds(rules.user_lock.value);
  for (const GroupLimit& limit : rules.group_limits) {
    const auto index = registry_.group_index(limit.group, limit.limit);
    if (!index)
      return Error{Errc::system,
                   config_.registry + ": more than " + std::to_string(kMaxGroups) +
                       " groups were given a limit since it was made: remove some of those limits, "
                       "and reboot (or log everybody out and remove the file)"};
    terms.groups.push_back({*index, limit.limit});
  }
  terms.idle_after_s = seconds(rules.idle_after.value);
  terms.ttl_s = seconds(rules.session_ttl.value);
  terms.lifetime_ms = milliseconds(rules.session_lifetime.value);
  terms.shortest_idle_s = seconds(shortest_idle(config_));
  return terms;
}

template <class Attempt>
Result<Admission> Site::with_current_limit(const Rulebook& rules, Attempt attempt) {
  // More turns than two only if somebody else publishes another text in between, each time anew.
  constexpr int kTurns = 100;
  const auto terms = terms_of(rules);
  if (!terms) return terms.error();
  for (int turn = 0; turn < kTurns; ++turn) {
    const ConfiguredLimit published = registry_.published_limit();
    Admission result = attempt(*terms);
    // Not const: so it is moved. To copy it could fail, with the seat taken.
    if (!result.stale_configuration) return result;
    // Read behind `published`: whoever edits and logs in after this read makes our publishing fail.
    const auto again = load_config(config_.site, config_path_);
    if (!again) return again.error();
    if (again->identity != config_.identity) return result;
    registry_.publish_limit(published, terms->site);
  }
  return Error{Errc::system, config_.registry +
                                 " is used with more than one configuration: give "
                                 "each site one configuration file"};
}

Result<Admission> Site::reserve(const Login& login, const Rulebook& rules) {
  return with_current_limit(rules, [&](const Terms& terms) {
    const std::uint64_t ends_ms = boottime_ms() + milliseconds(config_.reservation_time);
    return registry_.reserve(login, terms, processes_, ends_ms);
  });
}

Result<Admission> Site::open_session(const Login& login, const Rulebook& rules,
                                     const SlotRef* reservation) {
  std::vector<SlotRef> strays;
  std::optional<SlotRef> found;
  if (reservation != nullptr && registry_.is_reservation_of(*reservation, login))
    found = *reservation;
  else
    found = registry_.find_reservation(login, strays);
  for (const SlotRef& stray : strays)
    registry_.release_reservation(stray);
  return bind_or_admit(login, rules, found ? &*found : nullptr);
}

Result<Admission> Site::bind_or_admit(const Login& login, const Rulebook& rules,
                                      const SlotRef* reservation) {
  if (reservation != nullptr) {
    const auto terms = terms_of(rules);
    if (!terms) return terms.error();
    if (auto bound = registry_.bind(*reservation, login, *terms, processes_)) {
      if (!bound->admitted()) registry_.release_reservation(*reservation);
      return std::move(*bound);
    }
  }
  return with_current_limit(
      rules, [&](const Terms& terms) { return registry_.admit(login, terms, processes_); });
}

Result<Admission> Site::foresee(const Login& login, const Rulebook& rules) {
  return with_current_limit(
      rules, [&](const Terms& terms) { return registry_.foresee(login, terms, processes_); });
}

// Login services go on with the same memory, in children too: hence the key goes with this object.
void Site::issue_tokens(const std::string& user, std::function<void(const Error&)> tell) {
  if (!config_.token) return;
  auto loaded = load_or_make_key(config_.key_file);
  if (!loaded) {
    tell(loaded.error());
    return;
  }
  const auto key = std::make_shared<SigningKey>(std::move(*loaded));
  registry_.set_token_maker([site = config_.site, user, tell = std::move(tell), key](
                                const RecordImage& record, std::uint32_t slot) {
    auto token = token_for(record, slot, site, user, *key);
    if (token) return std::move(*token);
    tell(token.error());
    return std::string();
  });
}

std::optional<Failures> Site::failures(const RemoteHost& host) {
  if (config_.max_failed_auth_per_host == 0 || host.kind() == RemoteHost::Kind::none ||
      host.is_in_any(config_.blacklist_exempt))
    return std::nullopt;
  return registry_.failures({static_cast<std::uint32_t>(config_.max_failed_auth_per_host),
                             milliseconds(config_.blacklist_time)});
}

std::string Site::blacklisted_message(const FailureStatus& status, const Login& login) const {
  MessageValues values;
  values.limit = config_.max_failed_auth_per_host;
  values.count = status.failures;
  const std::uint64_t now_ms = boottime_ms();
  values.seconds =
      static_cast<long>((status.until_ms > now_ms ? status.until_ms - now_ms + 999 : 0) / 1000);
  values.site = config_.site;
  values.user = login.user;
  values.service = login.service;
  return format_message(config_.message_blacklisted, values);
}

std::string Site::message(const Admission& refused, const Login& login) const {
  MessageValues values;
  values.seconds = static_cast<long>((refused.wait_ms + 999) / 1000);
  values.limit = refused.limit;
  values.count = refused.count;
  values.site = config_.site;
  values.user = login.user;
  values.service = login.service;
  return format_message(config_.*facts_of(refused.refusal).message, values);
}

}  // namespace sessreg
