// Registries of earlier versions, written here byte by byte as those versions did.
#include "registry/older_layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/temp_dir.h"
#include "../../support/version2.h"
#include "base/clock.h"
#include "base/hash.h"
#include "registry/registry.h"

using namespace sessreg;
using namespace sessreg::version2;

namespace {

struct Scene {
  TempDir dir;
  HostIdentity host = *host_identity();
  std::string path = dir / "site.reg";
  Version2 old{host};
  std::uint64_t now_ms = now().boottime_ms;

  void write() {
    dir.write("site.reg", old.bytes());
    chmod(path.c_str(), 0600);
  }
  // alice and bob have seats, carol is parked, root is exempt, dora's login is under way.
  void write_five() {
    old.add(3, Stage::seated, RecordKind::session, "alice", now_ms - 50'000, now_ms - 20'000);
    old.add(4, Stage::seated, RecordKind::session, "bob", now_ms - 50'000, now_ms - 50'000);
    old.add(900, Stage::parked, RecordKind::session, "carol", now_ms - 50'000, now_ms - 40'000);
    old.add(1039, Stage::exempt, RecordKind::exempt, "root", now_ms - 50'000, 0);
    old.add(17, Stage::seated, RecordKind::reservation, "dora", now_ms, now_ms);
    old.add(18, Stage::free, RecordKind::session, "erin", now_ms, now_ms);
    write();
  }
  Result<Registry> open() { return Registry::open_or_create(path, host, kCapacity); }
};

std::map<std::string, Snapshot> sessions_of(Registry& registry) {
  std::map<std::string, Snapshot> sessions;
  registry.for_each([&](const Snapshot& held) {
    const bool is_new = sessions.emplace(text_of(held.record.user), held).second;
    CHECK(is_new);
  });
  return sessions;
}

}  // namespace

TEST_CASE("the sessions of an earlier layout keep ids, seats and activity") {
  Scene scene;
  scene.write_five();
  auto registry = scene.open();
  REQUIRE(registry);
  const auto sessions = sessions_of(*registry);
  CHECK(sessions.size() == 4);
  REQUIRE(sessions.count("alice") == 1);
  const Snapshot& alice = sessions.at("alice");
  CHECK(alice.state.stage == Stage::seated);
  CHECK(alice.record.id == hash128(kKey, "id of alice"));
  CHECK(alice.record.leader_pid == static_cast<std::uint32_t>(self_id().pid));
  CHECK(alice.record.uid == 1000);
  CHECK(text_of(alice.record.service) == "sshd");
  CHECK(text_of(alice.record.host) == "192.0.2.7");
  CHECK(text_of(alice.record.tty) == "pts/1");
  CHECK(alice.last_activity_ms / 1000 == (scene.now_ms - 20'000) / 1000);
  CHECK(registry->is_user_of(alice.record, "alice"));
  CHECK(registry->is_service_of(alice.record, "sshd"));
  CHECK(sessions.at("carol").state.stage == Stage::parked);
  CHECK(sessions.at("root").state.stage == Stage::exempt);
  CHECK(registry->count() == 2);
  CHECK(registry->counter(kHighWater) == 2);
  CHECK(registry->created_realtime_ms() == 1'700'000'000'000);
}

TEST_CASE("carried sessions count against the limit, and give their seats back") {
  Scene scene;
  scene.write_five();
  auto registry = scene.open();
  REQUIRE(registry);
  Login login;
  login.user = "erin";
  login.service = "sshd";
  login.self = login.parent = self_id();
  Terms terms;
  terms.site = {9, 2};
  const SystemProcesses processes;
  CHECK(registry->admit(login, terms, processes).stale_configuration);
  REQUIRE(registry->publish_limit(registry->published_limit(), terms.site));
  CHECK(registry->admit(login, terms, processes).refusal == Refusal::site_full);
  CHECK(registry->release(sessions_of(*registry).at("bob").ref));
  CHECK(registry->admit(login, terms, processes).admitted());
  CHECK(registry->count() == 2);
}

TEST_CASE("a limit that was set and a revocation are carried over") {
  Scene scene;
  scene.old.set_override(3);
  scene.old.add(3, Stage::evicted, RecordKind::session, "alice", scene.now_ms, scene.now_ms);
  scene.old.revoke(3, "maintenance at noon");
  scene.write();
  auto registry = scene.open();
  REQUIRE(registry);
  CHECK(registry->override_limit() == 3);
  const Snapshot alice = sessions_of(*registry).at("alice");
  CHECK(alice.mark == MarkStage::revoked);
  CHECK(reason_of(alice) == "maintenance at noon");
  CHECK(alice.state.stage == Stage::evicted);
  CHECK(registry->count() == 0);
}

TEST_CASE("opening alone carries nothing over, and says what does") {
  Scene scene;
  scene.write_five();
  const auto registry = Registry::open(scene.path, scene.host);
  REQUIRE_FALSE(registry);
  CHECK(registry.error().code == Errc::older_layout);
  CHECK_THAT(registry.error().what, Catch::Contains("purge"));
}

TEST_CASE("more sessions than the configured capacity are carried over all the same") {
  Scene scene;
  for (std::uint32_t i = 0; i < kCapacity; ++i)
    scene.old.add(i, Stage::seated, RecordKind::session, "u" + std::to_string(i), scene.now_ms, 0);
  scene.write();
  auto registry = Registry::open_or_create(scene.path, scene.host, 2);
  REQUIRE(registry);
  CHECK(registry->count() == kCapacity);
  CHECK(registry->capacity() == kCapacity);
}

TEST_CASE("of many processes that come at once each finds every session once") {
  constexpr int kRounds = 20;
  constexpr int kProcesses = 6;
  for (int round = 0; round < kRounds; ++round) {
    Scene scene;
    scene.write_five();
    Pipe start;
    std::vector<Child> children;
    for (int i = 0; i < kProcesses; ++i)
      children.emplace_back([&] {
        start.close_write();
        start.get();
        auto registry = scene.open();
        int sessions = 0;
        if (registry) registry->for_each([&](const Snapshot&) { ++sessions; });
        return registry && registry->count() == 2 ? sessions : -1;
      });
    start.close_write();  // all at once
    for (Child& child : children)
      CHECK(child.wait() == 4);
    // Nothing is left lying beside it.
    CHECK(std::distance(std::filesystem::directory_iterator(scene.dir.path()), {}) == 1);
  }
}

TEST_CASE("what a process left that died before the exchange is in nobody's way") {
  Scene scene;
  scene.write_five();
  scene.dir.write("site.reg.next-" + std::to_string(gettid()), "left over");
  auto registry = scene.open();
  REQUIRE(registry);
  CHECK(registry->count() == 2);
  CHECK(std::distance(std::filesystem::directory_iterator(scene.dir.path()), {}) == 1);
}

TEST_CASE("a damaged file of an earlier layout is an error, and stays as it is") {
  Scene scene;
  scene.old.add(3, Stage::seated, RecordKind::session, "alice", scene.now_ms, 0);
  SECTION("stamp") {
    scene.old.put<char>(offsetof(HeaderImage, capacity), 3);
    scene.write();
    CHECK(scene.open().error().code == Errc::corrupt);
  }
  SECTION("sizes with a good stamp") {
    HeaderImage header = scene.old.header();
    header.slots = 5;
    scene.old.set_header(header);
    scene.write();
    CHECK(scene.open().error().code == Errc::corrupt);
  }
  SECTION("cut short") {
    scene.old.bytes().resize(5000);
    scene.write();
    CHECK(scene.open().error().code == Errc::corrupt);
  }
  CHECK(Registry::open(scene.path, scene.host).error().code != Errc::not_found);
}

TEST_CASE("whatever the slots of an earlier layout say, nothing breaks") {
  Scene scene;
  std::uint64_t word = 88172645463325252;
  for (std::size_t at = kHeader; at + 8 <= scene.old.bytes().size(); at += 8) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    scene.old.put(at, word);
  }
  scene.write();
  auto registry = scene.open();
  REQUIRE(registry);
  CHECK(registry->count() <= registry->capacity());
}

TEST_CASE("a layout of the future is not touched") {
  Scene scene;
  HeaderImage header = scene.old.header();
  header.version = kLayoutVersion + 1;
  scene.old.set_header(header);
  scene.write();
  CHECK(scene.open().error().code == Errc::other_layout);
  // Its sessions would be lost.
  CHECK_THAT(scene.open().error().what, !Catch::Contains("rebuild"));
}
