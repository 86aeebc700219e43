#include "phases.h"

#include <pwd.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "text.h"

namespace sessreg {
namespace {

std::string item(pam_handle_t* pamh, int type) {
  const void* value = nullptr;
  if (pam_get_item(pamh, type, &value) != PAM_SUCCESS || value == nullptr) return {};
  return static_cast<const char*>(value);
}

}  // namespace

Phase::Phase(pam_handle_t* pamh, const Arguments& arguments) : pamh_(pamh), arguments_(arguments) {
  const char* typed = nullptr;
  if (pam_get_user(pamh, &typed, nullptr) == PAM_SUCCESS && typed != nullptr) login_.user = typed;
  // Names may be typed in more than one way (case, domain); the limits know one.
  if (const passwd* entry = pam_modutil_getpwnam(pamh, login_.user.c_str())) {
    login_.user = entry->pw_name;
    login_.uid = entry->pw_uid;
    primary_group_ = entry->pw_gid;
  }
  login_.service = item(pamh, PAM_SERVICE);
  login_.host = item(pamh, PAM_RHOST);
  login_.tty = item(pamh, PAM_TTY);
  if (const char* connection = pam_getenv(pamh, "SSH_CONNECTION")) login_.connection = connection;
  login_.self = self_id();
  login_.parent = parent_id();
  for (const std::string& word : arguments.ignored)
    log(LOG_WARNING, "unknown argument ignored", "argument=" + log_value(word));
}

int Phase::account() {
  const auto config = load_config(arguments_.site, arguments_.conf);
  if (!config) return cannot_work(config.error(), nullptr, PAM_IGNORE);
  if (standing(*config) != Standing::counted) {
    debug("not counted");
    return PAM_IGNORE;
  }
  auto site = Site::open(*config, arguments_.conf);
  if (!site) return cannot_work(site.error(), &*config, PAM_IGNORE);

  if (const Held* held = get_held(pamh_, arguments_.site)) {
    // The account phase a second time: the seat is taken already, or was for somebody else.
    if (is_own(*held, Held::What::reservation) &&
        site->registry().is_reservation_of(held->ref, login_)) {
      debug("reserved already");
      return PAM_SUCCESS;
    }
    if (held->what == Held::What::reservation && held->maker == login_.self)
      site->registry().release_reservation(held->ref);
    forget_held(pamh_, arguments_.site);
  }

  const auto admission = site->reserve(login_);
  if (!admission) return cannot_work(admission.error(), &site->config(), PAM_IGNORE);
  if (!admission->admitted()) return refuse(*site, *admission);
  remember(site->config(), *admission, Held::What::reservation);
  debug("reserved");
  return PAM_SUCCESS;
}

int Phase::open_session() {
  const auto config = load_config(arguments_.site, arguments_.conf);
  if (!config) return cannot_work(config.error(), nullptr, PAM_SUCCESS);
  switch (standing(*config)) {
    case Standing::ignored:
      debug("not counted");
      return PAM_SUCCESS;
    case Standing::exempt:
      list_exempt(*config);
      return PAM_SUCCESS;
    case Standing::counted:
      break;
  }
  auto site = Site::open(*config, arguments_.conf);
  if (!site) return cannot_work(site.error(), &*config, PAM_SUCCESS);

  const Held* held = get_held(pamh_, arguments_.site);
  Snapshot session;
  if (held != nullptr && is_own(*held, Held::What::session) &&
      site->registry().snapshot(held->ref, session) && session.record.id == held->id) {
    debug("opened already");  // the module stands twice in this stack
    return PAM_SUCCESS;
  }
  const bool reserved = held != nullptr && held->what == Held::What::reservation;
  const auto admission = site->open_session(login_, reserved ? &held->ref : nullptr);
  if (!admission) return cannot_work(admission.error(), &site->config(), PAM_SUCCESS);
  if (!admission->admitted()) return refuse(*site, *admission);
  remember(site->config(), *admission, Held::What::session);
  put_environment(admission->id);
  debug("opened");
  return PAM_SUCCESS;
}

int Phase::close_session() {
  const auto host = host_identity();
  if (!host) {
    log(LOG_ERR, "cannot release", "error=" + log_value(host.error().what));
    return PAM_SUCCESS;
  }
  const Held* held = get_held(pamh_, arguments_.site);
  if (held != nullptr && held->what == Held::What::session) {
    if (auto registry = Registry::open(held->registry_path, *host)) {
      Snapshot session;
      if (registry->snapshot(held->ref, session) && session.record.id == held->id)
        registry->release(held->ref);
    }
    forget_held(pamh_, arguments_.site);
    debug("closed");
    return PAM_SUCCESS;
  }
  // Opened through another handle of this process, or already closed.
  const auto config = load_config(arguments_.site, arguments_.conf);
  if (!config) {
    log(LOG_ERR, "cannot release", "error=" + log_value(config.error().what));
    return PAM_SUCCESS;
  }
  if (standing(*config) == Standing::ignored) return PAM_SUCCESS;
  if (auto registry = Registry::open(config->registry, *host)) {
    if (const auto session = registry->find_session(login_)) registry->release(*session);
  }
  return PAM_SUCCESS;
}

int Phase::cannot_work(const Error& error, const Config* config, int code_if_allowed) const {
  // Such a service cannot open a session for anybody (screen lockers, web servers).
  if (error.code == Errc::permission_denied && geteuid() != 0) {
    debug("no rights");
    return PAM_IGNORE;
  }
  const std::string what = "error=" + log_value(error.what);
  if (login_.uid == 0) {
    log(LOG_ALERT, "cannot work, root let through", what);
    return PAM_SUCCESS;
  }
  const OnError on_error =
      arguments_.on_error.value_or(config != nullptr ? config->on_error : OnError::deny);
  if (on_error == OnError::allow) {
    log(LOG_ALERT, "cannot work, let through uncounted", what);
    return code_if_allowed;
  }
  log(LOG_ALERT, "cannot work, refused", what);
  return PAM_SYSTEM_ERR;
}

int Phase::refuse(const Site& site, const Admission& admission) const {
  log(LOG_NOTICE, "refused",
      std::string("reason=") + text(admission.refusal) + " count=" +
          std::to_string(admission.count) + " limit=" + std::to_string(admission.limit));
  // Also where the service set PAM_SILENT: the user must learn why.
  if (!arguments_.quiet) pam_error(pamh_, "%s", site.message(admission, login_).c_str());
  return PAM_PERM_DENIED;
}

Standing Phase::standing(const Config& config) const {
  return standing_of(config, login_.user, login_.service, groups_of(login_.user, primary_group_));
}

bool Phase::is_own(const Held& held, Held::What what) const {
  return held.what == what && held.maker == login_.self && held.user == login_.user &&
         held.service == login_.service;
}

void Phase::list_exempt(const Config& config) const {
  auto site = Site::open(config, arguments_.conf);
  if (!site) {
    log(LOG_WARNING, "exempt session not listed", "error=" + log_value(site.error().what));
    return;
  }
  // A reservation from before the user became exempt would keep its seat until it runs out.
  const Held* held = get_held(pamh_, arguments_.site);
  if (held != nullptr && held->what == Held::What::reservation)
    site->registry().release_reservation(held->ref);
  if (held != nullptr && is_own(*held, Held::What::session)) return;
  Admission listed;
  if (!site->registry().list_exempt(login_, listed)) {
    log(LOG_WARNING, "exempt session not listed", "error=\"no free slot: raise 'capacity'\"");
    return;
  }
  remember(config, listed, Held::What::session);
  put_environment(listed.id);
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
  // Without it, the open phase finds the reservation, and close the session, by this process's id.
  if (!set_held(pamh_, arguments_.site, held)) debug("PAM keeps no data");
}

void Phase::put_environment(const SessionId& id) const {
  pam_putenv(pamh_, ("SESSREG_ID=" + to_hex(id)).c_str());
  pam_putenv(pamh_, ("SESSREG_SITE=" + arguments_.site).c_str());
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

int cannot_work_without_memory(pam_handle_t* pamh, int argc, const char** argv,
                               int code_if_allowed) noexcept {
  const char* user = nullptr;
  const passwd* entry = nullptr;
  if (pam_get_user(pamh, &user, nullptr) == PAM_SUCCESS && user != nullptr)
    entry = pam_modutil_getpwnam(pamh, user);
  if (entry != nullptr && entry->pw_uid == 0) {
    pam_syslog(pamh, LOG_ALERT, "cannot work, root let through: error=\"out of memory\"");
    return PAM_SUCCESS;
  }
  pam_syslog(pamh, LOG_ALERT, "cannot work: error=\"out of memory\"");
  for (int i = 0; i < argc; ++i)
    if (strcmp(argv[i], "on_error=allow") == 0) return code_if_allowed;
  return PAM_SYSTEM_ERR;
}

}  // namespace sessreg
