
#include "../support/catch.h"
#include "toy_server.h"

using namespace toy;
using sessreg::varlink::CallFlags;
using sessreg::varlink::Json;
using sessreg::varlink::Limits;

namespace {

constexpr CallFlags kMore{.more = true};

}  // namespace

TEST_CASE("a stream comes whole and in order, and the next call after it") {
  const ToyServer server;
  for (const int count : {1, 2, 1000, 20'000}) {
    RawPeer peer(server.path());
    REQUIRE(peer.send(toy_call("Count", {{"to", count}}, kMore) +
                      toy_call("Echo", {{"text", "after"}})));
    for (int i = 1; i <= count; ++i) {
      const Json item = peer.receive_json();
      REQUIRE(item.at("parameters").at("i") == i);
      REQUIRE(item.value("continues", false) == (i < count));
    }
    CHECK(peer.receive_json().at("parameters").at("text") == "after");
  }
}

TEST_CASE("an empty stream has an empty last answer") {
  const ToyServer server;
  RawPeer peer(server.path());
  REQUIRE(peer.send(toy_call("Count", {{"to", 0}}, kMore)));
  CHECK(peer.receive() == R"({"parameters":{}})");
}

TEST_CASE("a stream may end by an error") {
  const ToyServer server;
  RawPeer peer(server.path());
  REQUIRE(peer.send(toy_call("CountThenFail", {}, kMore)));
  for (int i = 0; i < 3; ++i)
    CHECK(peer.receive_json().value("continues", false));
  CHECK(peer.receive_error() == "org.example.Toy.Refused");
}

TEST_CASE("a stream that nobody reads is not asked for more than a bound") {
  const ToyServer server;
  RawPeer lazy(server.path());
  REQUIRE(lazy.send(toy_call("Endless", {}, kMore)));
  CHECK(server.eventually([](const ToyServer& its) { return its.stat("bytes") > 0; }));
  for (int i = 0; i < 20; ++i)
    CHECK(server.stat("bytes") < 1'200'000);
  // And goes on when it is read.
  for (int i = 0; i < 5000; ++i)
    REQUIRE(lazy.receive_json().at("continues") == true);
}

TEST_CASE("several endless streams do not keep others from being served") {
  const ToyServer server;
  RawPeer one(server.path()), two(server.path());
  const auto read_on = [&](RawPeer& peer) {
    return Child([&] {
      peer.send(toy_call("Endless", {}, kMore));
      while (peer.receive()) {
      }
      return 0;
    });
  };
  const Child first = read_on(one), second = read_on(two);
  for (int i = 0; i < 200; ++i)
    CHECK(server.call("Echo", {{"text", "me"}}).at("text") == "me");
}

TEST_CASE("a watcher gets every event; one that does not read is dropped, the others stay") {
  Limits limits;
  limits.push_bytes = 100'000;
  const ToyServer server(limits);
  RawPeer good(server.path()), lazy(server.path());
  REQUIRE(good.send(toy_call("Watch", {}, kMore)));
  REQUIRE(lazy.send(toy_call("Watch", {}, kMore)));
  REQUIRE(server.eventually([](const ToyServer& its) { return its.stat("watchers") == 2; }));
  long heard = 2;
  for (int i = 0; i < 1000 && heard == 2; ++i) {
    heard = server.call("Shout", {{"bytes", 10'000}}).at("heard").get<long>();
    const Json event = good.receive_json();
    REQUIRE(event.at("continues") == true);
    REQUIRE(event.at("parameters").at("text").get<std::string>().size() == 10'000);
    REQUIRE(server.stat("bytes") < 300'000);
  }
  CHECK(heard == 1);
  while (lazy.receive()) {
  }
  CHECK(server.call("Shout", {{"bytes", 1}}).at("heard") == 1);
}

TEST_CASE("a watcher that goes is noticed at once") {
  const ToyServer server;
  RawPeer peer(server.path());
  REQUIRE(peer.send(toy_call("Hold", {}, kMore)));
  REQUIRE(server.eventually([](const ToyServer& its) { return its.stat("connections") == 2; }));
  CHECK(server.stat("closed") == 0);
  peer.close();
  CHECK(server.eventually([](const ToyServer& its) { return its.stat("closed") == 1; }));
}
