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
#include "host/terminals.h"
#include "session/ending.h"
#include "sessreg/access/selection.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"
#include "sessreg/session_lines.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

struct RevokeOptions {
  Selectors selectors;
  std::string reason;
  std::string grace = "10s";
  bool dry_run = false;
  bool yes = false;
  bool self = false;
};

// Leaves out the caller's own sessions, and says so. If they were named, or nothing else is left,
// that is an error.
std::vector<Session> without_own(const std::vector<Session>& chosen, const ProcessTable& table,
                                 const RevokeOptions& options) {
  std::vector<Session> others, own;
  const OwnSessions callers(table);
  for (const Session& session : chosen)
    (callers.contains(session) ? own : others).push_back(session);
  if (own.empty()) return others;
  if (others.empty() || !options.selectors.ids.empty())
    throw Failure(
        kExitUsage, "own_session",
        fmt::format("{} is the session you are in: add --self to end it", own.front().id()));
  for (const Session& session : own)
    remark(fmt::format("{} is the session you are in: left alone without --self", session.id()));
  return others;
}

// `sessions`: all of the site.
std::string question(const std::vector<Session>& sessions, const std::vector<Session>& chosen) {
  const Terminal terminal = terminal_of(STDERR_FILENO);
  const auto or_dash = [](std::string_view raw) {
    return raw.empty() ? "-" : escape_for_terminal(raw);
  };
  Table table({{"id"}, {"user", true}, {"service", true}, {"from", true}, {"tty", true}, {"idle"}});
  const std::size_t digits = distinct_digits(sessions);
  for (const Session& session : chosen) {
    const std::string terminal_of_processes = terminal_name(session.tty_device);
    table.add({{session.id().substr(0, digits)},
               {or_dash(session.user())},
               {or_dash(session.service())},
               {or_dash(session.host())},
               {or_dash(terminal_of_processes.empty() ? session.tty() : terminal_of_processes)},
               {session.can_idle ? rough_duration(session.idle_ms) : "-"}});
  }
  return table.text(terminal) + (chosen.size() == 1
                                     ? "End this session? [y/N] "
                                     : fmt::format("End these {} sessions? [y/N] ", chosen.size()));
}

// Throws unless the caller agrees. Where nobody can be asked, one session is ended all the same.
void ask(const std::vector<Session>& sessions, const std::vector<Session>& chosen) {
  if (isatty(STDIN_FILENO) != 1) {
    if (chosen.size() == 1) return;
    throw usage_failure(fmt::format(
        "{} sessions would be ended: add --yes (or look first, with --dry-run)", chosen.size()));
  }
  static_cast<void>(write_all(STDERR_FILENO, question(sessions, chosen)));
  std::string answer;
  std::getline(std::cin, answer);
  constexpr std::array<std::string_view, 5> kConsent = {"y", "Y", "yes", "Yes", "YES"};
  if (std::find(kConsent.begin(), kConsent.end(), trim(answer)) == kConsent.end())
    throw Failure(kExitFailed, "not_confirmed", "no session was ended");
}

// `sessions`: all of the site.
void print_results(const SiteSessions& site, const std::vector<Session>& sessions,
                   const std::vector<Session>& chosen, const std::vector<Ended>& results,
                   const RevokeOptions& options, bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const SessionLines writer(sessions);
  std::string lines;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Session& session = chosen[i];
    nlohmann::ordered_json item = to_json(session);
    if (options.dry_run) {
      item["result"] = "would_end";
      item["survivors"] = nlohmann::ordered_json::array();
      lines += writer.line(session, "would be ended");
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
      lines +=
          writer.line(session, text(ended.result) + (ended.result == EndResult::ended ? "" : pids));
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
  check_usage(options.selectors);
  EndingOptions ending;
  ending.reason = options.reason;
  ending.grace = duration_argument("--grace", options.grace);
  ending.include_own = options.self;

  SiteSessions site(global);
  const ProcessTable table = ProcessTable::read();
  const auto sessions = site.read(table);
  auto chosen = choose(sessions, options.selectors, site);
  if (!options.self) chosen = without_own(chosen, table, options);

  if (options.dry_run) {
    print_results(site, sessions, chosen, {}, options, global.json);
    return kExitDone;
  }
  if (!options.yes) ask(sessions, chosen);

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
  print_results(site, sessions, chosen, results, options, global.json);
  return code;
}

}  // namespace

Runner declare_revoke(Options& command) {
  auto options = std::make_shared<RevokeOptions>();
  command.add_argument("ID", options->selectors.ids,
                       "session ids, or at least their first 4 digits");
  add_filter_options(command, options->selectors.filter);
  command.add_flag("--all", options->selectors.all, "every session of the site");
  command.add_option("--reason", options->reason, "why: shown to the user, and recorded")
      .value_name("TEXT");
  command
      .add_option("--grace", options->grace,
                  "how long the processes may take to end on their own (default 10s)")
      .value_name("TIME");
  command.add_flag("--dry-run", options->dry_run, "only show which sessions would be ended");
  command.add_flag("--yes,-y", options->yes, "do not ask first");
  command.add_flag("--self", options->self, "also end the session that this command runs in");
  return [options](const GlobalOptions& global) {
    options->selectors.filter.resolve_user();
    return run_revoke(global, *options);
  };
}

}  // namespace sessreg
