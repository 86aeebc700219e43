// From a login to a session: what the PAM module's account and session phases do.
#include "session/admission.h"

#include <memory>
#include <utility>

#include "base/text.h"
#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/refusal_codes.h"
#include "capi/structures.h"
#include "host/account.h"
#include "token/token.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

namespace {

sessreg_standing to_c(Standing standing) {
  switch (standing) {
    case Standing::counted:
      return SESSREG_COUNTED;
    case Standing::exempt:
      return SESSREG_EXEMPT;
    case Standing::ignored:
      return SESSREG_IGNORED;
  }
  return SESSREG_COUNTED;
}

std::optional<Answer> fault_of(const sessreg_login& login) {
  if (auto fault = fault_of(login.user, "login.user", kMaxTokenUserBytes, Presence::required))
    return fault;
  if (auto fault = fault_of(login.service, "login.service", kMaxNameBytes, Presence::required))
    return fault;
  if (auto fault = fault_of(login.host, "login.host", kMaxNameBytes, Presence::optional))
    return fault;
  if (auto fault = fault_of(login.tty, "login.tty", kMaxNameBytes, Presence::optional))
    return fault;
  if (auto fault = fault_of(login.device, "login.device", kMaxNameBytes, Presence::optional))
    return fault;
  if (login.take_over != nullptr)
    if (auto fault = fault_of_id(login.take_over, "login.take_over")) return fault;
  if ((login.flags & ~(SESSREG_NAME_AS_GIVEN | SESSREG_NO_PROCESS)) != 0) {
    Answer answer;
    answer.code = SESSREG_EUNSUPPORTED;
    answer.text = "login.flags has bits that this libsessreg does not know: upgrade the library";
    return answer;
  }
  if ((login.flags & SESSREG_NO_PROCESS) != 0) return std::nullopt;
  const char* const only = login.device != nullptr      ? "device"
                           : login.take_over != nullptr ? "take_over"
                           : login.ttl_s != 0           ? "ttl_s"
                                                        : nullptr;
  if (only == nullptr) return std::nullopt;
  return invalid(std::string("login.") + only +
                 " is for sessions without a process: set SESSREG_NO_PROCESS in login.flags");
}

// Of that id; nullopt: there is none, so its seat is free.
std::optional<SlotRef> session_to_take_over(const sessreg_site& site, const char* id) {
  std::optional<SlotRef> found;
  const auto config = site.read_config();
  if (!config) return found;  // which the login itself finds
  auto registry = open_existing_registry(config->registry);
  if (registry)
    registry->for_each([&](const Snapshot& held) {
      if (to_hex(held.record.id) == id) found = held.ref;
    });
  return found;
}

// A session for a login that was checked, before anything is taken for it.
std::unique_ptr<sessreg_session> session_for(const sessreg_site& site, const sessreg_login& login) {
  auto session = std::make_unique<sessreg_session>();
  session->site = site;
  session->login.user = login.user;
  session->login.service = login.service;
  session->login.host = text_or_empty(login.host);
  session->login.tty = text_or_empty(login.tty);
  session->login.no_process = (login.flags & SESSREG_NO_PROCESS) != 0;
  session->login.device = text_or_empty(login.device);
  session->ttl = Seconds(login.ttl_s);
  if (login.take_over != nullptr)
    session->login.take_over = session_to_take_over(site, login.take_over);
  session->is_account = (login.flags & SESSREG_NAME_AS_GIVEN) == 0;
  if (session->is_account) {
    const Account account = find_account(session->login.user);
    session->login.user = account.name;
    session->login.uid = account.uid.value_or(kNoUid);
    session->primary_group = account.primary_group;
  }
  return session;
}

// How a program learns what the procedure of a login does.
class Gateway final : public LoginService {
 public:
  explicit Gateway(sessreg_session& session) : session_(session) {}

  Answer admit() {
    // Nobody else can bind it, and it ends with its maker.
    session_.login.parent = self_id();
    return answer_of(procedure().reserve(nullptr));
  }

  Answer use() {
    session_.login.parent = self_id();
    const LoginAnswer told = procedure().use();
    Answer answer = answer_of(told);
    if (told.what == LoginAnswer::What::ended) {
      answer.code = SESSREG_REVOKED;
      answer.text =
          told.reason.empty() ? "the session was revoked" : escape_for_terminal(told.reason);
    }
    session_.progress = sessreg_session::Progress::bound;
    return answer;
  }

  // `leader` unset: no process is its own.
  Answer bind(const std::optional<ProcessId>& leader, bool is_shared) {
    session_.login.leader = leader;
    session_.login.has_shared_leader = is_shared;
    const std::optional<Seat> reserved = session_.seat;
    const LoginAnswer answer = procedure().open(reserved ? &*reserved : nullptr, std::nullopt);
    if (answer.what == LoginAnswer::What::opened || answer.what == LoginAnswer::What::not_counted) {
      if (!is_kept_) session_.seat.reset();
      session_.progress = sessreg_session::Progress::bound;
    }
    return answer_of(answer);
  }

  void keep(const Seat& seat, const std::string& token) override {
    session_.seat = seat;
    is_kept_ = true;
    if (!token.empty()) went_without_.clear();  // what an earlier turn said
    if (seat.what == Seat::What::reservation) return;
    session_.id_text = to_hex(seat.id);
    session_.token = token;
  }
  void say_no_token(const Error& error) override {
    went_without_ = "no token issued: " + capi::answer_of(error, SESSREG_EKEY).text;
  }
  void say_not_listed(const Error& error) override {
    went_without_ = "exempt session not listed: " + capi::answer_of(error, SESSREG_EREGISTRY).text;
  }

 private:
  LoginProcedure procedure() {
    options_.site = session_.site.name;
    if (!session_.site.conf_file.empty()) options_.config_path = session_.site.conf_file;
    options_.is_account = session_.is_account;
    options_.serves_many = true;
    options_.ttl = session_.ttl;
    return {options_, session_.login, session_.primary_group, *this};
  }

  Answer answer_of(const LoginAnswer& told) {
    if (told.what != LoginAnswer::What::failed) session_.standing = to_c(told.standing);
    Answer answer;
    if (told.what == LoginAnswer::What::refused) {
      answer.code = code_of(told.refused.refusal);
      answer.text = told.refused.message;
      answer.seconds = told.refused.seconds;
      answer.limit = told.refused.limit;
      answer.count = told.refused.count;
    } else if (told.what == LoginAnswer::What::failed) {
      answer =
          capi::answer_of(*told.error, told.is_of_registry ? SESSREG_EREGISTRY : SESSREG_ECONFIG);
      answer.let_through = told.on_failure == LoginAnswer::OnFailure::root_let_in ||
                           told.on_failure == LoginAnswer::OnFailure::let_through;
    } else {
      answer.text = std::move(went_without_);
    }
    return answer;
  }

  sessreg_session& session_;
  LoginOptions options_;
  std::string went_without_;
  bool is_kept_ = false;
};

// The process that a session is to last as long as.
std::optional<ProcessId> leader_of(const sessreg_binding& binding) {
  if (binding.leader == 0) return self_id();
  // The first process outlives every session, and nobody can end it.
  if (binding.leader < 0 || binding.leader == 1) return std::nullopt;
  const auto start_ticks = SystemProcesses().start_ticks_if_alive(binding.leader);
  if (!start_ticks) return std::nullopt;
  return ProcessId{binding.leader, *start_ticks};
}

// The arguments of admit and use. Unset: `ret_known` has what the caller knows of a login.
std::optional<Answer> take_login(const sessreg_site* site, const sessreg_login* login,
                                 sessreg_session* const* ret_session, sessreg_login& ret_known) {
  if (auto fault = fault_of_pointer(site, "site")) return fault;
  if (auto fault = fault_of_owner(site->owner)) return fault;
  if (auto fault = fault_of_pointer(login, "login")) return fault;
  if (auto fault = fault_of_pointer(ret_session, "ret_session")) return fault;
  const Taken taken = take(*login, ret_known);
  if (taken == Taken::too_small) return too_small("login", "SESSREG_LOGIN_INIT");
  if (taken == Taken::unknown_members) return unknown_members("login");
  return fault_of(ret_known);
}

}  // namespace

int sessreg_admit(const sessreg_site* site, const sessreg_login* login,
                  sessreg_session** ret_session, sessreg_error* error) {
  if (ret_session != nullptr) *ret_session = nullptr;
  return guarded(error, [&]() -> Answer {
    sessreg_login known = SESSREG_LOGIN_INIT;
    if (auto fault = take_login(site, login, ret_session, known)) return *fault;

    auto session = session_for(*site, known);
    Answer answer = Gateway(*session).admit();
    if (answer.code == SESSREG_OK) *ret_session = session.release();
    return answer;
  });
}

int sessreg_use(const sessreg_site* site, const sessreg_login* login, sessreg_session** ret_session,
                sessreg_error* error) {
  if (ret_session != nullptr) *ret_session = nullptr;
  return guarded(error, [&]() -> Answer {
    sessreg_login known = SESSREG_LOGIN_INIT;
    if (auto fault = take_login(site, login, ret_session, known)) return *fault;
    if (text_or_empty(known.device).empty())
      return invalid("login.device is missing: a use is of a device's session");
    if (known.take_over != nullptr)
      return invalid("login.take_over is for sessreg_admit: a use ends no session");

    auto session = session_for(*site, known);
    Answer answer = Gateway(*session).use();
    if (answer.code == SESSREG_OK) *ret_session = session.release();
    return answer;
  });
}

int sessreg_bind(sessreg_session* session, const sessreg_binding* binding, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(session, "session")) return *fault;
    if (auto fault = fault_of_owner(session->site.owner)) return *fault;
    sessreg_binding known = SESSREG_BINDING_INIT;
    if (binding != nullptr) {
      const Taken taken = take(*binding, known);
      if (taken == Taken::too_small) return too_small("binding", "SESSREG_BINDING_INIT");
      if (taken == Taken::unknown_members) return unknown_members("binding");
    }
    if (auto fault = fault_of(known.tty, "binding.tty", kMaxNameBytes, Presence::optional))
      return *fault;
    const bool no_process = session->login.no_process;
    if (no_process && known.leader != 0)
      return invalid("binding.leader is " + std::to_string(known.leader) +
                     ", and no process is the session's own: pass 0");
    const auto leader = leader_of(known);
    if (!leader)
      return invalid("binding.leader " + std::to_string(known.leader) +
                     (known.leader == 1
                          ? " is the first process of the host, which outlives every session"
                          : " is no process that runs here") +
                     ": pass one that lives as long as the session");
    if (session->progress != sessreg_session::Progress::admitted) {
      Answer answer;
      answer.code = SESSREG_ESTATE;
      answer.text = "the session was bound or closed already: admit the login anew";
      return answer;
    }
    if (known.tty != nullptr) session->login.tty = known.tty;
    // Who leaves the leader out has no process to give, and serves others too.
    return Gateway(*session).bind(no_process ? std::nullopt : leader,
                                  !no_process && known.leader == 0);
  });
}
