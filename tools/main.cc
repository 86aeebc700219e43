// sessreg(8): the administrator's view of the user sessions.
#include <fmt/core.h>
#include <locale.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string_view>

#include "command.h"
#include "errors.h"
#include "output.h"
#include "text.h"
#include "tool_name.h"

namespace sessreg {
namespace {

constexpr std::array kCommands = {
    Command{"list", declare_list, "list the user sessions"},
    Command{"show", declare_show, "show one session"},
    Command{"status", declare_status, "show seats, limits and counters"},
    Command{"revoke", declare_revoke, "end sessions"},
    Command{"limit", declare_limit, "show or change the sessions limit"},
    Command{"purge", declare_purge, "drop dead and abandoned entries"},
};

int run(int argc, char** argv) {
  GlobalOptions global;
  Runner runner;

  CLI::App app("Lists, limits and ends the user sessions of this host.", kToolName);
  app.add_option("--site", global.site, "the site (default: default)")->option_text("NAME");
  app.add_option("--conf", global.conf, "read this configuration file instead of the site's own")
      ->check([](const std::string& path) { return path.empty() ? "is empty" : ""; }, "")
      ->option_text("FILE");
  app.add_flag("--json", global.json, "print JSON");
  app.set_version_flag("--version", fmt::format("{} {}", kToolName, kVersion))
      ->description("show the version");
  app.set_help_flag("--help,-h", "show this help");
  app.fallthrough();
  app.require_subcommand(0, 1);
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.help);
    sub->footer("Global options: --site NAME, --conf FILE, --json, --version");
    sub->callback([&runner, run = command.declare(*sub)] { runner = run; });
  }
  app.footer(
      fmt::format("Global options may stand before or after the command.\n"
                  "'{} COMMAND --help' explains a command.",
                  kToolName));

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print(app.help());
    return kExitDone;
  } catch (const CLI::CallForVersion& version) {
    print(std::string(version.what()) + "\n");
    return kExitDone;
  } catch (const CLI::ExtrasError&) {
    const std::string extra = app.remaining(true).front();
    const bool is_command = app.get_subcommands().empty() && !extra.starts_with('-');
    throw usage_failure(fmt::format("{} '{}'; see '{} --help'",
                                    is_command ? "there is no command" : "unexpected argument",
                                    escape_for_terminal(extra), kToolName));
  } catch (const CLI::ParseError& error) {
    std::string what = error.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    throw usage_failure(fmt::format("{}; see '{} --help'", one_line(what), kToolName));
  }
  if (!runner) throw usage_failure(fmt::format("which command? See '{} --help'", kToolName));
  return runner(global);
}

}  // namespace
}  // namespace sessreg

int main(int argc, char** argv) {
  using namespace sessreg;
  prepare_standard_streams();
  setlocale(LC_CTYPE, "");
  // A wrong command line is reported before the parser knows of --json.
  const bool json = std::any_of(argv, argv + argc,
                                [](const char* arg) { return std::string_view(arg) == "--json"; });
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    report(failure, json);
    return failure.code();
  } catch (const std::exception& error) {
    report(Failure(kExitFailed, "internal", one_line(error.what())), json);
    return kExitFailed;
  }
}
