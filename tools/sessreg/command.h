// A command of the tool. Its declare function adds options and arguments to the command's own
// parser and returns what runs it once they are parsed; the table in main.cc names them all.
#pragma once

#include <functional>

#include "common/site.h"

namespace CLI {
class App;
}

namespace sessreg {

// What stands below the options in a command's --help. Examples are a line each: what follows the
// tool's name, two spaces or more, what it is for.
std::string help_footer(const char* examples);

// Returns an exit code, or throws Failure.
using Runner = std::function<int(const GlobalOptions&)>;

struct Command {
  const char* name;
  Runner (*declare)(CLI::App& command);
  const char* help;
  const char* examples;  // see help_footer()
};

Runner declare_list(CLI::App& command);
Runner declare_show(CLI::App& command);
Runner declare_status(CLI::App& command);
Runner declare_metrics(CLI::App& command);
Runner declare_revoke(CLI::App& command);
Runner declare_limit(CLI::App& command);
Runner declare_purge(CLI::App& command);
Runner declare_failures(CLI::App& command);
Runner declare_touch(CLI::App& command);
Runner declare_token(CLI::App& command);
Runner declare_explain(CLI::App& command);
Runner declare_check(CLI::App& command);

}  // namespace sessreg
