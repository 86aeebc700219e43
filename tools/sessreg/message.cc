// sessreg message
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "host/account.h"
#include "host/terminals.h"
#include "session/messages.h"
#include "sessreg/access/selection.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"
#include "sessreg/session_lines.h"

namespace sessreg {
namespace {

// A terminal takes it at once, or not at all.
constexpr std::size_t kMostTextBytes = 1000;

struct MessageOptions {
  std::vector<std::string> words;  // ids, then the text
  Selectors selectors;
  std::string text;
};

enum class Reach { reached, no_terminal, no_process, graphical, stopped };

struct Reached {
  Reach reach = Reach::no_terminal;
  std::vector<std::string> terminals;  // that have shown it
};

const char* text(Reach reach) {
  switch (reach) {
    case Reach::reached:
      return "reached";
    case Reach::no_terminal:
      return "no_terminal";
    case Reach::no_process:
      return "no_process";
    case Reach::graphical:
      return "graphical";
    case Reach::stopped:
      return "stopped";
  }
  return "unknown";
}

std::string in_words(const Reached& reached) {
  switch (reached.reach) {
    case Reach::no_terminal:
      return "not reached: it has no terminal";
    case Reach::no_process:
      return "not reached: it has no process";
    case Reach::graphical:
      return "not reached: it is graphical";
    case Reach::stopped:
      return "not reached: its terminal takes nothing now";
    case Reach::reached:
      break;
  }
  std::string names;
  for (const std::string& terminal : reached.terminals)
    names += (names.empty() ? "" : ", ") + terminal;
  return "reached on " + names;
}

void split_words(MessageOptions& options) {
  options.text = std::move(options.words.back());
  options.words.pop_back();
  options.selectors.ids = std::move(options.words);
  if (options.selectors.ids.empty() && options.selectors.filter.is_empty() &&
      !options.selectors.all)
    throw usage_failure(
        "who is it for? Before the text name ids, or --user, --host, --service, --idle, "
        "--dangling or --all");
  if (!options.selectors.ids.empty() &&
      (options.selectors.all || !options.selectors.filter.is_empty()))
    throw usage_failure("the text must be one word: put it in quotes");
  check_usage(options.selectors);
  if (options.text.empty()) throw usage_failure("the text is empty");
  if (options.text.size() > kMostTextBytes)
    throw usage_failure(
        fmt::format("the text has {} bytes; it may have {}", options.text.size(), kMostTextBytes));
}

// Sessions may share a terminal, which shows a line once.
class Writer {
 public:
  explicit Writer(std::string line) : line_(std::move(line)) {}

  Reached reach(const Session& session, const ProcessTable& table) {
    Reached result;
    if (!session.leader) {
      result.reach = Reach::no_process;
      return result;
    }
    // The daemon does not tell the flag; a display's name is what PAM_TTY has.
    if (has(session.snapshot.record.flags, RecordFlags::has_display) ||
        session.tty().starts_with(':'))
      result.reach = Reach::graphical;
    for (const ProcessTerminal& terminal :
         terminals_of(processes_of(session, table), session.uid)) {
      if (terminal.shows_graphics()) {
        result.reach = Reach::graphical;
        continue;
      }
      const auto [known, is_new] = took_.try_emplace(terminal.path(), false);
      if (is_new) known->second = terminal.write(line_);
      if (known->second)
        result.terminals.push_back(std::string(terminal.name()));
      else
        result.reach = Reach::stopped;
    }
    if (!result.terminals.empty()) result.reach = Reach::reached;
    return result;
  }

 private:
  std::string line_;
  std::map<std::string, bool> took_;  // by the terminal's path
};

// `sessions`: all of the site.
void print_results(const SiteSessions& site, const std::vector<Session>& sessions,
                   const std::vector<Session>& chosen, const std::vector<Reached>& results,
                   std::size_t reached, bool json) {
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      nlohmann::ordered_json item = to_json(chosen[i]);
      item["result"] = text(results[i].reach);
      item["terminals"] = results[i].terminals;
      list.push_back(std::move(item));
    }
    nlohmann::ordered_json result;
    result["site"] = site.config().site;
    result["reached"] = reached;
    result["sessions"] = std::move(list);
    print(json_text(result));
    return;
  }
  const SessionLines lines(sessions);
  std::string text;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    text += lines.line(chosen[i], in_words(results[i]));
  text += fmt::format("{} of {} session{} reached\n", reached, chosen.size(),
                      chosen.size() == 1 ? "" : "s");
  print(text);
}

int run_message(const GlobalOptions& global, const MessageOptions& options) {
  SiteSessions site(global);
  const ProcessTable table = ProcessTable::read();
  const auto sessions = site.read(table);
  const auto chosen = choose(sessions, options.selectors, site);
  Writer writer(message_from(name_of_uid(getuid()), options.text));
  std::vector<Reached> results;
  results.reserve(chosen.size());
  for (const Session& session : chosen)
    results.push_back(writer.reach(session, table));
  const auto reached = static_cast<std::size_t>(
      std::count_if(results.begin(), results.end(),
                    [](const Reached& each) { return each.reach == Reach::reached; }));
  if (!site.is_remote())
    audit("message", site.config().site,
          {{"sessions", std::to_string(chosen.size())},
           {"reached", std::to_string(reached)},
           {"text", options.text}});
  print_results(site, sessions, chosen, results, reached, global.json);
  return reached == chosen.size() ? kExitDone : kExitFailed;
}

}  // namespace

Runner declare_message(Options& command) {
  auto options = std::make_shared<MessageOptions>();
  command
      .add_argument("TEXT", options->words,
                    "the line; before it session ids, or at least their first 4 digits")
      .required()
      .value_name("[ID...] TEXT");
  add_filter_options(command, options->selectors.filter);
  command.add_flag("--all", options->selectors.all, "every session of the site");
  return [options](const GlobalOptions& global) {
    split_words(*options);
    options->selectors.filter.resolve_user();
    return run_message(global, *options);
  };
}

}  // namespace sessreg
