#include "session/admission.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.h"
#include "base/undo.h"
#include "config/remote_host.h"
#include "host/process_table.h"
#include "session/activity.h"
#include "session/daemon.h"
#include "session/login.h"
#include "session/messages.h"
#include "session/send_off.h"

namespace sessreg {
namespace {

// How often a call begins again because the configuration was edited under it.
constexpr int kTurns = 10;

// The device of a user of whom no host is known.
constexpr const char* kNoHost = "no host";

// Of one application's service.
constexpr std::size_t kMostExempt = 100;

// By the name where the user cannot be looked up now: without descriptors or memory nobody can.
bool is_root(const Login& login, bool is_account) {
  return login.uid == 0 || (is_account && login.uid == kNoUid && login.user == "root");
}

Refused refused_by(Site& site, const Admission& admission, const Login& login) {
  return {admission.refusal, admission.limit, admission.count, wait_seconds(admission),
          message_of(admission, site.config, *site.registry, login)};
}

Refused refused_by(const Site& site, const FailureStatus& status, const Login& login) {
  return {Refusal::blacklisted, site.config.max_failed_auth_per_host, status.failures,
          wait_seconds(status), message_of(status, site.config, login)};
}

Error no_slot() {
  return {Errc::no_space, "no free slot: raise 'capacity'"};
}

// By its id too: another registry may lie there by now.
bool is_there(const Registry& registry, const Seat& seat) {
  Snapshot held;
  return registry.snapshot(seat.ref, held) && held.record.id == seat.id;
}

}  // namespace

bool lacks_rights(const Error& error) {
  return error.code == Errc::permission_denied && geteuid() != 0;
}

namespace {

// Whether a session that is closed now has left anything that is to count. What descends from its
// leader is about to go with it. Something without a terminal may be about to make one.
bool has_left_something(const Snapshot& session) {
  Leftovers leftovers = leftovers_of(session.record);
  if (!leftovers.beside_leader) return false;
  leftovers.terminals_only = false;
  const auto leader = leader_of(session.record);
  if (!leader) return false;
  const ProcessTable table = ProcessTable::read();
  // Where /proc does not tell, the leader's end decides.
  if (table.find(getpid()) == nullptr) return true;
  std::set<pid_t> going;
  for (const auto& process : table.closure(std::array{*leader}, 0))
    going.insert(process.id.pid);
  const std::vector<ProcessId> all = table.of_audit_session(leftovers);
  return std::any_of(all.begin(), all.end(),
                     [&](const ProcessId& process) { return !going.contains(process.pid); });
}

void close_in(Registry& registry, SlotRef ref) {
  Snapshot held;
  if (registry.snapshot(ref, held) && !has_left_something(held)) registry.release(ref);
}

// Has `act` do it in the registry that the seat is in, if it is still there.
template <class Act>
std::optional<Error> where_it_is(const Seat& seat, Act act) {
  auto registry = open_existing_registry(seat.registry_path);
  if (!registry) {
    if (is_absent(registry.error())) return std::nullopt;
    return registry.error();
  }
  if (is_there(*registry, seat)) act(*registry);
  return std::nullopt;
}

}  // namespace

// One IPv6 host has as many addresses as it likes.
std::string kept_device(const std::string& host) {
  const RemoteHost known = RemoteHost::from_rhost(host);
  return known.kind() == RemoteHost::Kind::none ? kNoHost : known.text();
}

std::optional<Error> close_kept(const Seat& seat) {
  return where_it_is(seat, [&](Registry& registry) { close_in(registry, seat.ref); });
}

std::optional<Error> release(const Seat& seat) {
  return where_it_is(seat, [&](Registry& registry) {
    if (seat.what == Seat::What::reservation)
      registry.release_reservation(seat.ref);
    else
      registry.release(seat.ref);
  });
}

void give_back(const Seat& seat) {
  // The start time too: the pid may have come round since.
  if (seat.maker == self_id()) release(seat);
}

LoginProcedure::LoginProcedure(const LoginOptions& options, const Login& login,
                               std::optional<unsigned> primary_group, LoginService& service)
    : options_(options),
      login_(login),
      primary_group_(primary_group),
      service_(service),
      open_site_(options.open_site) {
  if (login_.self.pid == 0) login_.self = self_id();
}

template <class Try>
LoginAnswer LoginProcedure::until_steady(Try attempt) {
  const Undo forget_tokens([site = open_site_] {
    if (site != nullptr) site->registry->set_token_maker(nullptr);
  });
  for (int turn = 0; turn < kTurns; ++turn) {
    if (auto answer = attempt()) return std::move(*answer);
    open_site_ = nullptr;
  }
  return failed({Errc::invalid_config, "the configuration changes faster than it can be read"},
                nullptr);
}

LoginAnswer LoginProcedure::reserve(const Seat* held) {
  return until_steady([&] { return try_reserve(held); });
}

LoginAnswer LoginProcedure::use() {
  return until_steady([&] { return try_use(); });
}

LoginAnswer LoginProcedure::open(const Seat* held, std::optional<SlotRef> hint) {
  return until_steady([&] { return try_open(held, hint); });
}

std::optional<LoginAnswer> LoginProcedure::try_reserve(const Seat* held) {
  const auto read = read_config();
  if (!read) return failed(read.error(), nullptr);
  const Config& config = **read;
  standing_ = standing(config);
  const bool counts_failures = config.max_failed_auth_per_host != 0;
  if (standing_ == Standing::ignored) {
    // Its failures are counted, so its successes are, too, where that can be done.
    if (counts_failures && !login_.host.empty() && !is_of_sshd())
      if (auto opened = open_site(config)) note_success(**opened);
    return answer(What::not_counted);
  }
  if (becomes_use(config)) {
    if (held != nullptr && held->what == Seat::What::reservation) give_back(*held);
    return use_in(config);
  }
  if (standing_ == Standing::exempt && !counts_failures) return answer(What::not_counted);
  auto opened = open_site(config);
  if (!opened) return failed(opened.error(), &config);
  Site& site = **opened;

  // A login by public key has not been through an auth phase.
  if (standing_ == Standing::counted)
    if (auto why = blacklisted(site, Counts::yes)) return refused(std::move(*why));
  if (!is_of_sshd()) note_success(site);
  if (standing_ == Standing::exempt) return answer(What::not_counted);

  if (held != nullptr && held->what == Seat::What::reservation) {
    login_.inherited = held->ref;
    // Asked a second time: the seat is taken already, or was for somebody else.
    if (held->registry_path == config.registry && is_there(*site.registry, *held) &&
        site.registry->is_reservation_of(held->ref, login_))
      return answer(What::already);
    give_back(*held);
  }
  if (may_reattach(site, login_)) return answer(What::deferred);
  if (auto observed = observe(site, Counts::no)) return observed;
  const auto admission = sessreg::reserve(site, login_, rules(config));
  if (!admission) return failed(admission.error(), &config);
  if (admission->stale_configuration) return std::nullopt;
  if (!admission->admitted()) return refused(refused_by(site, *admission, login_));
  if (admission->deferred) return answer(What::deferred);
  take(site, *admission, Seat::What::reservation);
  return answer(What::reserved);
}

std::optional<LoginAnswer> LoginProcedure::try_open(const Seat* held, std::optional<SlotRef> hint) {
  const auto read = read_config();
  if (!read) return failed(read.error(), nullptr);
  const Config& config = **read;
  standing_ = standing(config);
  const bool reserved = held != nullptr && held->what == Seat::What::reservation;
  // The configuration was edited since it was reserved: the seat is of no more use.
  const bool in_vain =
      reserved && (standing_ != Standing::counted || held->registry_path != config.registry);
  const bool is_used = becomes_use(config);
  if (in_vain || (reserved && is_used)) give_back(*held);
  if (standing_ == Standing::ignored) return answer(What::not_counted);
  if (is_used) return answer(What::already);
  const auto& shared = config.shared_services;
  const bool has_own_process = !login_.leader && !login_.no_process;
  const bool is_shared =
      has_own_process && std::find(shared.begin(), shared.end(), login_.service) != shared.end();
  login_.has_shared_leader |= is_shared;
  // Not root's: what an administrator starts goes on, and serves others.
  if (has_own_process && login_.uid != kNoUid && login_.uid != 0)
    login_.audit_session = own_audit_session().value_or(0);
  if (standing_ == Standing::exempt) return list_exempt(config, held, false);
  auto opened = open_site(config);
  if (!opened) return failed(opened.error(), &config);
  Site& site = **opened;

  if (held != nullptr && held->what == Seat::What::session && is_ours(*site.registry, *held))
    return answer(What::already);  // the module stands twice in this stack
  if (reserved) hint.reset();
  // What is held is in this process's memory: it, or the process it was forked from, reserved it
  // (xrdp-sesman goes through the account phase itself and opens the session in a child).
  if (reserved && !in_vain && is_there(*site.registry, *held)) hint = login_.inherited = held->ref;
  const bool is_reserved = hint && site.registry->is_reservation_of(*hint, login_);
  // It may not have been through the account phase, which another line's success skips.
  if (!is_reserved)
    if (auto why = blacklisted(site, Counts::no)) return refused(std::move(*why));
  if (is_of_sshd() || (login_.no_process && !is_reserved)) note_success(site);
  // What was reserved is bound also where `observe` would let anybody through.
  if (!is_reserved)
    if (auto observed = observe(site, Counts::yes)) {
      list_observed(site);
      return observed;
    }
  issue_tokens_in(site);
  const auto admission = options_.serves_many || is_shared
                             ? bind_or_admit(site, login_, rules(config), hint)
                             : find_and_bind_or_admit(site, login_, rules(config), hint);
  if (!admission) return failed(admission.error(), &config);
  if (admission->stale_configuration) return std::nullopt;
  if (!admission->admitted()) return refused(refused_by(site, *admission, login_));
  take(site, *admission, Seat::What::session);
  return answer(What::opened);
}

std::optional<LoginAnswer> LoginProcedure::try_use() {
  const auto read = read_config();
  if (!read) return failed(read.error(), nullptr);
  const Config& config = **read;
  standing_ = standing(config);
  if (standing_ == Standing::ignored) return answer(What::not_counted);
  return use_in(config);
}

std::optional<LoginAnswer> LoginProcedure::use_in(const Config& config) {
  if (standing_ == Standing::exempt) return list_exempt(config, nullptr, true);
  auto opened = open_site(config);
  if (!opened) {
    if (can_ask_daemon(opened.error())) return use_by_daemon(config);
    return failed(opened.error(), &config);
  }
  Site& site = **opened;
  if (auto used = use_existing(site)) return used;
  if (auto observed = observe(site, Counts::yes)) return observed;
  issue_tokens_in(site);
  // Whoever is no longer exempt needs a seat: a login takes the place of the device's session.
  const auto there = site.registry->find_device(login_);
  const auto admission = there && !is_as_it_stands(*site.registry, *there)
                             ? bind_or_admit(site, login_, rules(config), std::nullopt)
                             : sessreg::use(site, login_, rules(config));
  if (!admission) return failed(admission.error(), &config);
  if (admission->stale_configuration) return std::nullopt;
  if (!admission->admitted()) return refused(refused_by(site, *admission, login_));
  if (admission->found) return only_observed(site, use_found(site, admission->ref));
  take(site, *admission, Seat::What::session);
  return answer(What::opened);
}

// nullopt: there is none. With `observe` it is not asked for, as one that is parked might be refused.
std::optional<LoginAnswer> LoginProcedure::use_existing(Site& site) {
  if (auto why = blacklisted(site, Counts::yes)) return refused(std::move(*why));
  note_success(site);
  const auto there = options_.observe ? std::nullopt : site.registry->find_device(login_);
  if (!there || !is_as_it_stands(*site.registry, *there)) return std::nullopt;
  return use_found(site, *there);
}

// Whether a session is exempt as its user is by now. Of an application's users it says so itself, when it
// opens the session.
bool LoginProcedure::is_as_it_stands(const Registry& registry, SlotRef ref) const {
  if (options_.is_of_application && !options_.is_account) return true;
  Snapshot session;
  return registry.snapshot(ref, session) &&
         (session.record.kind == RecordKind::exempt) == (standing_ == Standing::exempt);
}

// With `observe` nobody is refused.
std::optional<LoginAnswer> LoginProcedure::only_observed(Site& site,
                                                         std::optional<LoginAnswer> used) {
  if (!options_.observe || !used || used->what == What::already) return used;
  would_refuse(site, used->refused, Counts::yes);
  return answer(What::observed);
}

// nullopt: it has gone, or is out of time: there is none.
std::optional<LoginAnswer> LoginProcedure::use_found(Site& site, SlotRef ref) {
  Snapshot session;
  if (!site.registry->snapshot(ref, session)) return std::nullopt;
  const Marked marked =
      mark_activity(*site.registry, site.config, session, SystemProcesses(), boottime_ms());
  LoginAnswer result = answer(What::already);
  switch (marked.what) {
    case Marked::What::unknown:
    case Marked::What::expired:
      return std::nullopt;
    case Marked::What::revoked:
      result.what = What::ended;
      result.reason = marked.reason;
      result.refused.message =
          message_of_end(marked.reason, site.config, *site.registry, session.record, 0);
      return result;
    case Marked::What::site_full:
      result.what = What::refused;
      result.refused = {marked.refusal, marked.limit, marked.count, 0, marked.message};
      return result;
    case Marked::What::marked:
      break;
  }
  if (session.record.kind == RecordKind::exempt) result.standing = Standing::exempt;
  if (!is_kept_)
    service_.keep({Seat::What::session, site.config.registry, ref, session.record.id, login_.self},
                  {});
  return result;
}

// With `observe`, nothing may be taken, and who may not open the registry cannot foresee anything.
bool LoginProcedure::can_ask_daemon(const Error& error) const {
  return is_kept_ && !options_.observe && lacks_rights(error);
}

LoginAnswer LoginProcedure::use_by_daemon(const Config& config) {
  auto said = ask_daemon_to_use(options_.socket, options_.site, login_);
  if (!said) {
    if (standing_ != Standing::exempt) return failed(said.error(), &config);
    service_.say_not_listed(said.error());
    return answer(What::opened);
  }
  said->standing = standing_;
  return std::move(*said);
}

// Rule 4.
LoginAnswer LoginProcedure::list_exempt(const Config& config, const Seat* held, bool is_use) {
  auto opened = open_site(config);
  if (!opened) {
    if (can_ask_daemon(opened.error())) return use_by_daemon(config);
    service_.say_not_listed(opened.error());
    return answer(What::opened);
  }
  Site& site = **opened;
  if (is_of_sshd() || is_kept_) note_success(site);
  if (held != nullptr && held->what == Seat::What::session && is_ours(*site.registry, *held))
    return answer(What::already);
  if (is_use)
    if (const auto there = site.registry->find_device(login_);
        there && is_as_it_stands(*site.registry, *there))
      if (auto used = only_observed(site, use_found(site, *there))) return std::move(*used);
  if ((options_.is_of_application || is_kept_) && has_too_many_exempt(*site.registry)) {
    const Error error{Errc::no_space, "the service has " + std::to_string(kMostExempt) +
                                          " exempt sessions already: end some of them"};
    if (!is_kept_) return failed(error, &config);
    service_.say_not_listed(error);
    return answer(What::opened);
  }
  issue_tokens_in(site);
  Admission listed;
  if (sessreg::list_exempt(site, login_, rules(config), listed))
    take(site, listed, Seat::What::session);
  else
    service_.say_not_listed(no_slot());
  return answer(What::opened);
}

// No limit counts them, and they take slots from those whom limits count.
bool LoginProcedure::has_too_many_exempt(Registry& registry) const {
  std::size_t exempt = 0;
  registry.for_each([&](const Snapshot& held) {
    exempt += held.state.stage == Stage::exempt &&
              registry.is_service_of(held.record, login_.service) &&
              !(registry.is_user_of(held.record, login_.user) &&
                registry.is_device_of(held.record, login_.device));
  });
  return exempt >= kMostExempt;
}

void LoginProcedure::take(Site& site, const Admission& admission, Seat::What what) {
  Undo undo([&] { site.registry->release(admission.ref); });
  service_.keep({is_kept_ ? Seat::What::device : what, site.config.registry, admission.ref,
                 admission.id, login_.self},
                admission.token);
  for (const Displaced& displaced : admission.displaced) {
    service_.say_displaced(displaced);
    send_off(*site.registry, site.config, displaced);
  }
  undo.keep();
}

LoginAnswer LoginProcedure::refuse_blacklisted() {
  if (login_.host.empty()) return answer(What::not_counted);
  const auto read = read_config();
  if (!read || (*read)->max_failed_auth_per_host == 0) return answer(What::not_counted);
  const Config& config = **read;
  auto opened = open_site(config);
  if (!opened) return failed(opened.error(), &config);
  Site& site = **opened;
  if (auto why = blacklisted(site, Counts::no)) return refused(std::move(*why));
  return answer(What::not_counted);
}

LoginAnswer LoginProcedure::foresee() {
  if (login_.user.empty()) return answer(What::not_counted);
  const auto read = read_config();
  if (!read || standing(**read) != Standing::counted) return answer(What::not_counted);
  const Config& config = **read;
  auto opened = open_site(config);
  if (!opened) return answer(What::not_counted);
  Site& site = **opened;
  if (may_reattach(site, login_)) return answer(What::not_counted);
  becomes_use(config);
  const auto admission = sessreg::foresee(site, login_, rules(config));
  if (!admission || admission->admitted() || admission->stale_configuration)
    return answer(What::not_counted);
  Refused why = refused_by(site, *admission, login_);
  if (!options_.observe) return refused(std::move(why));
  service_.say_would_refuse(why);
  return answer(What::observed);
}

Result<std::optional<CountedFailure>> LoginProcedure::count_failure() {
  std::optional<CountedFailure> counted;
  if (login_.host.empty()) return counted;
  const auto read = read_config();
  if (!read || (*read)->max_failed_auth_per_host == 0) return counted;
  const Config& config = **read;
  auto opened = open_site(config);
  if (!opened) return opened.error();
  Site& site = **opened;
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  auto failures = failures_from(site, host);
  if (!failures) return counted;
  const FailureStatus status = failures->failed(host, login_.user, boottime_ms());
  site.registry->count(kFailedAuths);
  counted = {status.failures, config.max_failed_auth_per_host, status.blacklisted};
  return counted;
}

std::optional<Error> LoginProcedure::close(std::optional<std::string_view> id) {
  const auto nothing_closed = [&](const Error& error) {
    return id ? std::optional(error) : std::nullopt;
  };
  const auto read = read_config();
  if (!read) return nothing_closed(read.error());
  const Config& config = **read;
  if (!id && (standing(config) == Standing::ignored || becomes_use(config))) return std::nullopt;
  auto registry = open_existing_registry(config.registry);
  if (!registry) return nothing_closed(registry.error());
  const auto session = id ? registry->find_session(login_, *id) : find_latest(*registry);
  if (session) close_in(*registry, *session);
  return std::nullopt;
}

std::optional<SlotRef> LoginProcedure::find_latest(Registry& registry) const {
  std::optional<SlotRef> latest;
  // One that is to end comes before one that is not, whichever was opened last.
  std::pair<bool, std::uint64_t> rank;
  registry.for_each([&](const Snapshot& held) {
    const RecordImage& record = held.record;
    if (record.kind == RecordKind::reservation || leader_of(record) != login_.self ||
        !registry.is_user_of(record, login_.user) ||
        !registry.is_service_of(record, login_.service) ||
        text_of(record.tty) != utf8_prefix(login_.tty, record.tty.size()))
      return;
    const std::pair<bool, std::uint64_t> own = {
        held.mark != MarkStage::none || held.state.stage == Stage::evicted,
        record.opened_boottime_ms};
    if (latest && own < rank) return;
    latest = held.ref;
    rank = own;
  });
  return latest;
}

std::optional<Refused> LoginProcedure::blacklisted(Site& site, Counts counts) {
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  auto failures = failures_from(site, host);
  if (!failures) return std::nullopt;
  const FailureStatus status = failures->attempt(host, boottime_ms());
  if (!status.blacklisted) return std::nullopt;
  Refused why = refused_by(site, status, login_);
  if (options_.observe) {
    would_refuse(site, why, counts);
    return std::nullopt;
  }
  site.registry->count(facts_of(Refusal::blacklisted).counter);
  return why;
}

// sshd may ask for a key behind the account phase: until it opens the session, the password alone
// may have been right. Who else opens sessions at all is not known.
bool LoginProcedure::is_of_sshd() const {
  return !login_.connection.empty();
}

std::optional<Failures> LoginProcedure::failures_from(Site& site, const RemoteHost& host) const {
  return failures_of(site, host, options_.is_of_application ? login_.service : std::string());
}

void LoginProcedure::note_success(Site& site) {
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  if (auto failures = failures_from(site, host))
    failures->succeeded(host, login_.user, boottime_ms());
}

std::optional<LoginAnswer> LoginProcedure::observe(Site& site, Counts counts) {
  if (!options_.observe) return std::nullopt;
  const auto admission = sessreg::foresee(site, login_, rules(site.config));
  if (!admission) {
    service_.say_cannot_foresee(admission.error());
    return answer(What::observed);
  }
  if (admission->stale_configuration) return std::nullopt;
  if (admission->admitted() && admission->displaced.empty()) return std::nullopt;
  if (!admission->admitted()) would_refuse(site, refused_by(site, *admission, login_), counts);
  for (const Displaced& displaced : admission->displaced)
    service_.say_would_displace(displaced);
  return answer(What::observed);
}

void LoginProcedure::would_refuse(Site& site, const Refused& why, Counts counts) {
  service_.say_would_refuse(why);
  if (counts == Counts::yes && why.refusal != Refusal::none)
    site.registry->count(facts_of(why.refusal).observed);
}

void LoginProcedure::list_observed(Site& site) {
  login_.is_observed = true;
  issue_tokens_in(site);
  Admission listed;
  if (sessreg::list_exempt(site, login_, rules(site.config), listed))
    take(site, listed, Seat::What::session);
  else
    service_.say_not_listed(no_slot());
}

Result<const Config*> LoginProcedure::read_config() {
  if (open_site_ != nullptr) return &open_site_->config;
  // Relative to what? To the working directory of a login service that is the user's own (su).
  if (options_.config_path && !options_.config_path->starts_with('/'))
    return Error{Errc::invalid_config,
                 "conf=" + *options_.config_path + ": write an absolute path"};
  auto config = load_config(options_.site, options_.config_path.value_or(""));
  if (!config) return config.error();
  config_ = std::move(*config);
  return &config_;
}

Result<OpenSite> LoginProcedure::open_site(const Config& config) const {
  if (open_site_ != nullptr) return OpenSite(open_site_);
  auto site = Site::open(config, options_.config_path.value_or(""), Site::IfMissing::create);
  if (!site) return site.error();
  site->registry->hide_from_children();
  if (site->registry->is_successor()) service_.say_replaced(site->config.registry);
  return OpenSite(std::move(*site));
}

bool LoginProcedure::becomes_use(const Config& config) {
  if (!options_.obeys_keep || rules_of_service(config, login_.service).keep.count() == 0)
    return false;
  is_kept_ = login_.no_process = true;
  login_.device = kept_device(login_.host);
  return true;
}

Standing LoginProcedure::standing(const Config& config) const {
  if (is_ignored(config, login_.service)) return Standing::ignored;
  if (options_.is_of_application && options_.exempt) return Standing::exempt;
  if (options_.is_of_application && !options_.is_account) return Standing::counted;
  return standing_of(config, login_.user, login_.service, groups_of(login_.user, primary_group_));
}

Rulebook LoginProcedure::rules(const Config& config) const {
  Rulebook book =
      rules_for(config, login_.user, login_.service, groups_of(login_.user, primary_group_));
  if (options_.is_of_application) {
    if (!options_.is_account) book.may_use_reserved = config.reserved_sessions == 0;
    book.evictable_services = options_.evictable_services;
  }
  Seconds& ttl = book.session_ttl.value;
  const Seconds keep = rules_of_service(config, login_.service).keep;
  if (login_.no_process && keep.count() != 0) ttl = keep;
  if (options_.ttl.count() != 0 && (ttl.count() == 0 || options_.ttl < ttl)) ttl = options_.ttl;
  return book;
}

bool LoginProcedure::is_ours(const Registry& registry, const Seat& seat) const {
  Snapshot held;
  return seat.maker == login_.self && registry.snapshot(seat.ref, held) &&
         held.record.id == seat.id && registry.is_user_of(held.record, login_.user) &&
         registry.is_service_of(held.record, login_.service);
}

void LoginProcedure::issue_tokens_in(Site& site) {
  if (is_kept_) return;  // nobody would have it
  issue_tokens(site, login_.user, [this](const Error& error) { service_.say_no_token(error); });
}

LoginAnswer LoginProcedure::answer(What what) const {
  LoginAnswer answer;
  answer.what = what;
  answer.standing = standing_;
  return answer;
}

LoginAnswer LoginProcedure::refused(Refused why) const {
  LoginAnswer result = answer(What::refused);
  result.refused = std::move(why);
  return result;
}

// Rule 3.
LoginAnswer LoginProcedure::failed(const Error& error, const Config* config) const {
  using OnFailure = LoginAnswer::OnFailure;
  LoginAnswer result = answer(What::failed);
  result.error = error;
  result.is_of_registry = config != nullptr;
  const OnError on_error =
      options_.on_error.value_or(config != nullptr ? config->on_error : OnError::deny);
  if (lacks_rights(error))
    result.on_failure = OnFailure::not_ours;
  else if (is_root(login_, options_.is_account))
    result.on_failure = OnFailure::root_let_in;
  else if (options_.observe)
    result.on_failure = OnFailure::observed;
  else if (on_error == OnError::allow)
    result.on_failure = OnFailure::let_through;
  return result;
}

}  // namespace sessreg
