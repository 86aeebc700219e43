#include "sessreg/access/selection.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "common/errors.h"
#include "common/times.h"
#include "host/account.h"

namespace sessreg {
namespace {

constexpr std::size_t kLeastPrefix = 4;
constexpr std::size_t kIdDigits = 32;

// A record holds only as much of a host as fits, and no hash of the whole name.
bool is_host(const RecordImage& record, const std::string& wanted, bool whole_only) {
  constexpr std::size_t kMost = sizeof record.host;
  constexpr std::size_t kMostCut = 3;  // of a UTF-8 sequence that did not fit
  const std::string_view host = text_of(record.host);
  if (whole_only && host.size() + kMostCut >= kMost) return false;
  return host == utf8_prefix(wanted, kMost);
}

std::vector<State> states_named(const std::string& list) {
  std::vector<State> states;
  if (list.empty()) return states;
  for (std::size_t start = 0, comma = 0; comma != std::string::npos; start = comma + 1) {
    comma = list.find(',', start);
    const std::string name = list.substr(start, comma - start);
    const auto state = state_named(name);
    if (!state)
      throw usage_failure(
          fmt::format("--state: '{}' is not a state; write active, parked, reserved, orphaned, "
                      "left, ending, exempt or observed, several with commas between",
                      escape_for_terminal(name)));
    states.push_back(*state);
  }
  return states;
}

// Whether those sessions have a process; nullopt: either.
std::optional<bool> process_of_kinds(const std::string& list) {
  bool with = false, without = false;
  for (std::size_t start = 0, comma = 0; comma != std::string::npos; start = comma + 1) {
    comma = list.find(',', start);
    const std::string name = list.substr(start, comma - start);
    if (name != "process" && name != "device")
      throw usage_failure(fmt::format(
          "--kind: '{}' is not a kind of session; write process, device, or both with a comma",
          escape_for_terminal(name)));
    (name == "process" ? with : without) = true;
  }
  return with && without ? std::nullopt : std::optional(with);
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

bool Filter::is_empty() const {
  return user.empty() && service.empty() && host.empty() && idle.empty() && states.empty() &&
         device.empty() && kinds.empty() && !dangling;
}

void Filter::resolve_user() {
  if (!user.empty()) account = find_account(user).name;
}

void add_filter_options(Options& command, Filter& filter) {
  // An empty value would select everybody.
  command.add_option("--user,-u", filter.user, "only sessions of this user")
      .not_empty()
      .value_name("USER");
  command.add_option("--service", filter.service, "only sessions opened by this PAM service")
      .not_empty()
      .value_name("SERVICE");
  command.add_option("--host", filter.host, "only sessions from this remote host")
      .not_empty()
      .value_name("HOST");
  command
      .add_option("--device", filter.device, "only the sessions of this device, by its whole key")
      .not_empty()
      .value_name("KEY");
  command
      .add_option("--kind", filter.kinds,
                  "only sessions with a process of their own (process), or without (device)")
      .not_empty()
      .value_name("KINDS");
  command
      .add_option("--state", filter.states,
                  "only sessions in one of these states: active, parked, reserved, orphaned, "
                  "left, ending, exempt, observed")
      .not_empty()
      .value_name("STATE,...");
  command
      .add_option("--idle", filter.idle,
                  "only sessions not used for this long (90s, 5m, 2h, 4d, 2w); one without a "
                  "terminal, or with a display, counts only if its use is told")
      .not_empty()
      .value_name("TIME");
  command.add_flag("--dangling", filter.dangling,
                   "only sessions not used for 'dangling_after'; see --idle");
}

Chooser::Chooser(const Filter& filter, const SiteSessions& site)
    : filter_(filter), site_(site), states_(states_named(filter.states)) {
  if (!filter.idle.empty()) idle_ = duration_argument("--idle", filter.idle);
  if (!filter.kinds.empty()) has_process_ = process_of_kinds(filter.kinds);
  if (!filter.device.empty() && site.has_registry() && site.registry() == nullptr)
    throw usage_failure("--device: only who may read the registry can tell devices; run as root");
}

// The registry knows whole names. The daemon tells only the part that is recorded, but also shows
// only sessions that the caller may end anyway.
//
// A session that was opened while the directory did not answer goes by the name that was typed.
bool Chooser::is_user(const RecordImage& record) const {
  const auto goes_by = [&](const std::string& name) {
    if (const Registry* registry = site_.registry()) return registry->is_user_of(record, name);
    return text_of(record.user) == utf8_prefix(name, sizeof record.user);
  };
  return goes_by(filter_.user) || (!filter_.account.empty() && goes_by(filter_.account));
}

bool Chooser::is_service(const RecordImage& record) const {
  if (const Registry* registry = site_.registry())
    return registry->is_service_of(record, filter_.service);
  return text_of(record.service) == utf8_prefix(filter_.service, sizeof record.service);
}

bool Chooser::fits(const Session& session) const {
  const RecordImage& record = session.snapshot.record;
  if (!filter_.user.empty() && !is_user(record)) return false;
  if (!filter_.service.empty() && !is_service(record)) return false;
  if (!filter_.host.empty() && !is_host(record, filter_.host, filter_.whole_hosts_only))
    return false;
  if (!filter_.states.empty() &&
      std::find(states_.begin(), states_.end(), session.state) == states_.end())
    return false;
  if (has_process_ && session.leader.has_value() != *has_process_) return false;
  if (!filter_.device.empty() &&
      (site_.registry() == nullptr || !site_.registry()->is_device_of(record, filter_.device)))
    return false;
  if (idle_ && !session.is_idle_for(*idle_)) return false;
  return !filter_.dangling || session.is_idle_for(site_.config().dangling_after);
}

std::vector<Session> select(const std::vector<Session>& sessions, const Filter& filter,
                            const SiteSessions& site) {
  const Chooser chooser(filter, site);
  std::vector<Session> chosen;
  std::copy_if(sessions.begin(), sessions.end(), std::back_inserter(chosen),
               [&](const Session& session) { return chooser.fits(session); });
  return chosen;
}

const Session& find_by_prefix(const std::vector<Session>& sessions, const std::string& given,
                              bool own_only) {
  const std::string prefix = lower(given);
  if (prefix.size() < kLeastPrefix || prefix.size() > kIdDigits ||
      prefix.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw usage_failure(
        fmt::format("'{}' is not the id of a session, nor its first 4 or more hexadecimal digits",
                    escape_for_terminal(given)));
  std::vector<const Session*> found;
  for (const Session& session : sessions)
    if (session.id().starts_with(prefix)) found.push_back(&session);
  if (found.empty())
    throw Failure(kExitNoSuchSession, "no_such_session",
                  fmt::format("no session{} with the id {}", own_only ? " of yours" : "", prefix));
  if (found.size() == 1) return *found.front();

  constexpr std::size_t kMostNamed = 8;
  const std::size_t digits = distinct_digits(sessions);
  std::string names;
  for (std::size_t i = 0; i < found.size() && i < kMostNamed; ++i)
    names += fmt::format("{}{} ({})", i == 0 ? "" : ", ", found[i]->id().substr(0, digits),
                         escape_for_terminal(found[i]->user()));
  if (found.size() > kMostNamed) names += fmt::format(" and {} more", found.size() - kMostNamed);
  throw Failure(kExitUsage, "ambiguous_id",
                fmt::format("{} fits several sessions: {}", prefix, names));
}

void check_usage(const Selectors& selectors) {
  const int ways = (selectors.ids.empty() ? 0 : 1) + (selectors.filter.is_empty() ? 0 : 1) +
                   (selectors.all ? 1 : 0);
  if (ways == 0)
    throw usage_failure(
        "which sessions? Name ids, or --user, --host, --service, --idle, --dangling or --all");
  if (ways > 1)
    throw usage_failure("ids, filters (--user, --host, ...) and --all do not go together");
}

std::vector<Session> choose(const std::vector<Session>& sessions, const Selectors& selectors,
                            const SiteSessions& site) {
  std::vector<Session> chosen;
  if (selectors.all) {
    chosen = sessions;
  } else if (!selectors.filter.is_empty()) {
    Filter filter = selectors.filter;
    filter.whole_hosts_only = true;
    chosen = select(sessions, filter, site);
  }
  for (const std::string& id : selectors.ids) {
    const Session& session = find_by_prefix(sessions, id, site.is_remote());
    const bool twice = std::any_of(chosen.begin(), chosen.end(), [&](const Session& other) {
      return other.snapshot.record.id == session.snapshot.record.id;
    });
    if (!twice) chosen.push_back(session);
  }
  if (chosen.empty()) throw Failure(kExitNoSuchSession, "no_such_session", "no session fits");
  return chosen;
}

std::string description(const Session& session) {
  return fmt::format("{} ({}{})", escape_for_terminal(session.user()),
                     escape_for_terminal(session.service()),
                     session.host().empty() ? "" : " from " + escape_for_terminal(session.host()));
}

std::size_t distinct_digits(const std::vector<Session>& sessions) {
  constexpr std::size_t kLeast = 8;
  std::vector<std::string> ids;
  ids.reserve(sessions.size());
  for (const Session& session : sessions)
    ids.push_back(session.id());
  std::sort(ids.begin(), ids.end());
  std::size_t digits = kLeast;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const auto differ =
        std::mismatch(ids[i - 1].begin(), ids[i - 1].end(), ids[i].begin(), ids[i].end());
    digits = std::max(digits, static_cast<std::size_t>(differ.first - ids[i - 1].begin()) + 1);
  }
  return std::min(digits, kIdDigits);
}

}  // namespace sessreg
