// g++ 12 with -fsanitize=address takes std::regex, which Catch2 uses, for uninitialized (GCC bug
// 105616).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define CATCH_CONFIG_RUNNER
#include <signal.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cstdio>

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
  const int result = Catch::Session().run(argc, argv);
  end_everything_started();
  return result;
}
