#include "sessregd/login_calls.h"

#include <fmt/core.h>
#include <syslog.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "common/session.h"
#include "config/policy.h"
#include "host/account.h"
#include "session/admission.h"
#include "session/send_off.h"
#include "token/token.h"

namespace sessreg {
namespace {

using varlink::Call;
using varlink::CallError;
using varlink::Exchange;
using varlink::Json;
using varlink::Parameters;

constexpr std::size_t kMostNameBytes = 255;
// Of the user's sessions that a refusal names.
constexpr std::size_t kMostOwn = 100;

// A text that is recorded and shown.
std::string text_in(const Parameters& parameters, std::string_view name, std::size_t most_bytes,
                    bool is_required) {
  const std::string_view text =
      is_required ? parameters.string(name) : parameters.optional_string(name).value_or("");
  if (text.size() > most_bytes || (is_required && text.empty()) || !is_safe_to_show(text) ||
      text.find('\0') != std::string_view::npos)
    throw varlink::invalid_parameter(name);
  return std::string(text);
}

// One login on its way.
class SocketLogin final : public LoginService {
 public:
  SocketLogin(WatchedSite& site, const Rights& rights, const Parameters& parameters) : site_(site) {
    login_.service = text_in(parameters, "service", kMostNameBytes, true);
    if (!rights.is_master() && !rights.is_client_of(login_.service))
      throw error_named("PermissionDenied");
    login_.host = text_in(parameters, "host", kMostNameBytes, false);
    login_.no_process = true;
    static const ProcessId own = self_id();  // the daemon forks no more once it answers
    login_.self = login_.parent = own;
    options_.site = site.name();
    if (!site.config_path().empty()) options_.config_path = site.config_path();
    options_.open_site = site.current();
    options_.serves_many = true;
    options_.is_of_application = true;
    if (!rights.is_master()) options_.evictable_services = rights.services;
  }

  void read_user(const Parameters& parameters, bool is_required) {
    login_.user = text_in(parameters, "user", kMaxTokenUserBytes, is_required);
    options_.is_account = rules_of_service(site_.site().config, login_.service).names_are_accounts;
    if (!options_.is_account || login_.user.empty()) return;
    Account account = find_account(login_.user);
    login_.user = std::move(account.name);
    login_.uid = account.uid.value_or(kNoUid);
    primary_group_ = account.primary_group;
  }
  void read_device(const Parameters& parameters, bool is_required) {
    login_.tty = text_in(parameters, "label", kMostNameBytes, false);
    login_.device = text_in(parameters, "device", kMostNameBytes, is_required);
  }
  void read_times(const Parameters& parameters) {
    const auto ttl_s = parameters.optional_integer("ttl_seconds");
    if (ttl_s && (*ttl_s < 1 || *ttl_s > 0xffffffff))
      throw varlink::invalid_parameter("ttl_seconds");
    options_.ttl = Seconds(ttl_s.value_or(0));
    options_.exempt = parameters.boolean("exempt", false);
  }
  void read_take_over(const Parameters& parameters, const Rights& rights) {
    const auto id = parameters.optional_string("take_over");
    if (!id) return;
    const auto session = site_.find(*id);
    if (!session) return;  // it has gone, so its seat is free
    if (!rights.is_master() &&
        !rights.is_of_application(session->snapshot.record, *site_.site().registry))
      throw error_named("PermissionDenied");
    login_.take_over = session->snapshot.ref;
  }

  // Throws if there is no session.
  LoginAnswer admit() { return checked(procedure().open(nullptr, std::nullopt)); }
  LoginAnswer use() { return checked(procedure().use()); }
  CountedFailure attempt(bool failed) {
    if (options_.open_site == nullptr)
      if (const auto config = load_config(options_.site, options_.config_path.value_or(""));
          !config)
        throw cannot_decide(config.error().what, false);
    LoginProcedure its = procedure();
    CountedFailure status;
    if (failed) {
      const auto counted = its.count_failure();
      if (!counted) throw cannot_decide(counted.error().what, false);
      if (!*counted) return status;
      status = **counted;
      if (!status.blacklisted) return status;
    }
    const LoginAnswer answer = its.refuse_blacklisted();
    if (answer.what == LoginAnswer::What::failed) throw cannot_decide(answer.error->what, false);
    if (answer.what != LoginAnswer::What::refused) return status;
    blacklisted_s_ = answer.refused.seconds;
    status.failures = answer.refused.count;
    status.blacklisted = true;
    return status;
  }
  std::uint32_t blacklisted_s() const { return blacklisted_s_; }

  // The session that there is now.
  Session session() const {
    if (seat_)
      if (auto session = site_.session_at(seat_->ref)) return std::move(*session);
    throw error_named("NoSuchSession");
  }
  const std::string& token() const { return token_; }

  void keep(const Seat& seat, const std::string& token) override {
    seat_ = seat;
    token_ = token;
  }
  void say_displaced(const Displaced& displaced) override {
    site_.log(LOG_NOTICE,
              fmt::format("the session {} of {} gave way to a login of the service {}: {}",
                          to_hex(displaced.session.record.id),
                          log_value(text_of(displaced.session.record.user)),
                          log_value(login_.service), text(displaced.why)));
  }
  void say_no_token(const Error& error) override { site_.log(LOG_WARNING, error.what); }

 private:
  LoginProcedure procedure() { return {options_, login_, primary_group_, *this}; }

  static CallError cannot_decide(const std::string& what, bool let_through) {
    return error_named("CannotDecide", {{"reason", what}, {"let_through", let_through}});
  }

  LoginAnswer checked(LoginAnswer answer) const {
    switch (answer.what) {
      case LoginAnswer::What::refused:
        throw error_named("Refused", {{"reason", text(answer.refused.refusal)},
                                      {"message", answer.refused.message},
                                      {"limit", answer.refused.limit},
                                      {"count", answer.refused.count},
                                      {"seconds", answer.refused.seconds},
                                      {"own", own()}});
      case LoginAnswer::What::ended:
        throw error_named("SessionRevoked",
                          {{"reason", answer.reason}, {"message", answer.refused.message}});
      case LoginAnswer::What::failed:
        throw cannot_decide(answer.error->what,
                            answer.on_failure == LoginAnswer::OnFailure::let_through);
      default:
        break;
    }
    // Exempt, and the table was full; or the configuration has this service ignored.
    if (!seat_)
      throw cannot_decide(
          answer.what == LoginAnswer::What::not_counted
              ? "the configuration ignores the service " + escape_for_terminal(login_.service)
              : "the table of sessions is full; raise 'capacity'",
          true);
    return answer;
  }

  // The user's sessions that could give way to this login.
  Json own() const {
    Json sessions = Json::array();
    for (const Session& session : site_.devices_of(login_.user, kMostOwn)) {
      const Registry& registry = *site_.site().registry;
      const auto& allowed = options_.evictable_services;
      const bool may_go =
          !allowed || std::any_of(allowed->begin(), allowed->end(), [&](const std::string& name) {
            return registry.is_service_of(session.snapshot.record, name);
          });
      if (!may_go || !session.has_seat) continue;
      const Json all = to_json(session);
      sessions.push_back({{"id", all["id"]},
                          {"service", all["service"]},
                          {"host", all["host"]},
                          {"label", all["tty"]},
                          {"opened", all["opened"]},
                          {"idle_seconds", all["idle_seconds"]}});
    }
    return sessions;
  }

  WatchedSite& site_;
  LoginOptions options_;
  Login login_;
  std::optional<unsigned> primary_group_;
  std::optional<Seat> seat_;
  std::string token_;
  std::uint32_t blacklisted_s_ = 0;
};

}  // namespace

void admit(WatchedSite& site, const Rights& rights, const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"site", "service", "user", "host", "label", "device",
                                     "ttl_seconds", "take_over", "exempt"});
  SocketLogin login(site, rights, parameters);
  login.read_user(parameters, true);
  login.read_device(parameters, false);
  login.read_times(parameters);
  login.read_take_over(parameters, rights);
  login.admit();
  std::string reply = R"({"session":)";
  append_json(reply, login.session());
  const std::string& token = login.token();
  reply.append(R"(,"token":)").append(token.empty() ? "null" : '"' + token + '"').append("}");
  exchange.reply_formatted(reply);
}

void use(WatchedSite& site, const Rights& rights, const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"site", "service", "user", "host", "label", "device"});
  SocketLogin login(site, rights, parameters);
  login.read_user(parameters, true);
  login.read_device(parameters, true);
  const bool is_new = login.use().what == LoginAnswer::What::opened;
  std::string reply = R"({"session":)";
  append_json(reply, login.session());
  exchange.reply_formatted(reply.append(is_new ? R"(,"opened":true})" : R"(,"opened":false})"));
}

void attempt(WatchedSite& site, const Rights& rights, const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"site", "service", "user", "host", "failed"});
  SocketLogin login(site, rights, parameters);
  login.read_user(parameters, false);
  parameters.string("host");
  const CountedFailure status = login.attempt(parameters.boolean("failed", false));
  exchange.reply({{"failures", status.failures}, {"blacklisted_seconds", login.blacklisted_s()}});
}

}  // namespace sessreg
