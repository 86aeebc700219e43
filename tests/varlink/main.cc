// g++ 12 with -fsanitize=address takes std::regex, which Catch2 uses, for uninitialized (GCC bug
// 105616).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
