#include "login_context.h"

#include <security/pam_ext.h>
#include <string.h>
#include <syslog.h>

#include <charconv>
#include <new>
#include <utility>

#include "base/text.h"
#include "host/account.h"
#include "session/daemon.h"
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

// The words of an error are this project's own, but for names of files that root chose.
constexpr std::size_t kMostErrorBytes = 512;

std::string fields_of(const Refused& refused) {
  if (refused.refusal == Refusal::blacklisted) return "failures=" + std::to_string(refused.count);
  std::string fields =
      "count=" + std::to_string(refused.count) + " limit=" + std::to_string(refused.limit);
  if (refused.refusal == Refusal::locked) fields += " seconds=" + std::to_string(refused.seconds);
  return fields;
}

std::string fields_of(const Displaced& displaced) {
  return "id=" + to_hex(displaced.session.record.id) +
         " of=" + log_value(text_of(displaced.session.record.user)) +
         " why=" + log_value(text(displaced.why));
}

// Whether the login is for a desktop: its terminal is a display, as pam_systemd has it, or a display
// manager says so.
bool is_for_display(pam_handle_t* pamh, std::string_view tty) {
  const char* const variable = pam_getenv(pamh, "XDG_SESSION_TYPE");
  const std::string_view type = variable == nullptr ? "" : variable;
  return tty.find(':') != tty.npos || type == "x11" || type == "wayland" ||
         !item(pamh, PAM_XDISPLAY).empty();
}

}  // namespace

LoginContext::LoginContext(pam_handle_t* pamh, std::span<const char* const> words, AskForUser ask)
    : pamh_(pamh), arguments_(parse_pam_arguments(words)) {
  options_.site = arguments_.site;
  options_.config_path = arguments_.conf;
  options_.on_error = arguments_.on_error;
  options_.observe = arguments_.observe;
  options_.obeys_keep = true;
  options_.socket = arguments_.socket.value_or(kDaemonSocket);

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

void LoginContext::look_up() {
  // Names may be typed in more than one way (case, domain); the limits know one.
  Account account = find_account(login_.user);
  login_.user = std::move(account.name);
  login_.uid = account.uid.value_or(kNoUid);
  primary_group_ = account.primary_group;
  login_.has_display = is_for_display(pamh_, login_.tty);
  if (const char* connection = pam_getenv(pamh_, "SSH_CONNECTION")) login_.connection = connection;
}

bool LoginContext::password_is_empty() const {
  const void* password = nullptr;
  return pam_get_item(pamh_, PAM_AUTHTOK, &password) == PAM_SUCCESS && password != nullptr &&
         *static_cast<const char*>(password) == '\0';
}

const Seat* LoginContext::kept_seat() const {
  const Held* held = get_held(pamh_, arguments_.site);
  return held != nullptr && !held->is_closed ? &held->seat : nullptr;
}

int LoginContext::code_of(const LoginAnswer& answer, int code_if_passed) const {
  switch (answer.what) {
    case LoginAnswer::What::not_counted:
      debug("not counted");
      return code_if_passed;
    case LoginAnswer::What::observed:
      return PAM_SUCCESS;
    case LoginAnswer::What::reserved:
      debug("reserved");
      return PAM_SUCCESS;
    case LoginAnswer::What::deferred:
      debug("left to the session's opening");
      return PAM_SUCCESS;
    case LoginAnswer::What::opened:
      debug("opened");
      return PAM_SUCCESS;
    case LoginAnswer::What::already:
      debug("taken already");
      return PAM_SUCCESS;
    case LoginAnswer::What::refused:
      return refuse(answer.refused);
    case LoginAnswer::What::ended:
      log(LOG_NOTICE, "refused", "why=" + log_value(answer.reason), "revoked");
      tell_user(answer.refused.message.c_str());
      return PAM_PERM_DENIED;
    case LoginAnswer::What::failed:
      break;
  }
  return cannot_work(answer, code_if_passed);
}

int LoginContext::refuse(const Refused& refused) const {
  log(LOG_NOTICE, "refused", fields_of(refused), text(refused.refusal));
  // Also where the service set PAM_SILENT: the user must learn why.
  tell_user(refused.message.c_str());
  return PAM_PERM_DENIED;
}

int LoginContext::cannot_work(const LoginAnswer& answer, int code_if_passed) const {
  const Error& error = *answer.error;
  switch (answer.on_failure) {
    case LoginAnswer::OnFailure::not_ours:
      debug("no rights");
      return PAM_IGNORE;
    case LoginAnswer::OnFailure::root_let_in:
      log(LOG_ALERT, "cannot work, root let through", error);
      return PAM_SUCCESS;
    case LoginAnswer::OnFailure::observed:
      log(LOG_ALERT, "cannot work, let through", error);
      return code_if_passed;
    case LoginAnswer::OnFailure::let_through:
      log(LOG_ALERT, "cannot work, let through uncounted", error);
      return code_if_passed;
    case LoginAnswer::OnFailure::turned_away:
      break;
  }
  log(LOG_ALERT, "cannot work, refused", error);
  // What is wrong is the administrator's to read, not the user's.
  tell_user(kCannotWork);
  return PAM_SYSTEM_ERR;
}

void LoginContext::tell_user(const char* text) const {
  if (arguments_.quiet) return;
  // Without a conversation (a service of its own protocol) libpam would log that as an error.
  const void* conversation = nullptr;
  if (pam_get_item(pamh_, PAM_CONV, &conversation) != PAM_SUCCESS || conversation == nullptr ||
      static_cast<const pam_conv*>(conversation)->conv == nullptr)
    return;
  // LightDM's greeters show their own words in place of an error, and leave any other text.
  if (login_.service.starts_with("lightdm"))
    pam_info(pamh_, "%s", text);
  else
    pam_error(pamh_, "%s", text);
}

void LoginContext::keep(const Seat& seat, const std::string& token) {
  if (seat.what == Seat::What::reservation) {
    pam_putenv(pamh_, (std::string(kHint) + "=" + std::to_string(seat.ref.slot) + ":" +
                       std::to_string(seat.ref.epoch))
                          .c_str());
  }
  // PAM had no memory. What nobody remembers nobody gives back.
  if (!set_held(pamh_, arguments_.site, {seat})) throw std::bad_alloc();
  if (seat.what != Seat::What::session) return;
  if (pam_getenv(pamh_, kHint) != nullptr) pam_putenv(pamh_, kHint);  // without a value: removed
  pam_putenv(pamh_, ("SESSREG_ID=" + to_hex(seat.id)).c_str());
  pam_putenv(pamh_, std::string("SESSREG_SITE=").append(arguments_.site).c_str());
  if (!token.empty()) pam_putenv(pamh_, ("SESSREG_TOKEN=" + token).c_str());
}

void LoginContext::say_displaced(const Displaced& displaced) {
  log(LOG_NOTICE, "session ended for another", fields_of(displaced));
}

void LoginContext::say_no_token(const Error& error) {
  log(LOG_WARNING, "no token issued", error);
}

void LoginContext::say_not_listed(const Error& error) {
  log(LOG_WARNING, "session not listed", error);
}

void LoginContext::say_replaced(const std::string& path) {
  log(LOG_NOTICE, "registry of a container that has ended replaced", "registry=" + log_value(path));
}

void LoginContext::say_would_refuse(const Refused& refused) {
  if (refused.refusal == Refusal::none)  // of a session that was revoked
    log(LOG_NOTICE, "would be refused", {}, "revoked");
  else
    log(LOG_NOTICE, "would be refused", fields_of(refused), text(refused.refusal));
}

void LoginContext::say_would_displace(const Displaced& displaced) {
  log(LOG_NOTICE, "would take the seat of a session", fields_of(displaced));
}

void LoginContext::say_cannot_foresee(const Error& error) {
  log(LOG_ALERT, "cannot work, let through", error);
}

void LoginContext::log(int priority, const char* event, const Error& error) const {
  log(priority, event, "error=" + log_value(error.what, kMostErrorBytes));
}

void LoginContext::log(int priority, const char* event, const std::string& fields,
                       const char* reason) const {
  pam_syslog(pamh_, priority, "%s: site=%s service=%s%s%s rhost=%s%s%s user=%s", event,
             log_value(arguments_.site).c_str(), log_value(login_.service).c_str(),
             *reason == '\0' ? "" : " reason=", reason, log_value(login_.host).c_str(),
             fields.empty() ? "" : " ", fields.c_str(), log_value(login_.user).c_str());
}

// A login that has its seat does not fail for want of memory for this line.
void LoginContext::debug(const char* event) const {
  if (!arguments_.debug) return;
  try {
    log(LOG_DEBUG, event);
  } catch (const std::bad_alloc&) {
  }
}

std::optional<SlotRef> hinted_reservation(pam_handle_t* pamh) {
  const char* hint = pam_getenv(pamh, kHint);
  if (hint == nullptr) return std::nullopt;
  SlotRef ref;
  const char* const end = hint + strlen(hint);
  const auto slot = std::from_chars(hint, end, ref.slot);
  if (slot.ec != std::errc() || slot.ptr == end || *slot.ptr != ':') return std::nullopt;
  const auto epoch = std::from_chars(slot.ptr + 1, end, ref.epoch);
  if (epoch.ec != std::errc() || epoch.ptr != end) return std::nullopt;
  return ref;
}

int cannot_work_without_memory(pam_handle_t* pamh, const PamArguments& arguments,
                               int code_if_passed) noexcept {
  const char* user = nullptr;
  std::optional<uid_t> uid;
  if (pam_get_user(pamh, &user, nullptr) == PAM_SUCCESS && user != nullptr) uid = find_uid(user);
  // By the name where there is no memory to look the user up, either.
  if (uid ? *uid == 0 : user != nullptr && strcmp(user, "root") == 0) {
    pam_syslog(pamh, LOG_ALERT, "cannot work, root let through: error=\"out of memory\"");
    return PAM_SUCCESS;
  }
  pam_syslog(pamh, LOG_ALERT, "cannot work: error=\"out of memory\"");
  const bool is_passed = arguments.observe || arguments.on_error == OnError::allow;
  return is_passed ? code_if_passed : PAM_SYSTEM_ERR;
}

}  // namespace sessreg
