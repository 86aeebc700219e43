#include <signal.h>
#include <stdlib.h>

#include <cstdio>

#include "../support/catch_runner.h"
#include "support.h"

int main(int argc, char** argv) {
  if (getenv("SESSREG_TOOL") == nullptr) {
    fputs("SESSREG_TOOL must be the path of the tool that is tested\n", stderr);
    return 1;
  }
  setenv("TZ", "UTC", 1);
  // Whoever runs this under nohup must not make the tests' processes deaf to the tool.
  for (const int number : {SIGHUP, SIGTERM, SIGINT})
    signal(number, SIG_DFL);
  become_subreaper();
  const int result = run_catch(argc, argv);
  end_everything_started();
  return result;
}
