#include "catch_runner.h"

#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
// g++ 12 with -fsanitize=address takes std::regex, which Catch2 uses, for uninitialized (GCC bug
// 105616).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

int run_catch(int argc, char** argv) {
  Catch::Session session;
  // As by default in version 2 only.
  session.configData().rngSeed = 0;
#if __has_include(<catch2/catch_session.hpp>)
  session.configData().defaultColourMode = Catch::ColourMode::None;
#else
  session.configData().useColour = Catch::UseColour::No;
#endif
  return session.run(argc, argv);
}
