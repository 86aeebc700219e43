// From a login to a session: what the PAM module's account and session phases do.
#include <unistd.h>

#include <memory>

#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/refusal_codes.h"
#include "capi/structures.h"
#include "config/policy.h"
#include "host/account.h"
#include "session/send_off.h"
#include "token/token.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

namespace {

constexpr std::size_t kMaxNameBytes = 255;

// How often a call begins again because the configuration was edited under it.
constexpr int kTurns = 10;

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
  if ((login.flags & ~SESSREG_NAME_AS_GIVEN) == 0) return std::nullopt;
  Answer answer;
  answer.code = SESSREG_EUNSUPPORTED;
  answer.text = "login.flags has bits that this libsessreg does not know: upgrade the library";
  return answer;
}

// One call for one login. Like a phase of the PAM module it opens the registry and closes it.
class Attempt {
 public:
  explicit Attempt(sessreg_session& session) : session_(session) {}

  Answer admit() {
    return until_steady([this] { return try_admit(); });
  }
  Answer bind(const ProcessId& leader) {
    session_.login.leader = leader;
    return until_steady([this] { return try_bind(); });
  }

 private:
  // nullopt: the configuration was edited meanwhile, begin again.
  template <class Try>
  Answer until_steady(Try attempt) {
    session_.login.self = self_id();
    // Nobody else can bind it, and it ends with its maker.
    session_.login.parent = session_.login.self;
    for (int turn = 0; turn < kTurns; ++turn)
      if (const auto answer = attempt()) return *answer;
    return cannot_work(
        {Errc::invalid_config, "the configuration changes faster than it can be read"}, nullptr,
        SESSREG_ECONFIG);
  }

  std::optional<Answer> try_admit() {
    const auto config = session_.site.read_config();
    if (!config) return cannot_work(config.error(), nullptr, SESSREG_ECONFIG);
    const Standing counts = standing(*config);
    session_.standing = to_c(counts);
    if (counts == Standing::ignored ||
        (counts == Standing::exempt && config->max_failed_auth_per_host == 0))
      return Answer();
    auto site = open(*config);
    if (!site) return cannot_work(site.error(), &*config, SESSREG_EREGISTRY);
    const RemoteHost host = RemoteHost::from_rhost(session_.login.host);
    if (auto failures = site->failures(host)) {
      if (counts == Standing::counted)
        if (const FailureStatus status = failures->attempt(host, boottime_ms()); status.blacklisted)
          return refuse_blacklisted(*site, status);
      failures->succeeded(host, session_.login.user, boottime_ms());
    }
    if (counts == Standing::exempt) return Answer();
    const auto admission = site->reserve(session_.login, rules(*config));
    if (!admission) return cannot_work(admission.error(), &*config, SESSREG_EREGISTRY);
    if (admission->stale_configuration) return std::nullopt;
    if (!admission->admitted()) return refuse(*site, *admission);
    send_off_displaced(*site, *admission);
    remember(*config, *admission);
    return Answer();
  }

  std::optional<Answer> try_bind() {
    const auto config = session_.site.read_config();
    if (!config) return cannot_work(config.error(), nullptr, SESSREG_ECONFIG);
    const Standing counts = standing(*config);
    session_.standing = to_c(counts);
    // The configuration was edited since: what was reserved is of no use any more.
    if (session_.ref && (counts != Standing::counted || session_.registry != config->registry))
      give_back();
    if (counts == Standing::ignored) return opened({});
    auto site = open(*config);
    if (!site) return cannot_work(site.error(), &*config, SESSREG_EREGISTRY);

    Answer answer;
    site->issue_tokens(session_.login.user, [&answer](const Error& error) {
      answer.text = "no token issued: " + answer_of(error, SESSREG_EKEY).text;
    });
    Admission admission;
    if (counts == Standing::exempt) {
      if (!site->registry().list_exempt(session_.login, admission)) {
        answer.text = "exempt session not listed: no free slot, raise 'capacity'";
        return opened(std::move(answer));
      }
    } else {
      const auto reservation = reservation_in(*site);
      auto bound = site->bind_or_admit(session_.login, rules(*config),
                                       reservation ? &*reservation : nullptr);
      if (!bound) return cannot_work(bound.error(), &*config, SESSREG_EREGISTRY);
      if (bound->stale_configuration) return std::nullopt;
      if (!bound->admitted()) return refuse(*site, *bound);
      admission = std::move(*bound);
    }
    remember(*config, admission);
    session_.id_text = to_hex(admission.id);
    session_.token = admission.token;
    send_off_displaced(*site, admission);
    return opened(std::move(answer));
  }

  Result<Site> open(const Config& config) const {
    auto site = Site::open(config, session_.site.conf_file);
    if (site) site->registry().hide_from_children();
    return site;
  }

  InGroup groups() const { return groups_of(session_.login.user, session_.primary_group); }
  Standing standing(const Config& config) const {
    return standing_of(config, session_.login.user, session_.login.service, groups());
  }
  Rulebook rules(const Config& config) const {
    return rules_for(config, session_.login.user, session_.login.service, groups());
  }

  // By its id too: another registry may lie there by now.
  std::optional<SlotRef> reservation_in(Site& site) const {
    Snapshot held;
    if (!session_.ref || !site.registry().snapshot(*session_.ref, held) ||
        held.record.id != session_.id)
      return std::nullopt;
    return session_.ref;
  }

  void give_back() {
    if (auto registry = open_registry(session_.registry)) {
      Snapshot held;
      if (registry->snapshot(*session_.ref, held) && held.record.id == session_.id)
        registry->release_reservation(*session_.ref);
    }
    session_.ref.reset();
  }

  void remember(const Config& config, const Admission& admission) {
    session_.registry = config.registry;
    session_.ref = admission.ref;
    session_.id = admission.id;
  }

  Answer opened(Answer answer) {
    session_.stage = sessreg_session::Stage::bound;
    return answer;
  }

  void send_off_displaced(Site& site, const Admission& admission) const {
    for (const Displaced& displaced : admission.displaced)
      send_off(site.registry(), site.config(), displaced);
  }

  Answer refuse(const Site& site, const Admission& admission) const {
    Answer answer;
    answer.code = code_of(admission.refusal);
    answer.text = site.message(admission, session_.login);
    answer.seconds = static_cast<std::uint32_t>((admission.wait_ms + 999) / 1000);
    answer.limit = admission.limit;
    answer.count = admission.count;
    return answer;
  }

  Answer refuse_blacklisted(Site& site, const FailureStatus& status) const {
    site.registry().count(facts_of(Refusal::blacklisted).counter);
    Answer answer;
    answer.code = code_of(Refusal::blacklisted);
    answer.text = site.blacklisted_message(status, session_.login);
    answer.limit = site.config().max_failed_auth_per_host;
    answer.count = status.failures;
    const std::uint64_t now_ms = boottime_ms();
    if (status.until_ms > now_ms)
      answer.seconds = static_cast<std::uint32_t>((status.until_ms - now_ms + 999) / 1000);
    return answer;
  }

  // As the module decides it: who has no rights cannot open a session for anybody.
  Answer cannot_work(const Error& error, const Config* config, int file_code) const {
    Answer answer = answer_of(error, file_code);
    const bool lacks_rights = error.code == Errc::permission_denied && geteuid() != 0;
    const bool allows = config != nullptr && config->on_error == OnError::allow;
    answer.let_through = !lacks_rights && (session_.login.uid == 0 || allows);
    return answer;
  }

  sessreg_session& session_;
};

// The process that a session is to live as long as.
std::optional<ProcessId> leader_of(const sessreg_binding& binding) {
  if (binding.leader == 0) return self_id();
  if (binding.leader < 0) return std::nullopt;
  const auto start_ticks = SystemProcesses().start_ticks_if_alive(binding.leader);
  if (!start_ticks) return std::nullopt;
  return ProcessId{binding.leader, *start_ticks};
}

}  // namespace

int sessreg_admit(const sessreg_site* site, const sessreg_login* login,
                  sessreg_session** ret_session, sessreg_error* error) {
  if (ret_session != nullptr) *ret_session = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(site, "site")) return *fault;
    if (auto fault = fault_of_owner(site->owner)) return *fault;
    if (auto fault = fault_of_pointer(login, "login")) return *fault;
    if (auto fault = fault_of_pointer(ret_session, "ret_session")) return *fault;
    sessreg_login known = SESSREG_LOGIN_INIT;
    const Taken taken = take(*login, known);
    if (taken == Taken::too_small) return too_small("login", "SESSREG_LOGIN_INIT");
    if (taken == Taken::unknown_members) return unknown_members("login");
    if (auto fault = fault_of(known)) return *fault;

    auto session = std::make_unique<sessreg_session>();
    session->site = *site;
    session->login.user = known.user;
    session->login.service = known.service;
    session->login.host = text_or_empty(known.host);
    session->login.tty = text_or_empty(known.tty);
    if ((known.flags & SESSREG_NAME_AS_GIVEN) == 0) {
      const Account account = find_account(session->login.user);
      session->login.user = account.name;
      session->login.uid = account.uid.value_or(kNoUid);
      session->primary_group = account.primary_group;
    }
    Answer answer = Attempt(*session).admit();
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
    const auto leader = leader_of(known);
    if (!leader)
      return invalid("binding.leader " + std::to_string(known.leader) +
                     " is no process that runs here: pass one that lives as long as the session");
    if (session->stage != sessreg_session::Stage::admitted) {
      Answer answer;
      answer.code = SESSREG_ESTATE;
      answer.text = "the session was bound or closed already: admit the login anew";
      return answer;
    }
    if (known.tty != nullptr) session->login.tty = known.tty;
    return Attempt(*session).bind(*leader);
  });
}
