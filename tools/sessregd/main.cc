// sessregd(8): an assistant to the registry of user sessions.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/text.h"
#include "common/bus_error.h"
#include "common/errors.h"
#include "common/options.h"
#include "common/output.h"
#include "common/socket_path.h"
#include "common/tool_name.h"
#include "sessregd/daemon.h"

namespace sessreg {
namespace {

constexpr const char* kName = "sessregd";

void log_to_stderr(int priority, const std::string& line) {
  // The journal takes the level from the prefix; see sd-daemon(3).
  const bool to_journal = getenv("JOURNAL_STREAM") != nullptr;
  const std::string prefix =
      to_journal ? fmt::format("<{}>", priority) : fmt::format("{}: ", kName);
  static_cast<void>(write_all(STDERR_FILENO, prefix + one_line(line) + "\n"));
}

void log_to_syslog(int priority, const std::string& line) {
  openlog(kName, LOG_PID, LOG_DAEMON);  // each time: audit lines are logged under another name
  syslog(LOG_DAEMON | priority, "%s", one_line(line).c_str());
}

// The parent waits until the child is ready or has failed, and exits with a status that says which.
// The child returns, with the descriptor to write to when it is ready.
Fd go_to_background() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw failure_of(system_error(errno, "cannot start in the background"), kName);
  Fd reading(ends[0]), writing(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw failure_of(system_error(errno, "cannot start in the background"), kName);
  if (child == 0) {
    setsid();
    return writing;
  }
  writing = Fd();
  char byte = 0;
  ssize_t got = 0;
  while ((got = read(reading.get(), &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got == 1) _exit(kExitDone);
  int status = 0;
  waitpid(child, &status, 0);
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : kExitFailed);
}

void let_go_of_terminal() {
  if (chdir("/") != 0) return;
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (null) dup2(null.get(), fd);
}

int run(int argc, char** argv) {
  DaemonOptions options;
  options.socket = default_socket_path();
  bool foreground = false;
  ProgramOptions program(
      kName,
      "Frees seats the moment a session dies, ends sessions whose time is up, and answers\n"
      "requests on a socket from users who may not read the registry.");
  program
      .add_option("--site", options.sites, "serve only this site; may be repeated (default: all)")
      .value_name("NAME");
  program.add_option("--conf", options.conf, "read this file instead of that one site's own")
      .value_name("FILE");
  program
      .add_option("--socket", options.socket,
                  fmt::format("listen on this socket (default: {})", default_socket_path()))
      .value_name("PATH");
  program.add_flag("--foreground", foreground, "stay in the foreground; log to standard error");
  program.add_version_and_help(kVersion);
  program.set_footer(
      "It is optional: without it, limits still hold, and sessions can be listed and ended.\n"
      "See sessregd(8).");
  if (!program.parse(argc, argv)) return kExitDone;
  for (const std::string& site : options.sites)
    if (!is_valid_site_name(site))
      throw usage_failure(
          fmt::format("--site: '{}' cannot be the name of a site", escape_for_terminal(site)));
  if (!options.conf.empty() && options.sites.size() > 1)
    throw usage_failure("--conf is one site's file: name that one with --site");
  if (!options.conf.empty() && options.sites.empty()) options.sites = {"default"};
  if (!options.socket.starts_with('/'))
    throw usage_failure(
        fmt::format("--socket {}: write an absolute path", escape_for_terminal(options.socket)));

  Fd ready;
  if (!foreground) {
    ready = go_to_background();
  }
  report_bus_errors(foreground ? [](const char* what) { log_to_stderr(LOG_CRIT, what); }
                               : [](const char* what) { log_to_syslog(LOG_CRIT, what); });
  Daemon daemon(std::move(options), foreground ? log_to_stderr : log_to_syslog);
  return daemon.run([&] {
    if (foreground) return;
    let_go_of_terminal();
    static_cast<void>(write_all(ready.get(), "1"));
    ready = Fd();
  });
}

}  // namespace
}  // namespace sessreg

int main(int argc, char** argv) {
  using namespace sessreg;
  prepare_standard_streams();
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    static_cast<void>(write_all(STDERR_FILENO, fmt::format("{}: {}\n", kName, failure.what())));
    return failure.code();
  } catch (const std::exception& error) {
    static_cast<void>(
        write_all(STDERR_FILENO, fmt::format("{}: {}\n", kName, one_line(error.what()))));
    return kExitFailed;
  }
}
