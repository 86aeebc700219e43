#include "catch_runner.h"

// g++ 12 with -fsanitize=address takes std::regex, which Catch2 uses, for uninitialized (GCC bug
// 105616).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int run_catch(int argc, char** argv) {
  return Catch::Session().run(argc, argv);
}
