#include <grp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "../support/catch.h"
#include "../support/sanitized.h"
#include "toy_server.h"

using namespace toy;
using sessreg::varlink::Json;
using sessreg::varlink::Limits;

namespace {

using Peers = std::vector<std::unique_ptr<RawPeer>>;

bool is_served(RawPeer& peer) {
  return peer.send(toy_call("Echo", {{"text", "me"}})) && peer.receive_error() == "none";
}

// How many of so many connections are served; they stay open.
int connect_many(const ToyServer& server, int wanted, Peers& ret_peers) {
  int served = 0;
  for (int i = 0; i < wanted; ++i) {
    ret_peers.push_back(std::make_unique<RawPeer>(server.path()));
    served += is_served(*ret_peers.back());
  }
  return served;
}

// The same by another user's process, which stays until the object goes.
class OtherUser {
 public:
  OtherUser(const ToyServer& server, uid_t uid, int wanted)
      : child_([&, uid, wanted] {
          if (setgroups(0, nullptr) != 0 || setgid(uid) != 0 || setuid(uid) != 0) return 1;
          Peers peers;
          const int served = connect_many(server, wanted, peers);
          for (int i = 0; i < served; ++i)
            counted_.put('+');
          counted_.put('.');
          pause();
          return 0;
        }) {
    char c = 0;
    while ((c = static_cast<char>(counted_.get())) == '+')
      ++served_;
    if (c != '.') served_ = -1;
  }
  int served() const { return served_; }

 private:
  Pipe counted_;
  Child child_;
  int served_ = 0;
};

long resident_kb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line))
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  return -1;
}

}  // namespace

TEST_CASE("a thousand connections are served, and cost little while they idle") {
  const ToyServer server;
  Peers peers;
  REQUIRE(connect_many(server, 100, peers) == 100);
  const long before_kb = resident_kb(server.pid());
  REQUIRE(connect_many(server, 900, peers) == 900);
  CHECK(server.stat("connections") == 1001);
  CHECK(server.stat("bytes") == 0);
  CHECK(resident_kb(server.pid()) - before_kb < 16'000);
  for (const auto& peer : peers)
    REQUIRE(is_served(*peer));
}

TEST_CASE("whoever is sent away is told why") {
  Limits limits;
  limits.connections = 5;
  const ToyServer server(limits);
  Peers peers;
  CHECK(connect_many(server, 5, peers) == (getuid() == 0 ? 5 : 0));
  if (getuid() != 0) return;
  RawPeer late(server.path());
  CHECK(late.receive_error() == "org.sessreg.Connection.TooManyConnections");
  CHECK(late.has_closed());
  peers.clear();
  CHECK(server.eventually([](const ToyServer& its) {
    RawPeer peer(its.path());
    return is_served(peer);
  }));
}

TEST_CASE("one user's flood of connections leaves room for the others") {
  if (!is_root("other users")) return;
  Limits limits;
  limits.connections = 60;
  limits.kept_connections = 20;
  limits.few_connections = 4;
  limits.root_connections = 5;
  limits.uid_connections = 30;
  const ToyServer server(limits);
  const OtherUser greedy(server, 4801, 100);
  CHECK(greedy.served() == 30);
  const OtherUser second(server, 4802, 100);
  CHECK(second.served() == 10);
  const OtherUser modest(server, 4803, 3);
  CHECK(modest.served() == 3);
  Peers mine;
  CHECK(connect_many(server, 10, mine) == 10);
}

TEST_CASE("those who connect without end do not keep others from their answers") {
  if (!is_root("other users")) return;
  Limits limits;
  limits.accept_time = std::chrono::microseconds(200);
  const ToyServer server(limits);
  RawPeer root(server.path());
  REQUIRE(root.send(toy_call("Stats")));
  root.receive_json();
  server.stop();
  Peers flood;
  {
    const AsUser user(4801);
    for (int i = 0; i < 1000; ++i)
      flood.push_back(std::make_unique<RawPeer>(server.path()));
  }
  REQUIRE(root.send(toy_call("Stats")));
  server.run();
  CHECK(root.receive_json().at("parameters").at("connections") < 500);
  CHECK(server.eventually([](const ToyServer& its) { return its.stat("connections") > 1000; }));
}

TEST_CASE("who hangs up before being let in leaves nothing") {
  const ToyServer server;
  for (int i = 0; i < 3; ++i) {
    server.stop();
    Peers gone;
    for (int k = 0; k < 500; ++k)
      gone.push_back(std::make_unique<RawPeer>(server.path()));
    gone.clear();
    server.run();
    CHECK(server.eventually([](const ToyServer& its) { return its.stat("connections") == 1; }));
  }
}

TEST_CASE("in a flood of costly calls root is served first, and others get their share") {
  if (!is_root("other users")) return;
  constexpr int kFlood = 300, kOthers = 40;
  Limits limits;
  limits.uid_time = std::chrono::milliseconds(2);
  const ToyServer server(limits);
  const auto connect = [&](uid_t uid, int count, const std::string& message) {
    Peers peers;
    const AsUser user(uid);
    for (int i = 0; i < count; ++i) {
      peers.push_back(std::make_unique<RawPeer>(server.path()));
      REQUIRE(peers.back()->send(message));
    }
    return peers;
  };
  const auto burnt = [](RawPeer& peer) {
    return peer.receive_json().at("parameters").at("burnt").get<int>();
  };
  const std::string costly = toy_call("Burn", {{"us", 1000}});
  server.stop();
  auto flood = connect(4801, kFlood, costly);
  auto cheap = connect(4802, 1, toy_call("Burn"));
  auto others = connect(4803, kOthers, costly);
  auto root = connect(0, 1, toy_call("Burn"));
  server.run();
  // To let all in takes some two rounds, in between of which calls are served.
  CHECK(burnt(*root[0]) <= 15);
  CHECK(burnt(*cheap[0]) <= 20);
  int last = 0;
  for (const auto& peer : others)
    last = std::max(last, burnt(*peer));
  // As many of the flood, and some turns: all of it would be 300 more.
  CHECK(last <= 2 * kOthers + kOthers / 2);
  for (const auto& peer : flood)
    burnt(*peer);
}

TEST_CASE("while one user's call goes on in steps, others are served") {
  if (!is_root("other users")) return;
  const ToyServer server;
  std::unique_ptr<RawPeer> climber;
  {
    const AsUser user(4801);
    climber = std::make_unique<RawPeer>(server.path());
  }
  REQUIRE(climber->send(toy_call("Climb", {{"steps", std::int64_t{1} << 60}, {"text", "far"}})));
  REQUIRE(server.eventually([](const ToyServer& its) { return its.stat("steps") > 0; }));
  Peers peers;
  CHECK(connect_many(server, 20, peers) == 20);
  const OtherUser modest(server, 4803, 3);
  CHECK(modest.served() == 3);
  CHECK(server.call("Later", {{"ms", 1}, {"text", "late"}}).at("text") == "late");
}

TEST_CASE("one user's half messages are bounded, and others' large ones are taken") {
  if (!is_root("other users")) return;
  Limits limits;
  limits.uid_bytes = 4 << 20;
  const ToyServer server(limits);
  Pipe filled;
  const Child greedy([&] {
    if (setgroups(0, nullptr) != 0 || setgid(4801) != 0 || setuid(4801) != 0) return 1;
    Peers peers;
    for (int i = 0; i < 40; ++i) {
      peers.push_back(std::make_unique<RawPeer>(server.path()));
      peers.back()->send("{\"x\":\"" + std::string(700'000, 'x'));
    }
    filled.put('.');
    pause();
    return 0;
  });
  REQUIRE(filled.get() == '.');
  CHECK(server.stat("bytes") <= (4 << 20));
  CHECK(server.stat("bytes") > (1 << 20));
  const std::string text(1'000'000, 'y');
  CHECK(server.call("Echo", {{"text", text}}).at("text") == text);
  if (!kHasShadowMemory) CHECK(resident_kb(server.pid()) < 100'000);
}

TEST_CASE("when all memory is taken, small calls are still answered") {
  if (!is_root("memory kept for root")) return;
  Limits limits;
  limits.total_bytes = 4 << 20;
  limits.root_bytes = 1 << 20;
  const ToyServer server(limits);
  Peers peers;
  int refused = 0;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<RawPeer>(server.path()));
    peers.back()->send("{\"x\":\"" + std::string(700'000, 'x'));
  }
  CHECK(server.stat("bytes") <= (4 << 20));
  Peers small;
  CHECK(connect_many(server, 50, small) == 50);
  for (auto& peer : peers) {
    // Completed, so that each has something to say.
    peer->send(std::string("\"}\0", 3));
    refused += peer->receive_error() == "org.sessreg.Connection.OutOfMemory";
  }
  CHECK(refused >= 14);
  CHECK(refused < 20);
}

TEST_CASE("without a descriptor left, the server waits and goes on") {
  if (kHasShadowMemory) {
    WARN("skipped: a sanitizer asks by a pipe whether memory is readable");
    return;
  }
  Limits limits;
  limits.accept_pause = std::chrono::milliseconds(20);
  const ToyServer server(limits, [] {
    const rlimit few{24, 24};
    setrlimit(RLIMIT_NOFILE, &few);
  });
  Peers peers;
  for (int i = 0; i < 60; ++i) {
    peers.push_back(std::make_unique<RawPeer>(server.path()));
    REQUIRE(peers.back()->send(toy_call("Echo", {{"text", "me"}})));
  }
  // Of those in the queue, each is served when another has gone.
  for (auto& peer : peers) {
    CHECK(peer->receive_error() == "none");
    peer.reset();
  }
}

TEST_CASE("while it cannot accept, the server does not spin") {
  const ToyServer server({}, [] {
    const rlimit few{16, 16};
    setrlimit(RLIMIT_NOFILE, &few);
  });
  Peers peers;
  for (int i = 0; i < 40; ++i)
    peers.push_back(std::make_unique<RawPeer>(server.path()));
  const auto used_ticks = [&] {
    std::ifstream stat("/proc/" + std::to_string(server.pid()) + "/stat");
    std::string word;
    long ticks = 0;
    for (int i = 1; i <= 15 && stat >> word; ++i)
      if (i >= 14) ticks += std::stol(word);
    return ticks;
  };
  usleep(100'000);
  const long before = used_ticks();
  usleep(1'000'000);
  CHECK((used_ticks() - before) * 1000 / sysconf(_SC_CLK_TCK) < 500);
}
