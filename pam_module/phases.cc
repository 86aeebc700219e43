#include "phases.h"

#include <security/pam_ext.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <new>
#include <utility>

#include "base/text.h"
#include "base/undo.h"
#include "host/account.h"
#include "session/send_off.h"

namespace sessreg {
namespace {

std::string item(pam_handle_t* pamh, int type) {
  const void* value = nullptr;
  if (pam_get_item(pamh, type, &value) != PAM_SUCCESS || value == nullptr) return {};
  return static_cast<const char*>(value);
}

constexpr const char* kHint = "SESSREG_RESERVATION";

constexpr const char* kCannotWork =
    "Logins cannot be checked at the moment. Please tell the administrator.";

// How often a phase begins again because the configuration was edited under it.
constexpr int kTurns = 10;

std::string fields_of(const Admission& refused) {
  std::string fields = std::string("reason=") + text(refused.refusal) +
                       " count=" + std::to_string(refused.count) +
                       " limit=" + std::to_string(refused.limit);
  if (refused.refusal == Refusal::locked)
    fields += " seconds=" + std::to_string((refused.wait_ms + 999) / 1000);
  return fields;
}

std::string fields_of(const Displaced& displaced) {
  return "id=" + to_hex(displaced.session.record.id) +
         " of=" + log_value(text_of(displaced.session.record.user)) +
         " why=" + log_value(text(displaced.why));
}

// By the name where the user cannot be looked up now: without descriptors or memory nobody can.
bool is_root(const Login& login) {
  return login.uid == 0 || (login.uid == kNoUid && login.user == "root");
}

Error changes_too_fast() {
  return {Errc::invalid_config, "the configuration changes faster than it can be read"};
}

}  // namespace

Phase::Phase(pam_handle_t* pamh, std::span<const char* const> words, AskForUser ask)
    : pamh_(pamh), arguments_(parse_pam_arguments(words)) {
  login_.user = item(pamh, PAM_USER);
  const char* typed = nullptr;
  if (ask == AskForUser::yes && pam_get_user(pamh, &typed, nullptr) == PAM_SUCCESS &&
      typed != nullptr)
    login_.user = typed;
  login_.service = item(pamh, PAM_SERVICE);
  login_.host = item(pamh, PAM_RHOST);
  login_.tty = item(pamh, PAM_TTY);
  for (const char* word : words)
    if (!is_pam_argument(word))
      log(LOG_WARNING, "unknown argument ignored", "argument=" + log_value(word));
}

void Phase::look_up() {
  // Names may be typed in more than one way (case, domain); the limits know one.
  Account account = find_account(login_.user);
  login_.user = std::move(account.name);
  login_.uid = account.uid.value_or(kNoUid);
  primary_group_ = account.primary_group;
  if (const char* connection = pam_getenv(pamh_, "SSH_CONNECTION")) login_.connection = connection;
  login_.self = self_id();
}

Result<Config> Phase::read_config() const {
  // Relative to what? To the working directory of a login service that is the user's own (su).
  if (arguments_.conf && !arguments_.conf->starts_with('/'))
    return Error{Errc::invalid_config, "conf=" + config_path() + ": write an absolute path"};
  return load_config(arguments_.site, config_path());
}

int Phase::authenticate() {
  look_up();
  if (arguments_.authfail) {
    authfail();
    return PAM_AUTH_ERR;  // also where it cannot count: a password module has failed
  }
  if (arguments_.preauth) return preauth();
  return arguments_.check_limit ? check_limit() : PAM_IGNORE;
}

// What the auth phases cannot do, the account phase refuses.
int Phase::preauth() {
  if (login_.host.empty()) return PAM_IGNORE;
  const auto config = read_config();
  if (!config || config->max_failed_auth_per_host == 0) return PAM_IGNORE;
  auto site = Site::open(*config, config_path());
  if (!site) {
    if (site.error().code != Errc::permission_denied || geteuid() == 0)
      log(LOG_ERR, "cannot look for a blacklisted host", "error=" + log_value(site.error().what));
    return PAM_IGNORE;
  }
  return refuse_blacklisted(*site).value_or(PAM_IGNORE);
}

void Phase::authfail() {
  if (login_.host.empty()) return;
  const auto config = read_config();
  if (!config || config->max_failed_auth_per_host == 0) return;
  auto site = Site::open(*config, config_path());
  if (!site) {
    if (site.error().code != Errc::permission_denied || geteuid() == 0)
      log(LOG_ERR, "cannot count a failure", "error=" + log_value(site.error().what));
    return;
  }
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  auto failures = site->failures(host);
  if (!failures) return;
  const FailureStatus status = failures->failed(host, login_.user, boottime_ms());
  site->registry().count(kFailedAuths);
  log(LOG_NOTICE, status.blacklisted ? "remote host blacklisted" : "failure counted",
      "failures=" + std::to_string(status.failures) +
          " max=" + std::to_string(config->max_failed_auth_per_host));
}

int Phase::check_limit() {
  if (login_.user.empty()) return PAM_IGNORE;
  const auto config = read_config();
  if (!config || standing(*config) != Standing::counted) return PAM_IGNORE;
  auto site = Site::open(*config, config_path());
  if (!site) return PAM_IGNORE;
  const auto admission = site->foresee(login_, rules(*config));
  if (!admission || admission->admitted() || admission->stale_configuration) return PAM_IGNORE;
  if (arguments_.observe) {
    log(LOG_NOTICE, "would be refused", fields_of(*admission));
    return PAM_IGNORE;
  }
  return refuse(*site, *admission);
}

std::optional<int> Phase::refuse_blacklisted(Site& site) {
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  auto failures = site.failures(host);
  if (!failures) return std::nullopt;
  const FailureStatus status = failures->attempt(host, boottime_ms());
  if (!status.blacklisted) return std::nullopt;
  const std::string fields = "reason=blacklisted failures=" + std::to_string(status.failures);
  if (arguments_.observe) {
    log(LOG_NOTICE, "would be refused", fields);
    return std::nullopt;
  }
  site.registry().count(kRefusedBlacklisted);
  return refuse(fields, site.blacklisted_message(status, login_));
}

void Phase::erase_failures(Site& site) const {
  const RemoteHost host = RemoteHost::from_rhost(login_.host);
  if (auto failures = site.failures(host)) failures->succeeded(host, login_.user, boottime_ms());
}

int Phase::account() {
  look_up();
  login_.parent = parent_id();  // may be the one that opens the session
  for (int turn = 0; turn < kTurns; ++turn)
    if (const auto code = try_account()) return *code;
  return cannot_work(changes_too_fast(), nullptr, PAM_IGNORE);
}

int Phase::open_session() {
  look_up();
  for (int turn = 0; turn < kTurns; ++turn)
    if (const auto code = try_open_session()) return *code;
  return cannot_work(changes_too_fast(), nullptr, PAM_SUCCESS);
}

std::optional<int> Phase::try_account() {
  const auto config = read_config();
  if (!config) return cannot_work(config.error(), nullptr, PAM_IGNORE);
  const Standing counts = standing(*config);
  if (counts == Standing::ignored ||
      (counts == Standing::exempt && config->max_failed_auth_per_host == 0)) {
    debug("not counted");
    return PAM_IGNORE;
  }
  auto site = Site::open(*config, config_path());
  if (!site) return cannot_work(site.error(), &*config, PAM_IGNORE);
  if (counts == Standing::exempt) {
    erase_failures(*site);
    debug("not counted");
    return PAM_IGNORE;
  }
  // Public-key logins have not met the auth phase.
  if (const auto code = refuse_blacklisted(*site)) return *code;
  erase_failures(*site);

  const Held* held = get_held(pamh_, arguments_.site);
  if (held != nullptr && held->what == Held::What::reservation) {
    // The account phase a second time: the seat is taken already, or was for somebody else.
    if (is_own(*held) && held->registry_path == config->registry &&
        site->registry().is_reservation_of(held->ref, login_)) {
      debug("reserved already");
      return PAM_SUCCESS;
    }
    give_back(*held);
  }
  const Rulebook rulebook = rules(*config);
  if (const auto code = observe(*site, rulebook)) return *code;
  const auto admission = site->reserve(login_, rulebook);
  if (!admission) return cannot_work(admission.error(), &*config, PAM_IGNORE);
  if (admission->stale_configuration) return std::nullopt;
  if (!admission->admitted()) return refuse(*site, *admission);
  Undo undo([&] { site->registry().release(admission->ref); });
  send_off_displaced(*site, *admission);
  remember(*config, *admission, Held::What::reservation);
  debug("reserved");
  undo.keep();
  return PAM_SUCCESS;
}

std::optional<int> Phase::try_open_session() {
  const auto config = read_config();
  if (!config) return cannot_work(config.error(), nullptr, PAM_SUCCESS);
  const Held* held = get_held(pamh_, arguments_.site);
  const bool reserved = held != nullptr && held->what == Held::What::reservation;
  const Standing counts = standing(*config);
  // The configuration was edited since the account phase: what it reserved is of no use any more.
  if (reserved && (counts != Standing::counted || held->registry_path != config->registry))
    give_back(*held);
  if (counts == Standing::ignored) {
    debug("not counted");
    return PAM_SUCCESS;
  }
  if (counts == Standing::exempt) {
    list_exempt(*config);
    return PAM_SUCCESS;
  }
  auto site = Site::open(*config, config_path());
  if (!site) return cannot_work(site.error(), &*config, PAM_SUCCESS);

  Snapshot session;
  if (held != nullptr && held->what == Held::What::session && is_own(*held) &&
      site->registry().snapshot(held->ref, session) && session.record.id == held->id) {
    debug("opened already");  // the module stands twice in this stack
    return PAM_SUCCESS;
  }
  const Rulebook rulebook = rules(*config);
  const auto hint = reserved ? std::optional(held->ref) : hinted_reservation();
  // What the account phase reserved is bound also where `observe` would let anybody through.
  if (!hint || !site->registry().is_reservation_of(*hint, login_))
    if (const auto code = observe(*site, rulebook)) return *code;
  issue_tokens(*site);
  const auto admission = site->open_session(login_, rulebook, hint ? &*hint : nullptr);
  if (!admission) return cannot_work(admission.error(), &*config, PAM_SUCCESS);
  if (admission->stale_configuration) return std::nullopt;
  if (!admission->admitted()) return refuse(*site, *admission);
  Undo undo([&] { site->registry().release(admission->ref); });
  remember(*config, *admission, Held::What::session);
  put_environment(*admission);
  send_off_displaced(*site, *admission);
  debug("opened");
  undo.keep();
  return PAM_SUCCESS;
}

// Costs no lookup, as a rule: what is to be released was kept when it was opened.
int Phase::close_session() {
  const auto host = host_identity();
  if (!host) {
    log(LOG_ERR, "cannot release", "error=" + log_value(host.error().what));
    return PAM_SUCCESS;
  }
  const Held* held = get_held(pamh_, arguments_.site);
  if (held == nullptr) {
    release_unheld(*host);
    return PAM_SUCCESS;
  }
  if (held->what != Held::What::session) return PAM_SUCCESS;
  auto registry = Registry::open(held->registry_path, *host);
  if (!registry) {
    // Still held, so that a later close can do it; at the latest it ends with its processes.
    if (registry.error().code != Errc::not_found)
      log(LOG_ERR, "cannot release", "error=" + log_value(registry.error().what));
    return PAM_SUCCESS;
  }
  Snapshot session;
  if (registry->snapshot(held->ref, session) && session.record.id == held->id)
    registry->release(held->ref);
  Held closed = *held;
  closed.what = Held::What::closed;
  set_held(pamh_, arguments_.site, closed);
  debug("closed");
  return PAM_SUCCESS;
}

void Phase::release_unheld(const HostIdentity& host) {
  const char* id = pam_getenv(pamh_, "SESSREG_ID");
  if (id == nullptr) return;  // a close without an open
  look_up();
  const auto config = read_config();
  if (!config) {
    log(LOG_ERR, "cannot release", "error=" + log_value(config.error().what));
    return;
  }
  auto registry = Registry::open(config->registry, host);
  if (!registry) {
    log(LOG_ERR, "cannot release", "error=" + log_value(registry.error().what));
    return;
  }
  if (const auto session = registry->find_session(login_, id)) registry->release(*session);
}

void Phase::give_back(const Held& held) const {
  const auto host = host_identity();
  if (!host || held.maker != login_.self) return;
  if (auto registry = Registry::open(held.registry_path, *host))
    registry->release_reservation(held.ref);
}

int Phase::cannot_work(const Error& error, const Config* config, int code_if_allowed) const {
  // Such a service cannot open a session for anybody (screen lockers, web servers).
  if (error.code == Errc::permission_denied && geteuid() != 0) {
    debug("no rights");
    return PAM_IGNORE;
  }
  const std::string what = "error=" + log_value(error.what);
  if (is_root(login_)) {
    log(LOG_ALERT, "cannot work, root let through", what);
    return PAM_SUCCESS;
  }
  if (arguments_.observe) {
    log(LOG_ALERT, "cannot work, let through", what);
    return code_if_allowed;
  }
  const OnError on_error =
      arguments_.on_error.value_or(config != nullptr ? config->on_error : OnError::deny);
  if (on_error == OnError::allow) {
    log(LOG_ALERT, "cannot work, let through uncounted", what);
    return code_if_allowed;
  }
  log(LOG_ALERT, "cannot work, refused", what);
  // What is wrong is the administrator's to read, not the user's.
  if (!arguments_.quiet) pam_error(pamh_, "%s", kCannotWork);
  return PAM_SYSTEM_ERR;
}

int Phase::refuse(const Site& site, const Admission& admission) const {
  return refuse(fields_of(admission), site.message(admission, login_));
}

int Phase::refuse(const std::string& fields, const std::string& message) const {
  log(LOG_NOTICE, "refused", fields);
  // Also where the service set PAM_SILENT: the user must learn why.
  if (!arguments_.quiet) pam_error(pamh_, "%s", message.c_str());
  return PAM_PERM_DENIED;
}

std::optional<int> Phase::observe(Site& site, const Rulebook& rulebook) const {
  if (!arguments_.observe) return std::nullopt;
  const auto admission = site.foresee(login_, rulebook);
  if (!admission) {
    log(LOG_ALERT, "cannot work, let through", "error=" + log_value(admission.error().what));
    return PAM_SUCCESS;
  }
  if (admission->stale_configuration) return std::nullopt;
  if (admission->admitted() && admission->displaced.empty()) return std::nullopt;
  if (!admission->admitted()) log(LOG_NOTICE, "would be refused", fields_of(*admission));
  for (const Displaced& displaced : admission->displaced)
    log(LOG_NOTICE, "would take the seat of a session", fields_of(displaced));
  return PAM_SUCCESS;
}

void Phase::send_off_displaced(Site& site, const Admission& admission) const {
  for (const Displaced& displaced : admission.displaced) {
    log(LOG_NOTICE, "session ended for another", fields_of(displaced));
    send_off(site.registry(), site.config(), displaced);
  }
}

Standing Phase::standing(const Config& config) const {
  return standing_of(config, login_.user, login_.service, groups_of(login_.user, primary_group_));
}

Rulebook Phase::rules(const Config& config) const {
  return rules_for(config, login_.user, login_.service, groups_of(login_.user, primary_group_));
}

bool Phase::is_own(const Held& held) const {
  return held.maker == login_.self && held.user == login_.user && held.service == login_.service;
}

void Phase::list_exempt(const Config& config) const {
  const Held* held = get_held(pamh_, arguments_.site);
  if (held != nullptr && held->what == Held::What::session && is_own(*held)) return;
  auto site = Site::open(config, config_path());
  if (!site) {
    log(LOG_WARNING, "exempt session not listed", "error=" + log_value(site.error().what));
    return;
  }
  issue_tokens(*site);
  Admission listed;
  if (!site->registry().list_exempt(login_, listed)) {
    log(LOG_WARNING, "exempt session not listed", "error=\"no free slot: raise 'capacity'\"");
    return;
  }
  Undo undo([&] { site->registry().release(listed.ref); });
  remember(config, listed, Held::What::session);
  put_environment(listed);
  undo.keep();
}

void Phase::remember(const Config& config, const Admission& admission, Held::What what) const {
  Held held;
  held.what = what;
  held.registry_path = config.registry;
  held.ref = admission.ref;
  held.id = admission.id;
  held.user = login_.user;
  held.service = login_.service;
  held.maker = login_.self;
  if (what == Held::What::reservation) put_hint(admission.ref);
  // PAM had no memory. What nobody remembers nobody gives back.
  if (!set_held(pamh_, arguments_.site, held)) throw std::bad_alloc();
}

// For an open phase in another process than the account phase's (sshd, keyboard-interactive), which
// has its environment, but not its data. A hint only, as users may set the environment: it spares
// a search of the table for what is then checked.
void Phase::put_hint(SlotRef reservation) const {
  pam_putenv(pamh_, (std::string(kHint) + "=" + std::to_string(reservation.slot) + ":" +
                     std::to_string(reservation.epoch))
                        .c_str());
}

std::optional<SlotRef> Phase::hinted_reservation() const {
  const char* hint = pam_getenv(pamh_, kHint);
  if (hint == nullptr) return std::nullopt;
  SlotRef ref;
  const char* const end = hint + strlen(hint);
  const auto slot = std::from_chars(hint, end, ref.slot);
  if (slot.ec != std::errc() || slot.ptr == end || *slot.ptr != ':') return std::nullopt;
  const auto epoch = std::from_chars(slot.ptr + 1, end, ref.epoch);
  if (epoch.ec != std::errc() || epoch.ptr != end) return std::nullopt;
  return ref;
}

void Phase::issue_tokens(Site& site) const {
  site.issue_tokens(login_.user, [this](const Error& error) {
    log(LOG_WARNING, "no token issued", "error=" + log_value(error.what));
  });
}

void Phase::put_environment(const Admission& opened) const {
  if (pam_getenv(pamh_, kHint) != nullptr) pam_putenv(pamh_, kHint);  // without a value: removed
  pam_putenv(pamh_, ("SESSREG_ID=" + to_hex(opened.id)).c_str());
  pam_putenv(pamh_, std::string("SESSREG_SITE=").append(arguments_.site).c_str());
  if (!opened.token.empty()) pam_putenv(pamh_, ("SESSREG_TOKEN=" + opened.token).c_str());
}

void Phase::log(int priority, const char* event, const std::string& fields) const {
  pam_syslog(pamh_, priority, "%s: site=%s user=%s service=%s rhost=%s%s%s", event,
             log_value(arguments_.site).c_str(), log_value(login_.user).c_str(),
             log_value(login_.service).c_str(), log_value(login_.host).c_str(),
             fields.empty() ? "" : " ", fields.c_str());
}

void Phase::debug(const char* event) const {
  if (arguments_.debug) log(LOG_DEBUG, event);
}

int cannot_work_without_memory(pam_handle_t* pamh, const PamArguments& arguments,
                               int code_if_allowed) noexcept {
  const char* user = nullptr;
  std::optional<uid_t> uid;
  if (pam_get_user(pamh, &user, nullptr) == PAM_SUCCESS && user != nullptr) uid = find_uid(user);
  // By the name where there is no memory to look the user up, either.
  if (uid ? *uid == 0 : user != nullptr && strcmp(user, "root") == 0) {
    pam_syslog(pamh, LOG_ALERT, "cannot work, root let through: error=\"out of memory\"");
    return PAM_SUCCESS;
  }
  pam_syslog(pamh, LOG_ALERT, "cannot work: error=\"out of memory\"");
  return arguments.on_error == OnError::allow ? code_if_allowed : PAM_SYSTEM_ERR;
}

}  // namespace sessreg
