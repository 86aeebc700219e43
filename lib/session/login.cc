#include "session/login.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "host/process.h"
#include "session/activity.h"
#include "session/session_state.h"
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

class KeysOfRegistry final : public WholeKeys {
 public:
  explicit KeysOfRegistry(Registry& registry) : registry_(registry) {}
  bool has(std::span<const std::uint8_t> key) const override { return registry_.is_whole_key(key); }
  void note(std::span<const std::uint8_t> key) override { registry_.note_whole_key(key); }

 private:
  Registry& registry_;
};

Error too_many_groups(const Config& config) {
  return {Errc::system, config.registry + ": more than " + std::to_string(kMaxGroups) +
                            " groups and services were given a limit since it was made: "
                            "remove some of those limits, "
                            "and reboot (or log everybody out and remove the file)"};
}

Error several_configurations(const Config& config) {
  return {Errc::system, config.registry +
                            " is used with more than one configuration: give "
                            "each site one configuration file"};
}

// More turns than two are taken only if somebody else publishes another text in between, each time
// anew.
constexpr int kTurns = 100;

Result<Terms> terms_of(Site& site, const Rulebook& rules) {
  const Config& config = site.config;
  Terms terms;
  terms.site = {config.identity, config.sessions_limit};
  terms.reserved_seats = config.reserved_sessions;
  terms.may_use_reserved = rules.may_use_reserved;
  terms.user_limit = rules.user_sessions_limit.value;
  const UserLimitPolicy policy = rules.user_limit_policy.value;
  if (policy == UserLimitPolicy::evict) terms.evict_after_ms = 0;
  if (policy == UserLimitPolicy::lock_then_evict)
    terms.evict_after_ms = milliseconds(rules.user_lock.value);
  for (const GroupLimit& limit : rules.group_limits) {
    const auto index = site.registry->group_index(limit.entry(), limit.limit);
    if (!index) return too_many_groups(config);
    terms.groups.push_back({*index, limit.limit});
  }
  terms.evictable_services = rules.evictable_services;
  terms.idle_after_s = seconds(rules.idle_after.value);
  terms.ttl_s = seconds(rules.session_ttl.value);
  terms.lifetime_ms = milliseconds(rules.session_lifetime.value);
  terms.count_terminals = rules.count_leftovers.value == CountLeftovers::terminal;
  terms.count_any = rules.count_leftovers.value == CountLeftovers::any;
  terms.shortest_idle_s = seconds(shortest_idle(config));
  return terms;
}

// Runs `attempt` until it was decided by the limit of this configuration, publishing that if the
// file on disk still says the same.
template <class Attempt>
Result<Admission> with_current_limit(Site& site, const Rulebook& rules, Attempt attempt) {
  const auto terms = terms_of(site, rules);
  if (!terms) return terms.error();
  for (int turn = 0; turn < kTurns; ++turn) {
    const ConfiguredLimit published = site.registry->published_limit();
    Admission result = attempt(*terms);
    // Not const, so that it is moved: copying it could fail, with the seat taken.
    if (!result.stale_configuration) return result;
    // Read after `published`: whoever edits and logs in after this read makes our publishing fail.
    const auto again = load_config(site.config.site, site.config_path);
    if (!again) return again.error();
    if (again->identity != site.config.identity) return result;
    site.registry->publish_limit(published, terms->site);
  }
  return several_configurations(site.config);
}

}  // namespace

std::optional<Error> publish_limits(Site& site) {
  const ConfiguredLimit ours{site.config.identity, site.config.sessions_limit};
  for (int turn = 0; turn < kTurns; ++turn) {
    const ConfiguredLimit published = site.registry->published_limit();
    // Read after `published`, as above.
    const auto again = load_config(site.config.site, site.config_path);
    if (!again) return again.error();
    if (again->identity != ours.identity)
      return Error{Errc::system, site.config_file() + " was edited meanwhile: try again"};
    if (!site.registry->note_group_limits(limited_groups(site.config)))
      return too_many_groups(site.config);
    if (published.identity == ours.identity || site.registry->publish_limit(published, ours))
      return std::nullopt;
  }
  return several_configurations(site.config);
}

Result<Admission> reserve(Site& site, const Login& login, const Rulebook& rules) {
  const SystemProcesses processes;
  return with_current_limit(site, rules, [&](const Terms& terms) {
    const std::uint64_t ends_ms = boottime_ms() + milliseconds(site.config.reservation_time);
    return site.registry->reserve(login, terms, processes, ends_ms);
  });
}

Result<Admission> bind_or_admit(Site& site, const Login& login, const Rulebook& rules,
                                const std::optional<SlotRef>& reservation) {
  const SystemProcesses processes;
  Registry& registry = *site.registry;
  if (reservation) {
    const auto terms = terms_of(site, rules);
    if (!terms) return terms.error();
    if (auto bound = registry.bind(*reservation, login, *terms, processes)) {
      if (!bound->admitted()) registry.release_reservation(*reservation);
      return std::move(*bound);
    }
  }
  return with_current_limit(
      site, rules, [&](const Terms& terms) { return registry.admit(login, terms, processes); });
}

Result<Admission> use(Site& site, const Login& login, const Rulebook& rules) {
  const SystemProcesses processes;
  return with_current_limit(
      site, rules, [&](const Terms& terms) { return site.registry->use(login, terms, processes); });
}

Result<Admission> find_and_bind_or_admit(Site& site, const Login& login, const Rulebook& rules,
                                         const std::optional<SlotRef>& reservation) {
  Registry& registry = *site.registry;
  if (reservation && registry.is_reservation_of(*reservation, login))
    return bind_or_admit(site, login, rules, reservation);
  std::vector<SlotRef> strays;
  const auto found = registry.find_reservation(login, strays);
  for (const SlotRef& stray : strays)
    registry.release_reservation(stray);
  return bind_or_admit(site, login, rules, found);
}

bool may_reattach(Site& site, const Login& login) {
  const std::vector<std::string>& services = site.config.reattach_services;
  if (std::find(services.begin(), services.end(), login.service) == services.end()) return false;
  Registry& registry = *site.registry;
  const SystemProcesses processes;
  StateReader states(processes);
  const std::uint64_t now_ms = boottime_ms();
  bool found = false;
  registry.for_each([&](const Snapshot& held) {
    if (found || !registry.is_user_of(held.record, login.user) ||
        std::none_of(services.begin(), services.end(), [&](const std::string& service) {
          return registry.is_service_of(held.record, service);
        }))
      return;
    const auto state = states.state_of(held, false, now_ms);
    found = state == State::active || state == State::parked || state == State::orphaned ||
            state == State::left;
  });
  return found;
}

Result<Admission> foresee(Site& site, const Login& login, const Rulebook& rules) {
  const SystemProcesses processes;
  return with_current_limit(site, rules, [&](const Terms& terms) {
    return site.registry->foresee(login, terms, processes);
  });
}

// A login service goes on with the same memory, and so do its children: hence
// the key goes with the registry.
void issue_tokens(Site& site, const std::string& user, std::function<void(const Error&)> tell) {
  if (!site.config.token) return;
  KeysOfRegistry whole(*site.registry);
  auto loaded = load_or_make_key(site.config.key_file, &whole);
  if (!loaded) {
    tell(loaded.error());
    return;
  }
  const auto key = std::make_shared<SigningKey>(std::move(*loaded));
  site.registry->set_token_maker([name = site.config.site, user, tell = std::move(tell), key](
                                     const RecordImage& record, std::uint32_t slot) {
    auto token = token_for(record, slot, name, user, *key);
    if (token) return std::move(*token);
    tell(token.error());
    return std::string();
  });
}

bool list_exempt(Site& site, const Login& login, const Rulebook& rules, Admission& ret) {
  Terms times;
  times.ttl_s = seconds(rules.session_ttl.value);
  times.lifetime_ms = milliseconds(rules.session_lifetime.value);
  return site.registry->list_exempt(login, ret, times);
}

std::optional<Failures> failures_of(Site& site, const RemoteHost& host, std::string_view service) {
  const Config& config = site.config;
  if (config.max_failed_auth_per_host == 0 || host.kind() == RemoteHost::Kind::none ||
      host.is_in_any(config.blacklist_exempt))
    return std::nullopt;
  return site.registry->failures({static_cast<std::uint32_t>(config.max_failed_auth_per_host),
                                  milliseconds(config.blacklist_time)},
                                 service);
}

}  // namespace sessreg
