// sessreg explain
//
// Asks the code that decides logins, with the user's own groups; nothing is decided here. Whatever
// that code writes to the registry for a login is undone. If there is no registry, it is given an
// empty one that nobody else can see.
#include <fmt/core.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/session.h"
#include "common/times.h"
#include "host/account.h"
#include "session/admission.h"
#include "session/login.h"
#include "session/messages.h"
#include "session/send_off.h"
#include "sessreg/command.h"
#include "sessreg/explain_devices.h"
#include "sessreg/lint/service_stack.h"
#include "sessreg/list/views.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

struct ExplainOptions {
  std::string user;
  std::string service = "sshd";
  bool service_is_given = false;
  std::string host;
  std::string pam_dir;  // empty: the host's own
};

enum class Verdict { admitted, refused, exempt, ignored };
// As in JSON.
const char* text(Verdict verdict) {
  switch (verdict) {
    case Verdict::admitted:
      return "admitted";
    case Verdict::refused:
      return "refused";
    case Verdict::exempt:
      return "exempt";
    case Verdict::ignored:
      return "ignored";
  }
  return "unknown";
}

struct Rule {
  std::string key;
  std::string value;
  nlohmann::ordered_json raw;
  std::string from;
  std::string now;  // how things stand at present, such as "3 held"; may be empty
};

struct Failed {
  std::uint32_t failures = 0;
  bool blacklisted = false;
  bool counted = true;  // false: failures from that host are not counted
};

struct Explanation {
  Account user;
  // Of a service whose sessions have no process. With clients the user is a name of their own.
  std::optional<Devices> devices;
  std::string because;  // for exempt and ignored: which entry says so
  std::vector<Rule> rules;
  std::optional<Failed> failed;  // from the host, if one was given
  std::vector<Session> holders;  // of the user's seats
  std::vector<Displaced> displaced;
  Verdict verdict = Verdict::admitted;
  std::string refusal;  // its name
  std::string message;
  std::uint32_t seats = 0;
  bool may_reattach = false;
  // Whether a stack of the service leads its logins to the module; unset: not looked at, or not known.
  std::optional<bool> is_in_stack;
};

std::string limit_text(std::int32_t limit) {
  return limit < 0 ? "unlimited" : std::to_string(limit);
}

const char* policy_text(UserLimitPolicy policy) {
  switch (policy) {
    case UserLimitPolicy::deny:
      return "deny";
    case UserLimitPolicy::evict:
      return "evict";
    case UserLimitPolicy::lock_then_evict:
      return "lock_then_evict";
  }
  return "unknown";
}

const char* leftovers_text(CountLeftovers counted) {
  switch (counted) {
    case CountLeftovers::no:
      return "no";
    case CountLeftovers::terminal:
      return "terminal";
    case CountLeftovers::any:
      return "any";
  }
  return "unknown";
}

std::string section_text(const Section& section) {
  const char* kind = section.kind == SectionKind::user    ? "user"
                     : section.kind == SectionKind::group ? "group"
                                                          : "service";
  return fmt::format("[{} {}]", kind, escape_for_terminal(in_file(section.name)));
}

// What the rules say, in the order of the manual page.
class RuleList {
 public:
  explicit RuleList(const Config& config) : config_(config) {}

  void add(const std::string& key, std::string value, nlohmann::ordered_json raw,
           std::string now = {}, const Section* from = nullptr) {
    std::string where = from != nullptr                  ? section_text(*from)
                        : line_at_top(config_, key) != 0 ? "top"
                                                         : "default";
    rules_.push_back({key, std::move(value), std::move(raw), std::move(where), std::move(now)});
  }
  void add_limit(const std::string& key, const Setting<std::int32_t>& limit, std::string now) {
    add(key, limit_text(limit.value), limit.value, std::move(now), limit.from);
  }
  void add_time(const std::string& key, const Setting<Seconds>& time, const char* zero,
                std::string now = {}) {
    add(key, duration_text(time.value, zero), time.value.count(), std::move(now), time.from);
  }
  void add_from(const std::string& key, std::int32_t limit, std::string from, std::string now) {
    rules_.push_back({key, limit_text(limit), limit, std::move(from), std::move(now)});
  }
  std::vector<Rule> take() { return std::move(rules_); }

 private:
  const Config& config_;
  std::vector<Rule> rules_;
};

std::string held_text(std::size_t seats) {
  return fmt::format("{} held", seats);
}

std::size_t seats_of_group(const std::vector<Session>& sessions, std::optional<std::uint32_t> at) {
  if (!at) return 0;
  return static_cast<std::size_t>(
      std::count_if(sessions.begin(), sessions.end(), [&](const Session& session) {
        return session.has_seat && (session.snapshot.record.groups >> *at & 1) != 0;
      }));
}

std::vector<Rule> rules_of(const Site& open, Site& site, const Rulebook& book,
                           const Explanation& so_far, const std::vector<Session>& sessions) {
  const Config& config = open.config;
  const bool is_of_application = so_far.devices && so_far.devices->clients;
  RuleList rules(config);
  const std::string taken = fmt::format("{} taken", so_far.seats);
  const auto changed = open.registry ? open.registry->override_limit() : std::nullopt;
  if (changed)
    rules.add_from("sessions_limit", *changed, fmt::format("'{} limit'", called_as(open)), taken);
  else
    rules.add("sessions_limit", limit_text(config.sessions_limit), config.sessions_limit, taken);
  for (const GroupLimit& limit : book.group_limits)
    rules.add_from("sessions_limit", limit.limit,
                   fmt::format("[{} {}]", limit.is_of_service ? "service" : "group",
                               escape_for_terminal(in_file(limit.name))),
                   held_text(seats_of_group(
                       sessions, site.registry->group_index(limit.entry(), limit.limit))));
  rules.add_limit("user_sessions_limit", book.user_sessions_limit,
                  held_text(so_far.holders.size()));
  rules.add("user_limit_policy", policy_text(book.user_limit_policy.value),
            policy_text(book.user_limit_policy.value), {}, book.user_limit_policy.from);
  rules.add_time("user_lock", book.user_lock, "none");
  rules.add_time("session_lifetime", book.session_lifetime, "unlimited");
  if (so_far.devices && so_far.devices->rules.keep.count() != 0)
    rules.add_time("keep", {so_far.devices->rules.keep, so_far.devices->rules.from}, "none",
                   "from the last login on");
  else
    rules.add_time("session_ttl", book.session_ttl, "unlimited",
                   is_of_application ? "its client may say less" : "");
  rules.add_time("idle_after", book.idle_after, "never");
  const char* const counted_leftovers = leftovers_text(book.count_leftovers.value);
  if (!so_far.devices)
    rules.add("count_leftovers", counted_leftovers, counted_leftovers, {},
              book.count_leftovers.from);
  rules.add("reserved_sessions", std::to_string(config.reserved_sessions), config.reserved_sessions,
            config.reserved_sessions == 0 ? ""
            : book.may_use_reserved       ? "may use them"
                                          : "may not use them");
  if (!is_of_application)
    rules.add("reserved_for", names_text(config.reserved_for), names_text(config.reserved_for));
  std::string counted;
  if (so_far.failed && config.max_failed_auth_per_host != 0)
    counted = so_far.failed->counted ? fmt::format("{} counted", so_far.failed->failures)
                                     : "the host is in blacklist_exempt";
  rules.add("max_failed_auth_per_host",
            config.max_failed_auth_per_host == 0 ? "off"
                                                 : std::to_string(config.max_failed_auth_per_host),
            config.max_failed_auth_per_host, counted);
  rules.add("blacklist_time", duration_text(config.blacklist_time, "none"),
            config.blacklist_time.count());
  return rules.take();
}

// Removes its file and itself.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& parent) : path_(parent + "/sessreg-explain-XXXXXX") {
    made_ = mkdtemp(path_.data()) != nullptr;
  }
  ~ScratchDirectory() {
    if (!made_) return;
    unlink(file().c_str());
    rmdir(path_.c_str());
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  bool made() const { return made_; }
  std::string file() const { return path_ + "/empty.reg"; }

 private:
  std::string path_;
  bool made_ = false;
};

// The site; if it has no registry, with an empty one whose file is unlinked at once.
Result<Site> open_to_ask(const Site& open, const GlobalOptions& global) {
  if (open.registry) return Site::open(open.config, global.conf, Site::IfMissing::create);
  constexpr std::int32_t kScratchCapacity = 16;  // enough for one login
  Error last{Errc::system, "no directory for a moment's file: /run, /dev/shm, /tmp"};
  for (const char* parent : {"/run", "/dev/shm", "/tmp"}) {
    const ScratchDirectory scratch(parent);
    if (!scratch.made()) continue;
    Config config = open.config;
    config.registry = scratch.file();
    config.capacity = std::min(config.capacity, kScratchCapacity);
    auto site = Site::open(std::move(config), global.conf, Site::IfMissing::create);
    if (site) return site;
    last = site.error();
  }
  return last;
}

Login login_of(const Account& user, const ExplainOptions& options) {
  Login login;
  login.user = user.name;
  if (user.uid) login.uid = *user.uid;
  login.service = options.service;
  login.host = options.host;
  login.self = self_id();
  login.parent = parent_id();
  return login;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string why_ignored(const Config& config, const std::string& service) {
  return contains(config.ignore_services, service) ? "'ignore_services' names it"
                                                   : "'only_services' does not name it";
}

std::string why_exempt(const Config& config, const std::string& user, const InGroup& in_group) {
  if (contains(config.exempt.users, user)) return "'exempt' names the user";
  for (const std::string& group : config.exempt.groups)
    if (in_group(group))
      return fmt::format("'exempt' names @{}", escape_for_terminal(in_file(group)));
  return {};
}

// nullopt: the configuration was edited meanwhile.
std::optional<Explanation> try_to_explain(Site& open, const GlobalOptions& global,
                                          const ExplainOptions& options) {
  const Config& config = open.config;
  const NameList* const clients = clients_of(config, options.service);
  const ServiceRules of_service = rules_of_service(config, options.service);
  const bool is_kept = of_service.keep.count() != 0;
  // A name of an application's own is no account, and none of its groups is this host's.
  const bool has_own_names = clients != nullptr && !of_service.names_are_accounts;
  Explanation told;
  if (has_own_names)
    told.user.name = options.user;
  else
    told.user = find_account(options.user);
  const auto sessions = read_sessions(open, ProcessTable::read());
  told.devices = devices_of(open, told.user.name, options.service, sessions);
  Login login = login_of(told.user, options);
  login.no_process = told.devices.has_value();
  if (is_kept) login.device = kept_device(options.host);
  const InGroup in_group = groups_of(told.user.name, told.user.primary_group);
  Standing standing = standing_of(config, told.user.name, options.service, in_group);
  // Of its users the application itself says who is exempt.
  if (has_own_names && standing == Standing::exempt) standing = Standing::counted;

  auto site = open_to_ask(open, global);
  if (!site) throw failure_of(site.error(), called_as(open));
  FailureStatus status;
  if (!options.host.empty()) {
    const RemoteHost host = RemoteHost::from_shown(options.host);
    auto failures = failures_of(*site, host, clients != nullptr && !is_kept ? options.service : "");
    if (failures) status = failures->status(host, boottime_ms());
    told.failed = Failed{status.failures, status.blacklisted, failures.has_value()};
  }
  if (standing == Standing::ignored) {
    told.verdict = Verdict::ignored;
    told.because = why_ignored(config, options.service);
    return told;
  }
  if (standing == Standing::exempt) {
    told.verdict = Verdict::exempt;
    told.because = why_exempt(config, told.user.name, in_group);
    return told;
  }

  for (const Session& session : sessions)
    if (session.has_seat && open.registry->is_user_of(session.snapshot.record, told.user.name))
      told.holders.push_back(session);
  told.seats = open.seats_taken();

  Rulebook book = rules_for(config, told.user.name, options.service, in_group);
  // As LoginProcedure has it.
  if (has_own_names) book.may_use_reserved = config.reserved_sessions == 0;
  if (clients != nullptr && !is_kept)
    book.evictable_services = services_of_clients(config, *clients);
  // Publishing a new limit is left to the next login: it is undone below.
  const ConfiguredLimit published = site->registry->published_limit();
  const auto admission = foresee(*site, login, book);
  if (const ConfiguredLimit ours = site->registry->published_limit();
      ours.identity != published.identity && ours.identity == config.identity)
    site->registry->publish_limit(ours, published);
  if (!admission) throw failure_of(admission.error(), called_as(open));
  if (admission->stale_configuration) return std::nullopt;

  told.may_reattach = !status.blacklisted && !told.devices && may_reattach(*site, login);
  told.rules = rules_of(open, *site, book, told, sessions);
  const auto note = std::find_if(sessions.begin(), sessions.end(), [&](const Session& session) {
    const RecordImage& record = session.snapshot.record;
    return is_kept && is_note(session.snapshot) &&
           open.registry->is_user_of(record, told.user.name) &&
           open.registry->is_service_of(record, options.service) &&
           open.registry->is_device_of(record, login.device);
  });
  if (status.blacklisted) {
    told.verdict = Verdict::refused;
    told.refusal = text(Refusal::blacklisted);
    told.message = message_of(status, config, login);
  } else if (note != sessions.end()) {
    told.verdict = Verdict::refused;
    told.refusal = "revoked";
    told.message = message_of_end(note->reason, config, *site->registry, note->snapshot.record, 0);
  } else if (!admission->admitted()) {
    told.verdict = Verdict::refused;
    told.refusal = text(admission->refusal);
    told.message = message_of(*admission, config, *site->registry, login);
  } else {
    told.displaced = admission->displaced;
  }
  return told;
}

const char* fate_text(Displaced::Why why) {
  return why == Displaced::Why::parked ? "parked" : "ended";
}

std::int64_t last_activity_realtime_ms(const Snapshot& session) {
  const RecordImage& record = session.record;
  const std::uint64_t last_ms = std::max(session.last_activity_ms, record.opened_boottime_ms);
  return record.opened_realtime_ms + static_cast<std::int64_t>(last_ms - record.opened_boottime_ms);
}

std::string verdict_text(const Explanation& told) {
  const std::string user = escape_for_terminal(told.user.name);
  switch (told.verdict) {
    case Verdict::ignored:
      return fmt::format("ignored service: {}\n", told.because);
    case Verdict::exempt:
      return fmt::format("{} is exempt: neither counted nor refused ({})\n", user, told.because);
    case Verdict::refused:
      return fmt::format("{} would be refused: {}: {}\n", user, told.refusal, told.message);
    case Verdict::admitted:
      break;
  }
  return fmt::format("{} would be admitted\n", user);
}

std::string failed_text(const Failed& failed, const Config& config) {
  if (config.max_failed_auth_per_host == 0) return "";
  if (!failed.counted) return " (its failures are not counted)";
  return fmt::format(" ({} failed authentication{}{})", failed.failures,
                     failed.failures == 1 ? "" : "s", failed.blacklisted ? ", blacklisted" : "");
}

std::string about_user(const Explanation& told) {
  if (told.devices && told.devices->clients && !told.devices->rules.names_are_accounts)
    return " (a name of the application's own)";
  return told.user.uid ? fmt::format(" (uid {})", *told.user.uid)
                       : " (no such user on this host: explained by name only)";
}

std::string explanation_text(const Site& open, const ExplainOptions& options,
                             const Explanation& told) {
  const Terminal terminal = stdout_terminal();
  const std::int64_t now_ms = now().realtime_ms;
  std::vector<std::pair<std::string, std::string>> head = {
      {"user", escape_for_terminal(told.user.name) + about_user(told)},
      {"service", escape_for_terminal(options.service) +
                      (told.devices ? " (its sessions have no process)" : "")}};
  if (told.is_in_stack == false)
    head.emplace_back("stack", fmt::format("no stack of {} names pam_sessreg.so: its logins are "
                                           "neither counted nor refused",
                                           escape_for_terminal(options.service)));
  if (told.devices) append_fields(head, *told.devices, told.user.name);
  head.emplace_back("from", told.failed ? escape_for_terminal(options.host) +
                                              failed_text(*told.failed, open.config)
                                        : "-");
  head.emplace_back("site", fmt::format("{} ({})", escape_for_terminal(open.config.site),
                                        escape_for_terminal(open.config_file())));
  std::string text = field_list(head, terminal);
  if (!told.rules.empty()) {
    Table table({{"rule"}, {"value", true}, {"from", true}, {"now"}});
    for (const Rule& rule : told.rules)
      table.add({{rule.key}, {rule.value}, {rule.from}, {rule.now.empty() ? "-" : rule.now}});
    text += "\n" + table.text(terminal);
  }
  if (!told.holders.empty())
    text += fmt::format("\nseats of {}:\n", escape_for_terminal(told.user.name)) +
            sessions_table(told.holders, terminal, now_ms);
  if (!told.displaced.empty()) {
    Table table(
        {{"id"}, {"user", true}, {"opened"}, {"last activity", false, "used"}, {"would be"}});
    for (const Displaced& displaced : told.displaced) {
      const RecordImage& record = displaced.session.record;
      const std::int64_t used_ms = last_activity_realtime_ms(displaced.session);
      table.add({{to_hex(record.id)},
                 {escape_for_terminal(text_of(record.user))},
                 {relative_time(record.opened_realtime_ms, now_ms)},
                 {relative_time(used_ms, now_ms)},
                 {fate_text(displaced.why)}});
    }
    text += "\nwould give way:\n" + table.text(terminal);
  }
  text += "\n";
  if (told.may_reattach)
    text +=
        fmt::format("{} may come back to an open session, which takes no seat. As for a new one:\n",
                    escape_for_terminal(told.user.name));
  return text + verdict_text(told);
}

nlohmann::ordered_json displaced_json(const Displaced& displaced) {
  const RecordImage& record = displaced.session.record;
  const auto time = [](std::int64_t realtime_ms) {
    const auto utc = utc_time(realtime_ms);
    return utc ? nlohmann::ordered_json(*utc) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json json;
  json["id"] = to_hex(record.id);
  json["user"] = text_of(record.user);
  json["opened"] = time(record.opened_realtime_ms);
  json["last_activity"] = time(last_activity_realtime_ms(displaced.session));
  json["fate"] = fate_text(displaced.why);
  json["why"] = text(displaced.why);
  return json;
}

nlohmann::ordered_json explanation_json(const Site& open, const ExplainOptions& options,
                                        const Explanation& told) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
  };
  nlohmann::ordered_json json;
  json["site"] = open.config.site;
  json["configuration"] = open.config_file();
  json["registry_exists"] = open.registry.has_value();
  json["user"] = told.user.name;
  json["uid"] = told.user.uid ? nlohmann::ordered_json(*told.user.uid) : nullptr;
  json["service"] = options.service;
  json["in_stack"] = told.is_in_stack ? nlohmann::ordered_json(*told.is_in_stack) : nullptr;
  json["host"] = or_null(options.host);
  json["verdict"] = text(told.verdict);
  json["because"] = or_null(told.because);
  json["refusal"] = or_null(told.refusal);
  json["message"] = or_null(told.message);
  json["may_reattach"] = told.may_reattach;
  json["active"] = told.seats;
  json["devices"] = told.devices ? to_json(*told.devices) : nullptr;
  json["rules"] = nlohmann::ordered_json::array();
  for (const Rule& rule : told.rules)
    json["rules"].push_back({{"key", rule.key}, {"value", rule.raw}, {"from", rule.from}});
  json["sessions"] = nlohmann::ordered_json::array();
  for (const Session& session : told.holders)
    json["sessions"].push_back(to_json(session));
  json["gives_way"] = nlohmann::ordered_json::array();
  for (const Displaced& displaced : told.displaced)
    json["gives_way"].push_back(displaced_json(displaced));
  json["failures"] = told.failed && told.failed->counted
                         ? nlohmann::ordered_json(told.failed->failures)
                         : nlohmann::ordered_json(nullptr);
  json["blacklisted"] = told.failed && told.failed->blacklisted;
  return json;
}

int run_explain(const GlobalOptions& global, const ExplainOptions& options) {
  constexpr int kTurns = 10;
  for (int turn = 0; turn < kTurns; ++turn) {
    Site open = open_site(global);
    auto told = try_to_explain(open, global, options);
    if (!told) continue;
    // An application's logins come by the daemon's socket, or libsessreg.
    const bool is_of_application = told->devices && told->devices->rules.keep.count() == 0;
    if (options.service_is_given && !is_of_application)
      told->is_in_stack = stack_names_module(
          options.service, options.pam_dir.empty() ? host_pam_directories()
                                                   : std::vector<std::string>{options.pam_dir});
    print(global.json ? json_text(explanation_json(open, options, *told))
                      : explanation_text(open, options, *told));
    return told->verdict == Verdict::refused ? kExitRefused : kExitDone;
  }
  throw Failure(kExitUnusable, "invalid_config",
                "the configuration changes faster than it can be read");
}

}  // namespace

Runner declare_explain(Options& command) {
  auto options = std::make_shared<ExplainOptions>();
  command.add_argument("USER", options->user, "the user who would log in").required().not_empty();
  Option service =
      command.add_option("--service", options->service, "through this PAM service (default sshd)");
  service.not_empty().value_name("SERVICE");
  command.add_option("--host", options->host, "from this remote host")
      .not_empty()
      .value_name("HOST");
  command.add_option("--pam-dir", options->pam_dir).not_empty().hidden();
  return [options, service](const GlobalOptions& global) {
    options->service_is_given = service.is_given();
    return run_explain(global, *options);
  };
}

}  // namespace sessreg
