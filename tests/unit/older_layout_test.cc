// Registries of earlier versions, written here byte by byte as those versions did.
#include "older_layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include "../support/child.h"
#include "../support/temp_dir.h"
#include "clock.h"
#include "hash.h"
#include "registry.h"

using namespace sessreg;

namespace {

constexpr std::uint32_t kCapacity = 16;
constexpr std::uint32_t kSlots = kCapacity + 1024;
constexpr std::size_t kHeader = 2048;
constexpr std::size_t kSlot = 384;
constexpr HashKey kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// A file of version 2 in memory. Offsets are of its slots' and records' fields.
class Version2 {
 public:
  explicit Version2(const HostIdentity& host) : bytes_(kHeader + kSlots * kSlot, '\0') {
    HeaderImage header{};
    header.magic = kMagic;
    header.version = 2;
    header.header_bytes = kHeader;
    header.slot_bytes = kSlot;
    header.slots = kSlots;
    header.capacity = kCapacity;
    header.boot_id = host.boot_id;
    header.pid_namespace = host.pid_namespace;
    header.time_namespace = host.time_namespace;
    header.created_realtime_ms = 1'700'000'000'000;
    header.hash_key = kKey;
    set_header(header);
  }

  HeaderImage header() const {
    HeaderImage header{};
    std::memcpy(&header, bytes_.data(), sizeof header);
    return header;
  }
  void set_header(HeaderImage header) {
    constexpr HashKey kStampKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                   'h', 'e', 'a', 'd', 'e', 'r', ' ', '1'};
    header.stamp =
        hash64(kStampKey, {reinterpret_cast<const char*>(&header), offsetof(HeaderImage, stamp)});
    std::memcpy(bytes_.data(), &header, sizeof header);
  }

  template <class T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  }
  void put_text(std::size_t offset, std::string_view text) {
    text.copy(bytes_.data() + offset, text.size());
  }
  static std::size_t at(std::uint32_t slot) { return kHeader + slot * kSlot; }

  void add(std::uint32_t slot, Stage stage, RecordKind kind, const std::string& user,
           std::uint64_t opened_ms, std::uint64_t used_ms) {
    const std::size_t state = at(slot), record = state + 32;
    const std::uint64_t epoch = 7;
    put<std::uint64_t>(state, 1 << 3 | static_cast<std::uint64_t>(stage));
    put<std::uint64_t>(state + 16, epoch << 32 | used_ms / 100);
    put<std::uint64_t>(state + 24, epoch << 32);
    put(record, hash128(kKey, "id of " + user));
    put(record + 16, hash128(kKey, user));
    put<std::uint32_t>(record + 32, 1000);
    put(record + 36, kind);
    put<std::uint32_t>(record + 40, static_cast<std::uint32_t>(self_id().pid));
    put<std::uint64_t>(record + 48, self_id().start_ticks);
    put<std::uint64_t>(record + 64, opened_ms);
    put<std::int64_t>(record + 72, now().realtime_ms - 60'000);
    put<std::uint64_t>(record + 88, hash64(kKey, "sshd"));
    put<std::uint32_t>(record + 104, static_cast<std::uint32_t>(epoch));
    put_text(record + 136, user);
    put_text(record + 176, "sshd");
    put_text(record + 208, "192.0.2.7");
    put_text(record + 264, "pts/1");
  }
  void revoke(std::uint32_t slot, std::string_view reason) {
    put<std::uint64_t>(at(slot) + 24, std::uint64_t{7} << 32 | 2);
    put_text(at(slot) + 320, reason);
  }
  void set_override(std::uint32_t limit) {
    put<std::uint64_t>(336, std::uint64_t{1} << 32 | limit);
  }

  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

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
}
