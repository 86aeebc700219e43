#include "config/spelling.h"

#include <array>
#include <string>

#include "../../support/catch.h"

using namespace sessreg;

namespace {

std::string nearest(const std::string& word) {
  constexpr std::array<std::string_view, 4> kKnown = {"site=", "quiet", "token", "sessions_limit"};
  return std::string(nearest_spelling(word, kKnown));
}

}  // namespace

TEST_CASE("a word up to two letters off is recognized, whatever its case") {
  CHECK(nearest("sessions_limit") == "sessions_limit");
  CHECK(nearest("sesions_limitt") == "sessions_limit");
  CHECK(nearest("SESSIONS-LIMIT") == "sessions_limit");
  CHECK(nearest("esions_limitt") == "");
  CHECK(nearest("tokn") == "token");
  CHECK(nearest("colour") == "");
}

TEST_CASE("nothing is near to what shares no letter, is empty, or has no end") {
  CHECK(nearest("") == "");
  CHECK(nearest("xx") == "");
  CHECK(nearest("=") == "");
  CHECK(nearest(std::string(1 << 20, 'q')) == "");
}

TEST_CASE("a value is not part of the word, but tells which of two is meant") {
  CHECK(nearest("sit=web") == "site=");
  CHECK(nearest("quiet=yes") == "quiet");
  CHECK(nearest("quite") == "quiet");  // two letters off each
  CHECK(nearest("quite=web") == "site=");
}
