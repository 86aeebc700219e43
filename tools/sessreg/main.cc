// sessreg(8): the administrator's view of the user sessions.
#include <fmt/core.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "common/bus_error.h"
#include "common/errors.h"
#include "common/options.h"
#include "common/output.h"
#include "common/tool_name.h"
#include "sessreg/command.h"

namespace sessreg {
namespace {

constexpr std::array kCommands = {
    Command{"list", declare_list, "list the user sessions",
            "list                        who is in, stalest first\n"
            "list --watch                the same, refreshed in place\n"
            "list --by-user              who has how many sessions\n"
            "list --user anna --idle 2h  what anna has not used for two hours\n"
            "list --tsv | cut -f 1,3     id and user, for a script"},
    Command{"show", declare_show, "show one session",
            "show 834d70e2  by the first digits of its id"},
    Command{"status", declare_status, "show seats, limits and counters",
            "status\n"
            "status --site lab --json"},
    Command{"metrics", declare_metrics, "show seats, limits and counters for Prometheus",
            "metrics\n"
            "metrics --all-sites"},
    Command{"revoke", declare_revoke, "end sessions",
            "revoke 834d70e2               one session\n"
            "revoke --user anna --dry-run  look first\n"
            "revoke --user anna --yes --reason 'maintenance until noon'\n"
            "revoke --dangling             forgotten sessions; asks first"},
    Command{"message", declare_message, "show the users of sessions a line of text",
            "message --all 'Maintenance at noon'\n"
            "message 834d70e2 'Please call 4711'"},
    Command{"limit", declare_limit, "show or change the sessions limit",
            "limit               what is in force\n"
            "limit 20            until the next boot\n"
            "limit 0             admit nobody new\n"
            "limit --configured  back to what the file says now"},
    Command{"reload", declare_reload, "put an edited configuration in force now",
            "reload             instead of at the next login\n"
            "reload --site lab  another site's"},
    Command{"purge", declare_purge, "drop dead and abandoned entries",
            "purge            now; logins do this themselves when seats run short\n"
            "purge --rebuild  replace a registry that cannot be used"},
    Command{"failures", declare_failures, "show or forget failed authentications by host",
            "failures                    who guesses passwords\n"
            "failures --reset 192.0.2.7  let that host try again"},
    Command{"touch", declare_touch, "mark a session as used now, by its token",
            "touch                     the session of $SESSREG_TOKEN\n"
            "touch - < /run/app/token  the session of the token in that file"},
    Command{"token", declare_token, "inspect and verify activity tokens, and manage their keys",
            "token verify   whether $SESSREG_TOKEN is valid\n"
            "token inspect  what it says, unverified\n"
            "token rotate   sign new tokens with a new key; old ones stay valid\n"
            "token public   the public key, for whoever verifies tokens"},
    Command{"explain", declare_explain, "show which rules a login would meet, and its outcome",
            "explain anna                   through sshd, now\n"
            "explain anna --service login   at the console\n"
            "explain anna --host 192.0.2.7  from there"},
    Command{"check", declare_check, "look for mistakes in configuration, registry and PAM stacks",
            "check                                everything in place\n"
            "check --file /root/sessreg.conf.new  a file before it is put in place"},
};

// Whether the command line asks for JSON, for errors found before or while it is parsed.
bool asks_for_json(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--") break;
    if (argument == "--json") return true;
  }
  return false;
}

// "help COMMAND" is what people type.
std::vector<char*> without_help(int argc, char** argv) {
  static char help[] = "--help";
  std::vector<char*> words(argv, argv + argc);
  if (argc < 2 || words[1] != std::string_view("help")) return words;
  words.erase(words.begin() + 1);
  words.push_back(help);
  return words;
}

// Whoever works in a session of another site means that site. Root means what root says.
std::string default_site() {
  const char* const own = geteuid() == 0 ? nullptr : secure_getenv("SESSREG_SITE");
  return own != nullptr && is_valid_site_name(own) ? own : GlobalOptions().site;
}

// If this throws, global.json says how to report it.
int run(int argc, char** argv, GlobalOptions& global) {
  Runner runner;
  global.site = default_site();

  ProgramOptions program(tool_name(), "Lists, limits and ends the user sessions of this host.");
  const Option site =
      program.add_option("--site", global.site, "the site (default: default)").value_name("NAME");
  program
      .add_option("--conf", global.conf, "read this configuration file instead of the site's own")
      .not_empty()
      .value_name("FILE");
  program.add_flag("--json", global.json, "print JSON");
  program.add_version_and_help(kVersion);
  for (const Command& command : kCommands) {
    Options options =
        program.add_command(command.name, command.help, help_footer(command.examples));
    options.when_chosen([&runner, run = command.declare(options)] { runner = run; });
  }
  program.set_footer(
      fmt::format("Global options may be given before or after the command.\n"
                  "'{} COMMAND --help' explains a command.",
                  tool_name()));

  global.json = asks_for_json(argc, argv);
  std::vector<char*> words = without_help(argc, argv);
  if (!program.parse(static_cast<int>(words.size()), words.data())) return kExitDone;
  global.site_given = site.is_given();
  if (!runner) throw usage_failure(fmt::format("which command? See '{} --help'", tool_name()));
  return runner(global);
}

}  // namespace

std::string help_footer(const char* examples) {
  std::string text = "Examples:\n";
  for (std::string_view rest = examples; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    text += fmt::format("  {} {}\n", tool_name(), line);
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return text + "\nGlobal options: --site NAME, --conf FILE, --json, --version";
}

}  // namespace sessreg

int main(int argc, char** argv) {
  using namespace sessreg;
  set_tool_name(argv[0]);
  prepare_standard_streams();
  setlocale(LC_CTYPE, "");
  static GlobalOptions global;
  report_bus_errors(
      [](const char* what) { report(Failure(kExitUnusable, "truncated", what), global.json); });
  try {
    return run(argc, argv, global);
  } catch (const Failure& failure) {
    report(failure, global.json);
    return failure.code();
  } catch (const std::exception& error) {
    report(Failure(kExitFailed, "internal", one_line(error.what())), global.json);
    return kExitFailed;
  }
}
