// sessreg revoke
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/times.h"
#include "common/tool_name.h"
#include "config/config_values.h"
#include "session/ending.h"
#include "sessreg/access/selection.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"

namespace sessreg {
namespace {

struct RevokeOptions {
  std::vector<std::string> ids;
  Filter filter;
  bool all = false;
  std::string reason;
  std::string grace = "10s";
  bool dry_run = false;
  bool yes = false;
  bool self = false;
};

void check_usage(const RevokeOptions& options) {
  const int ways =
      (options.ids.empty() ? 0 : 1) + (options.filter.is_empty() ? 0 : 1) + (options.all ? 1 : 0);
  if (ways == 0)
    throw usage_failure(
        "which sessions? Name ids, or --user, --host, --service, --idle, --dangling or --all");
  if (ways > 1)
    throw usage_failure("ids, filters (--user, --host, ...) and --all do not go together");
}

std::vector<Session> choose(const std::vector<Session>& sessions, const RevokeOptions& options,
                            const SiteSessions& site) {
  if (options.all) return sessions;
  if (!options.filter.is_empty()) {
    Filter filter = options.filter;
    filter.whole_hosts_only = true;
    return select(sessions, filter, site);
  }
  std::vector<Session> chosen;
  for (const std::string& id : options.ids) {
    const Session& session = find_by_prefix(sessions, id, site.is_remote());
    const bool twice = std::any_of(chosen.begin(), chosen.end(), [&](const Session& other) {
      return other.snapshot.record.id == session.snapshot.record.id;
    });
    if (!twice) chosen.push_back(session);
  }
  return chosen;
}

// "alice (sshd from 192.0.2.7)"
std::string description(const Session& session) {
  return fmt::format("{} ({}{})", escape_for_terminal(session.user()),
                     escape_for_terminal(session.service()),
                     session.host().empty() ? "" : " from " + escape_for_terminal(session.host()));
}

// Leaves out the caller's own sessions, and says so. If they were named, or nothing else is left,
// that is an error.
std::vector<Session> without_own(const std::vector<Session>& chosen, const ProcessTable& table,
                                 const RevokeOptions& options) {
  std::vector<Session> others, own;
  for (const Session& session : chosen)
    (is_own_session(session, table) ? own : others).push_back(session);
  if (own.empty()) return others;
  if (others.empty() || !options.ids.empty())
    throw Failure(
        kExitUsage, "own_session",
        fmt::format("{} is the session you are in: add --self to end it", own.front().id()));
  for (const Session& session : own)
    remark(fmt::format("{} is the session you are in: left alone without --self", session.id()));
  return others;
}

// Throws unless the caller agrees to end several sessions at once.
void ask(const std::vector<Session>& chosen) {
  if (isatty(STDIN_FILENO) != 1)
    throw usage_failure(fmt::format(
        "{} sessions would be ended: add --yes (or look first, with --dry-run)", chosen.size()));
  std::string question;
  for (const Session& session : chosen)
    question += fmt::format("{}  {}\n", session.id(), description(session));
  question += fmt::format("End these {} sessions? [y/N] ", chosen.size());
  static_cast<void>(write_all(STDERR_FILENO, question));
  std::string answer;
  std::getline(std::cin, answer);
  constexpr std::array<std::string_view, 5> kConsent = {"y", "Y", "yes", "Yes", "YES"};
  if (std::find(kConsent.begin(), kConsent.end(), trim(answer)) == kConsent.end())
    throw Failure(kExitFailed, "not_confirmed", "no session was ended");
}

void print_results(const SiteSessions& site, const std::vector<Session>& chosen,
                   const std::vector<Ended>& results, const RevokeOptions& options, bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string lines;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Session& session = chosen[i];
    nlohmann::ordered_json item = to_json(session);
    if (options.dry_run) {
      item["result"] = "would_end";
      item["survivors"] = nlohmann::ordered_json::array();
      lines += fmt::format("{}  {}: would be ended\n", session.id(), description(session));
    } else {
      const Ended& ended = results[i];
      item["result"] = text(ended.result);
      item["survivors"] = ended.survivors;
      std::string pids;
      for (const pid_t pid : ended.survivors)
        pids += fmt::format(" {}", pid);
      if (ended.result == EndResult::survived && !pids.empty()) pids.insert(0, ", processes left:");
      if (ended.result == EndResult::ending)
        pids = fmt::format(
            ": marked, without a seat; its process{} serves others too, and was left alone", pids);
      lines += fmt::format("{}  {}: {}{}\n", session.id(), description(session), text(ended.result),
                           ended.result == EndResult::ended ? "" : pids);
    }
    list.push_back(std::move(item));
  }
  if (!json) {
    print(lines);
    return;
  }
  nlohmann::ordered_json result;
  result["site"] = site.config().site;
  result["dry_run"] = options.dry_run;
  result["sessions"] = std::move(list);
  print(json_text(result));
}

int run_revoke(const GlobalOptions& global, const RevokeOptions& options) {
  check_usage(options);
  EndingOptions ending;
  ending.reason = options.reason;
  ending.grace = duration_argument("--grace", options.grace);
  ending.include_own = options.self;

  SiteSessions site(global);
  const ProcessTable table = ProcessTable::read();
  const auto sessions = site.read(table);
  auto chosen = choose(sessions, options, site);
  if (chosen.empty()) throw Failure(kExitNoSuchSession, "no_such_session", "no session fits");
  if (!options.self) chosen = without_own(chosen, table, options);

  if (options.dry_run) {
    print_results(site, chosen, {}, options, global.json);
    return kExitDone;
  }
  if (chosen.size() > 1 && !options.yes) ask(chosen);

  // Before the first signal: with --self it may end the caller. The daemon keeps its own records.
  for (const Session& session : chosen)
    if (!site.is_remote()) audit_session("revoke", session, options.reason);
  const auto results = site.end(chosen, ending);

  int code = kExitDone;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].result == EndResult::ended) continue;
    code = kExitFailed;
    if (site.is_remote()) continue;
    std::string pids;
    for (const pid_t pid : results[i].survivors)
      pids += (pids.empty() ? "" : " ") + std::to_string(pid);
    audit("revoke_incomplete", chosen[i].site,
          {{"session", chosen[i].id()}, {"result", text(results[i].result)}, {"pids", pids}});
  }
  print_results(site, chosen, results, options, global.json);
  return code;
}

}  // namespace

Runner declare_revoke(Options& command) {
  auto options = std::make_shared<RevokeOptions>();
  command.add_argument("ID", options->ids, "session ids, or at least their first 4 digits");
  add_filter_options(command, options->filter);
  command.add_flag("--all", options->all, "every session of the site");
  command.add_option("--reason", options->reason, "why: shown to the user, and recorded")
      .value_name("TEXT");
  command
      .add_option("--grace", options->grace,
                  "how long the processes may take to end on their own (default 10s)")
      .value_name("TIME");
  command.add_flag("--dry-run", options->dry_run, "only show which sessions would be ended");
  command.add_flag("--yes,-y", options->yes, "do not ask before ending several sessions");
  command.add_flag("--self", options->self, "also end the session that this command runs in");
  return [options](const GlobalOptions& global) {
    options->filter.resolve_user();
    return run_revoke(global, *options);
  };
}

}  // namespace sessreg
