// Catch2, of which Debian 12 has version 2 (one header) and Debian 13 version 3 (a library).
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/catch_tostring.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>

// As version 2 calls them.
namespace Catch {
using Matchers::EndsWith;
using Matchers::Matches;
using Matchers::StartsWith;
inline auto Contains(const std::string& part) {
  return Matchers::ContainsSubstring(part);
}
inline auto rngSeed() {
  return getSeed();
}
}  // namespace Catch
#else
#include <catch2/catch.hpp>
#endif
