// The commands of the tool. Each has a declare function, which adds the command's options and
// returns what runs it once they are parsed. The table in main.cc names them all.
#pragma once

#include <functional>

#include "common/options.h"
#include "common/site.h"

namespace sessreg {

// The text below the options in a command's --help. Each example is one line: what follows the
// tool's name, two spaces or more, what it is for.
std::string help_footer(const char* examples);

// Returns an exit code, or throws Failure.
using Runner = std::function<int(const GlobalOptions&)>;

struct Command {
  const char* name;
  Runner (*declare)(Options& command);
  const char* help;
  const char* examples;  // see help_footer()
};

Runner declare_list(Options& command);
Runner declare_show(Options& command);
Runner declare_status(Options& command);
Runner declare_metrics(Options& command);
Runner declare_revoke(Options& command);
Runner declare_message(Options& command);
Runner declare_limit(Options& command);
Runner declare_reload(Options& command);
Runner declare_purge(Options& command);
Runner declare_failures(Options& command);
Runner declare_touch(Options& command);
Runner declare_token(Options& command);
Runner declare_explain(Options& command);
Runner declare_check(Options& command);

}  // namespace sessreg
