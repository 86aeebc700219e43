#include "common/bus_error.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "common/errors.h"

namespace sessreg {
namespace {

void (*say_it)(const char* what) = nullptr;

void on_bus_error(int number, siginfo_t* info, void* /*context*/) {
  if (info->si_code != BUS_ADRERR) {
    signal(number, SIG_DFL);
    raise(number);  // from somebody's kill(2), or from the hardware: not about a file
    return;
  }
  // Threads that read the same file hit this at the same time: only the first says so. (A second
  // SIGBUS in this thread ends the process: the signal is blocked here.)
  static std::atomic_flag is_said = ATOMIC_FLAG_INIT;
  while (is_said.test_and_set())
    pause();
  say_it("a registry was cut short while it was in use: run '" SESSREG_TOOL_NAME
         " purge --rebuild'");
  _exit(kExitUnusable);
}

}  // namespace

void report_bus_errors(void (*say)(const char* what)) {
  say_it = say;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace sessreg
