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
#include "base/fd.h"
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

TEST_CASE("a registry of version 3 is carried over whole") {
  Scene scene;
  const SystemProcesses processes;
  const auto login = [](const char* user, const char* service) {
    Login from;
    from.user = user;
    from.uid = 1000;
    from.service = service;
    from.host = "192.0.2.7";
    from.tty = "pts/1";
    from.self = from.parent = self_id();
    return from;
  };
  Terms terms(ConfiguredLimit{5, 7});
  Admission alice, bob, carol, root;
  {
    auto registry = Registry::open_or_create(scene.path, scene.host, kCapacity);
    REQUIRE(registry);
    registry->publish_limit(registry->published_limit(), terms.site);
    registry->group_index("others", 9);
    terms.groups = {{*registry->group_index("staff", 2), 2}};
    terms.user_limit = 3;
    terms.ttl_s = 600;
    alice = registry->admit(login("alice", "sshd"), terms, processes);
    bob = registry->admit(login("bob", "web"), terms, processes);
    terms.groups.clear();
    carol = registry->admit(login("carol", "sshd"), terms, processes);
    REQUIRE(registry->list_exempt(login("root", "sshd"), root));
    REQUIRE(registry->touch(alice.ref, now().boottime_ms, UseIsTold::yes));
    REQUIRE(registry->mark_revoked(bob.ref, "by bob", 7, MarkStage::revoked_by_its_user));
    registry->reserve(login("dora", "sshd"), terms, processes, ~0ull);
    registry->set_override(4);
  }
  {
    const Fd fd(open(scene.path.c_str(), O_RDWR | O_CLOEXEC));
    HeaderImage header{};
    REQUIRE(pread(fd.get(), &header, sizeof header, 0) == sizeof header);
    header.version = 3;
    scene.old.set_header(header);
    header = scene.old.header();
    REQUIRE(pwrite(fd.get(), &header, sizeof header, 0) == sizeof header);
  }
  CHECK(Registry::open(scene.path, scene.host).error().code == Errc::older_layout);
  auto registry = scene.open();
  REQUIRE(registry);
  const auto sessions = sessions_of(*registry);
  CHECK(sessions.size() == 4);
  CHECK(registry->count() == 3);
  CHECK(registry->override_limit() == 4);
  REQUIRE(sessions.contains("alice"));
  const Snapshot& of_alice = sessions.at("alice");
  CHECK(of_alice.record.id == alice.id);
  CHECK(of_alice.record.ttl_s == 600);
  CHECK(of_alice.record.user_limit == 3);
  CHECK(of_alice.use_is_told);
  CHECK(leader_of(of_alice.record) == self_id());
  CHECK(text_of(of_alice.record.host) == "192.0.2.7");
  CHECK(registry->is_user_of(of_alice.record, "alice"));
  const Snapshot& of_bob = sessions.at("bob");
  CHECK(of_bob.mark == MarkStage::revoked_by_its_user);
  CHECK(reason_of(of_bob) == "by bob");
  CHECK(of_bob.grace_s == 7);
  CHECK_FALSE(of_bob.use_is_told);
  CHECK(sessions.at("root").state.stage == Stage::exempt);
  // Those of the group fill it still.
  registry->publish_limit(registry->published_limit(), {6, -1});
  registry->set_override(std::nullopt);
  Terms staff(ConfiguredLimit{6, -1});
  staff.groups = {{*registry->group_index("staff", 2), 2}};
  CHECK(registry->admit(login("erin", "sshd"), staff, processes).refusal == Refusal::group_full);
  staff.groups = {{*registry->group_index("others", 9), 9}};
  CHECK(registry->admit(login("erin", "sshd"), staff, processes).admitted());
}

TEST_CASE("whatever stands in a registry of version 3, nothing breaks") {
  Scene scene;
  { REQUIRE(Registry::open_or_create(scene.path, scene.host, kCapacity)); }
  const Fd fd(open(scene.path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat st {};
  REQUIRE(fstat(fd.get(), &st) == 0);
  HeaderImage header{};
  REQUIRE(pread(fd.get(), &header, sizeof header, 0) == sizeof header);
  std::vector<std::uint64_t> words(static_cast<std::size_t>(st.st_size) / 8);
  std::uint64_t word = 88172645463325252;
  for (std::uint64_t& each : words) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    each = word;
  }
  header.version = 3;
  bool is_usable = true;
  SECTION("with good sizes") {}
  SECTION("with a capacity of nothing") {
    header.capacity = 0;
    is_usable = false;
  }
  SECTION("with other slots than the capacity has") {
    ++header.slots;
    is_usable = false;
  }
  scene.old.set_header(header);
  const HeaderImage good = scene.old.header();
  std::memcpy(words.data(), &good, sizeof good);
  REQUIRE(pwrite(fd.get(), words.data(), words.size() * 8, 0) == st.st_size);
  auto registry = scene.open();
  REQUIRE(static_cast<bool>(registry) == is_usable);
  if (is_usable)
    CHECK(registry->count() <= registry->capacity());
  else
    CHECK(registry.error().code == Errc::corrupt);
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
