#include "varlink/input.h"

#include <string.h>

#include <string>
#include <vector>

#include "../support/catch.h"

using namespace sessreg::varlink;

namespace {

void feed(Input& input, std::string_view bytes) {
  const std::span<char> space = input.space();
  REQUIRE(space.size() >= bytes.size());
  memcpy(space.data(), bytes.data(), bytes.size());
  input.add(bytes.size());
}

std::vector<std::string> take_all(Input& input) {
  std::vector<std::string> messages;
  std::string_view message;
  while (input.next(message) == Input::Next::message)
    messages.emplace_back(message);
  return messages;
}

}  // namespace

TEST_CASE("messages are the same wherever what came was split") {
  const std::string text("first\0second\0\0third\0", 20);
  const std::vector<std::string> wanted = {"first", "second", "", "third"};
  for (std::size_t one = 0; one <= text.size(); ++one) {
    for (std::size_t two = one; two <= text.size(); ++two) {
      Scratch scratch(4096);
      Input input(100, scratch);
      std::vector<std::string> got;
      const std::string_view all(text);
      for (const auto piece : {all.substr(0, one), all.substr(one, two - one), all.substr(two)}) {
        feed(input, piece);
        for (const std::string& message : take_all(input))
          got.push_back(message);
        input.keep();
        memset(scratch.begin(), 'z', scratch.bytes());
      }
      REQUIRE(got == wanted);
      CHECK(input.is_empty());
      CHECK(input.held_bytes() == 0);
    }
  }
}

TEST_CASE("a message may have its greatest size, and not a byte more") {
  Scratch scratch(4096);
  for (const std::size_t size : {99u, 100u, 101u}) {
    Input input(100, scratch);
    feed(input, std::string(size, 'x'));
    std::string_view message;
    CHECK((input.next(message) == Input::Next::too_long) == (size > 100));
    if (size > 100) continue;
    input.keep();
    feed(input, std::string(1, '\0'));
    CHECK(input.next(message) == Input::Next::message);
    CHECK(message == std::string(size, 'x'));
  }
}

TEST_CASE("the memory held grows only with what came") {
  Scratch scratch(256 << 10);
  Input input(1 << 20, scratch);
  std::size_t came = 0;
  while (came < (1 << 20)) {
    feed(input, std::string(1000, 'x'));
    came += 1000;
    std::string_view message;
    if (input.next(message) != Input::Next::incomplete) break;
    input.keep();
    REQUIRE(input.held_bytes() >= came);
    REQUIRE(input.held_bytes() <= 2 * came + (40 << 10));
  }
}
