#include <unistd.h>

#include <vector>

#include "../support/catch.h"
#include "toy_server.h"

using namespace toy;
using sessreg::varlink::Json;
using sessreg::varlink::Limits;

namespace {

constexpr const char* kInvalid = "org.sessreg.Connection.InvalidMessage";

Limits short_times() {
  Limits limits;
  limits.half_message = std::chrono::milliseconds(100);
  limits.linger = std::chrono::milliseconds(100);
  return limits;
}

}  // namespace

TEST_CASE("garbage is answered by an error and the connection's end") {
  const ToyServer server;
  const std::string deep = std::string(100'000, '[') + '\0';
  for (const std::string& garbage :
       {std::string("\0", 1), std::string("GET / HTTP/1.1\r\n\r\n\0", 19), std::string("{}\0", 3),
        std::string("\xff\xfe\0", 3), std::string("{\"method\":\"x\"}\0", 15), deep}) {
    RawPeer peer(server.path());
    REQUIRE(peer.send(garbage));
    CHECK(peer.receive_error() == kInvalid);
    CHECK(peer.has_closed());
  }
  CHECK(server.call("Echo", {{"text", "still"}}).at("text") == "still");
}

TEST_CASE("calls before the garbage are answered, those after it are not") {
  const ToyServer server;
  RawPeer peer(server.path());
  REQUIRE(peer.send(toy_call("Note", {{"text", "a"}}) + std::string("x\0", 2) +
                    toy_call("Note", {{"text", "b"}})));
  CHECK(peer.receive_json().contains("parameters"));
  CHECK(peer.receive_error() == kInvalid);
  CHECK(peer.has_closed());
  CHECK(server.call("Notes").at("text") == "a");
}

TEST_CASE("a flood of NULs ends by itself") {
  const ToyServer server;
  RawPeer peer(server.path());
  const std::string nuls(1 << 20, '\0');
  for (int i = 0; i < 64 && peer.send(nuls); ++i) {
  }
  CHECK(peer.receive_error() == kInvalid);
  CHECK(peer.has_closed());
  CHECK(server.eventually([](const ToyServer& its) { return its.stat("connections") == 1; }));
}

TEST_CASE("a message of the greatest size is answered, a longer one refused and read to its end") {
  const ToyServer server;
  const std::size_t around = toy_call("Echo", {{"text", ""}}).size() - 1;
  const std::string text(sessreg::varlink::kMaxMessageBytes - around, 'x');
  RawPeer peer(server.path());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(peer.send(toy_call("Echo", {{"text", text}})));
    CHECK(peer.receive_json().at("parameters").at("text") == text);
  }
  REQUIRE(server.stat("bytes") == 0);
  REQUIRE(peer.send(toy_call("Echo", {{"text", text + "x"}})));
  CHECK(
      peer.receive_json().dump() ==
      R"({"error":"org.sessreg.Connection.MessageTooLong","parameters":{"limit_bytes":1048576}})");
  CHECK(peer.has_closed());
}

TEST_CASE("a message without an end is refused as soon as it is too long") {
  const ToyServer server;
  RawPeer peer(server.path());
  const std::string piece(100'000, 'x');
  std::size_t sent = 0;
  while (sent < (100u << 20) && peer.send(piece))
    sent += piece.size();
  CHECK(sent < (100u << 20));
  CHECK(peer.receive_error() == "org.sessreg.Connection.MessageTooLong");
}

TEST_CASE("a half message has its time, an idle connection all the time there is") {
  const ToyServer server(short_times());
  RawPeer idle(server.path()), half(server.path()), trickle(server.path());
  REQUIRE(half.send("{\"method\":"));
  CHECK(half.receive_error() == "org.sessreg.Connection.HalfMessage");
  CHECK(half.has_closed());
  std::size_t pieces = 0;
  while (pieces < 3000 && trickle.send("x")) {
    usleep(10'000);
    ++pieces;
  }
  CHECK(pieces < 3000);
  REQUIRE(idle.send(toy_call("Echo", {{"text", "here"}})));
  CHECK(idle.receive_json().at("parameters").at("text") == "here");
}

TEST_CASE("a steady sender whose reads end within messages is no half message") {
  Limits limits;
  limits.half_message = std::chrono::seconds(1);
  const ToyServer server(limits);
  RawPeer peer(server.path());
  const std::string call = toy_call("Echo", {{"text", "steady"}});
  REQUIRE(peer.send(call.substr(0, 10)));
  for (int i = 0; i < 30; ++i) {
    usleep(50'000);
    REQUIRE(peer.send(call.substr(10) + call.substr(0, 10)));
    REQUIRE(peer.receive_json().at("parameters").at("text") == "steady");
  }
}

TEST_CASE("a half message behind a call that waits has its time only when it is read") {
  const ToyServer server(short_times());
  RawPeer peer(server.path());
  const std::string call = toy_call("Echo", {{"text", "b"}});
  REQUIRE(peer.send(toy_call("Later", {{"ms", 400}, {"text", "a"}}) + call.substr(0, 10)));
  CHECK(peer.receive_json().at("parameters").at("text") == "a");
  REQUIRE(peer.send(call.substr(10)));
  CHECK(peer.receive_json().at("parameters").at("text") == "b");
}

TEST_CASE("a peer that does not read its answers is not read either, and others are served") {
  const ToyServer server;
  RawPeer lazy(server.path());
  const std::string call = toy_call("Big", {{"bytes", 20'000}});
  std::size_t calls = 0;
  for (int quiet = 0; quiet < 20;) {
    std::string many;
    for (int i = 0; i < 100; ++i)
      many += call;
    const std::size_t sent = lazy.send_some(many);
    calls += sent / call.size();
    quiet = sent == 0 ? quiet + 1 : 0;
    REQUIRE(calls < 1'000'000);
    REQUIRE(server.stat("bytes") < (2 << 20));
    // A call that was cut is of no further use.
    if (sent % call.size() != 0) break;
  }
  CHECK(server.call("Echo", {{"text", "me"}}).at("text") == "me");
  // What was taken is answered, once it is read.
  for (std::size_t i = 0; i < calls; ++i)
    REQUIRE(lazy.receive().value_or("").size() > 20'000);
}

TEST_CASE("a peer that goes in the middle of anything leaves nothing behind") {
  const ToyServer server;
  for (const char* member : {"Echo", "Later", "Hold", "Forget", "Endless", "Watch", "Big"}) {
    const std::string call = toy_call(member, {}, {.more = true});
    for (const std::size_t size : {call.size(), call.size() / 2}) {
      RawPeer peer(server.path());
      REQUIRE(peer.send(call.substr(0, size)));
    }
    RawPeer pipelined(server.path());
    REQUIRE(pipelined.send(call + call + call.substr(0, 5)));
  }
  CHECK(server.eventually(
      [](const ToyServer& its) { return its.stat("connections") == 1 && its.stat("bytes") == 0; }));
}
