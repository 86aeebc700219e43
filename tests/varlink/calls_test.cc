#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "../support/catch.h"
#include "toy_server.h"

using namespace toy;
using sessreg::varlink::CallFlags;
using sessreg::varlink::Json;

TEST_CASE("a call is answered, however its bytes come") {
  const ToyServer server;
  const std::string call = toy_call("Echo", {{"text", "hello"}});
  RawPeer peer(server.path());
  for (std::size_t split = 1; split < call.size(); split += 7) {
    REQUIRE(peer.send(call.substr(0, split)));
    usleep(500);
    REQUIRE(peer.send(call.substr(split)));
    CHECK(peer.receive_json().at("parameters").at("text") == "hello");
  }
}

TEST_CASE("calls sent together are answered in their order") {
  const ToyServer server;
  RawPeer peer(server.path());
  std::string all;
  for (int i = 0; i < 1000; ++i)
    all += toy_call("Echo", {{"text", std::to_string(i)}});
  REQUIRE(peer.send(all));
  for (int i = 0; i < 1000; ++i)
    REQUIRE(peer.receive_json().at("parameters").at("text") == std::to_string(i));
}

TEST_CASE("a call that is answered later holds back its connection, and no other") {
  const ToyServer server;
  RawPeer held(server.path()), other(server.path());
  REQUIRE(held.send(toy_call("Later", {{"ms", 300}, {"text", "first"}}) +
                    toy_call("Note", {{"text", "second"}}) +
                    toy_call("Echo", {{"text", "third"}})));
  REQUIRE(other.send(toy_call("Notes")));
  CHECK(other.receive_json().at("parameters").at("text") == "");
  CHECK(held.receive_json().at("parameters").at("text") == "first");
  CHECK(held.receive_json().at("parameters") == Json::object());
  CHECK(held.receive_json().at("parameters").at("text") == "third");
}

TEST_CASE("a oneway call is done, and not answered, whatever it comes to") {
  const ToyServer server;
  RawPeer peer(server.path());
  std::string all;
  for (const char* member : {"Note", "Throw", "Refuse", "Unknown", "Forget", "Note"})
    all += toy_call(member, {{"text", "n"}}, {.oneway = true});
  REQUIRE(peer.send(all + toy_call("Notes")));
  CHECK(peer.receive_json().at("parameters").at("text") == "nn");
}

TEST_CASE("oneway calls of a peer that has gone already are done") {
  const ToyServer server;
  {
    RawPeer peer(server.path());
    std::string all;
    for (int i = 0; i < 500; ++i)
      all += toy_call("Note", {{"text", "n"}}, {.oneway = true});
    REQUIRE(peer.send(all));
  }
  CHECK(server.eventually(
      [](const ToyServer& its) { return its.call("Notes").at("text") == std::string(500, 'n'); }));
}

TEST_CASE("a call that goes on in steps has its parameters in each, and is answered in its place") {
  const ToyServer server;
  RawPeer peer(server.path());
  // Beyond the bounds of a turn; and a message that does not come in one piece.
  const std::string text(GENERATE(std::size_t{3}, std::size_t{700'000}), 't');
  REQUIRE(peer.send(toy_call("Climb", {{"steps", 300}, {"text", text}}) +
                    toy_call("Echo", {{"text", "behind"}}) +
                    toy_call("Climb", {{"steps", 1}, {"text", text}})));
  const Json climbed = peer.receive_json().at("parameters");
  CHECK(climbed.at("taken") == 300);
  CHECK(climbed.at("bytes") == text.size());
  CHECK(peer.receive_json().at("parameters").at("text") == "behind");
  CHECK(peer.receive_json().at("parameters").at("taken") == 1);
  CHECK(server.stat("steps") == 301);
  CHECK(server.stat("bytes") == 0);
}

TEST_CASE("a step may fail, and a oneway call has steps too") {
  const ToyServer server;
  RawPeer peer(server.path());
  const Json fails = {{"steps", 200}, {"fail", true}, {"text", ""}};
  REQUIRE(peer.send(toy_call("Climb", fails) + toy_call("Climb", fails, {.oneway = true}) +
                    toy_call("Climb", {{"steps", 200}, {"text", ""}}, {.oneway = true}) +
                    toy_call("Climb", {{"steps", 200}}) + toy_call("Echo", {{"text", "last"}})));
  CHECK(peer.receive_error() == "org.example.Toy.Refused");
  CHECK(peer.receive_error() == "org.varlink.service.InvalidParameter");
  CHECK(peer.receive_json().at("parameters").at("text") == "last");
  CHECK(server.stat("steps") == 800);
}

TEST_CASE("of a call in steps nothing is kept when its peer has gone") {
  const ToyServer server;
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<RawPeer>(server.path()));
    REQUIRE(peers.back()->send(toy_call("Climb", {{"steps", 5000}, {"text", "x"}})));
  }
  peers.clear();
  CHECK(server.eventually([](const ToyServer& its) { return its.stat("connections") == 1; }));
  CHECK(server.stat("bytes") == 0);
}

TEST_CASE("a peer that has said all still gets its answers") {
  const ToyServer server;
  RawPeer peer(server.path());
  REQUIRE(peer.send(toy_call("Later", {{"ms", 50}, {"text", "a"}}) +
                    toy_call("Big", {{"bytes", 900'000}})));
  peer.end_sending();
  CHECK(peer.receive_json().at("parameters").at("text") == "a");
  CHECK(peer.receive_json().at("parameters").at("text").get<std::string>().size() == 900'000);
  CHECK(peer.has_closed());
}

TEST_CASE("errors go by their names") {
  const ToyServer server;
  RawPeer peer(server.path());
  const auto error_of = [&](const std::string& call) {
    peer.send(call);
    const Json answer = peer.receive_json();
    return answer.at("error").get<std::string>() + answer.at("parameters").dump();
  };
  CHECK(error_of(toy_call("Nothing")) ==
        R"(org.varlink.service.MethodNotFound{"method":"org.example.Toy.Nothing"})");
  CHECK(error_of(std::string(R"({"method":"org.example.Other.Echo"})") + '\0') ==
        R"(org.varlink.service.InterfaceNotFound{"interface":"org.example.Other"})");
  CHECK(error_of(toy_call("Echo", {{"text", 1}})) ==
        R"(org.varlink.service.InvalidParameter{"parameter":"text"})");
  CHECK(error_of(toy_call("Echo", {{"text", "a"}, {"other", 1}})) ==
        R"(org.varlink.service.InvalidParameter{"parameter":"other"})");
  CHECK(error_of(toy_call("Refuse")) == R"(org.example.Toy.Refused{"why":"because"})");
  CHECK(error_of(toy_call("Throw")) == "org.sessreg.Connection.InternalError{}");
  CHECK(error_of(toy_call("Forget")) == "org.sessreg.Connection.InternalError{}");
  CHECK(error_of(toy_call("ForgetLater")) == "org.sessreg.Connection.InternalError{}");
  CHECK(error_of(toy_call("Count", {{"to", 3}})) == "org.varlink.service.ExpectedMore{}");
  const std::string upgrade(R"({"method":"org.example.Toy.Echo","upgrade":true})");
  CHECK(error_of(upgrade + '\0') ==
        R"(org.varlink.service.MethodNotImplemented{"method":"org.example.Toy.Echo"})");
}

TEST_CASE("the service describes itself") {
  const ToyServer server;
  auto client = sessreg::varlink::Client::connect(server.path());
  CHECK(client.call("org.varlink.service.GetInfo").json().dump() ==
        R"({"vendor":"Example","product":"Toy","version":"1","url":"https://example.org",)"
        R"("interfaces":["org.varlink.service","org.sessreg.Connection","org.example.Toy"]})");
  for (const char* name : {"org.varlink.service", "org.sessreg.Connection", "org.example.Toy"}) {
    const Json described =
        client.call("org.varlink.service.GetInterfaceDescription", {{"interface", name}}).json();
    CHECK_THAT(described.at("description").get<std::string>(),
               Catch::Contains("interface " + std::string(name) + "\n"));
  }
  const auto unknown =
      client.call("org.varlink.service.GetInterfaceDescription", {{"interface", "a.b"}});
  CHECK(unknown.error == "org.varlink.service.InterfaceNotFound");
}

TEST_CASE("the peer's credentials are the kernel's") {
  const ToyServer server;
  const Json me = server.call("Who");
  CHECK(me.at("uid") == getuid());
  CHECK(me.at("gid") == getgid());
  CHECK(me.at("pid") == getpid());
  if (!is_root("other users' credentials")) return;
  Child other([&] {
    if (setgid(4711) != 0 || setuid(4712) != 0) return 1;
    RawPeer peer(server.path());
    peer.send(toy_call("Who"));
    const Json who = peer.receive_json().at("parameters");
    return who.at("uid") == 4712 && who.at("gid") == 4711 && who.at("pid") == getpid() ? 0 : 2;
  });
  CHECK(other.wait() == 0);
}
