#include "registry/registry_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/exercise.h"
#include "../../support/mappings.h"
#include "../../support/temp_dir.h"
#include "registry/registry.h"

using namespace sessreg;

namespace {

struct Fixture {
  TempDir dir;
  HostIdentity host = *host_identity();
  std::string path = dir / "site.reg";

  void create(std::uint32_t capacity = 8) {
    REQUIRE(open_or_create_registry_file(path, host, capacity));
  }
  Errc open_error() {
    auto opened = open_registry_file(path, host);
    REQUIRE_FALSE(opened);
    const Error& error = opened.error();
    CHECK(error.what.find(path.substr(0, path.rfind('/'))) != std::string::npos);
    CHECK(error.what.find('\n') == std::string::npos);
    // Never repaired in silence: somebody may have it mapped.
    if (error.code != Errc::not_found && error.code != Errc::other_boot)
      CHECK(open_or_create_registry_file(path, host, 8).error().code == error.code);
    return error.code;
  }
  // As if the host had been started anew since: somebody was there later than it is now.
  void reboot() {
    Registry::open(path, host)->note_daemon(1, boottime_ms() + 3'600'000);
    host.boot_id[0] ^= 1;
  }
  void poke(std::size_t offset, char value) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset)).put(value);
  }
};

int descriptors() {
  int n = 0;
  for (int fd = 0; fd < 256; ++fd)
    n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

}  // namespace

TEST_CASE("a registry is made on first use, 0600 in a directory of 0755, and then found") {
  Fixture f;
  f.path = f.dir / "sub/site.reg";
  CHECK(f.open_error() == Errc::not_found);
  const mode_t mask = umask(0277);
  f.create();
  umask(mask);
  struct stat st {};
  REQUIRE(stat(f.path.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  CHECK(static_cast<std::uint64_t>(st.st_size) == kSlotsOffset + slots_for(8) * kSlotBytes);
  REQUIRE(stat((f.dir / "sub").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0755);
  const auto again = open_registry_file(f.path, f.host);
  REQUIRE(again);
  CHECK(again->header().capacity == 8);
}

TEST_CASE("each way in which a file is not a good registry has an error of its own") {
  Fixture f;
  SECTION("foreign bytes") {
    f.dir.write("site.reg", std::string(5000, 'x'));
    chmod(f.path.c_str(), 0600);
    CHECK(f.open_error() == Errc::foreign_file);
  }
  SECTION("empty") {
    f.dir.write("site.reg", "");
    chmod(f.path.c_str(), 0600);
    CHECK(f.open_error() == Errc::truncated);
  }
  SECTION("a version that the stamp does not bear out") {
    f.create();
    f.poke(offsetof(HeaderImage, version), 99);
    CHECK(f.open_error() == Errc::corrupt);
  }
  SECTION("a damaged header") {
    f.create();
    f.poke(offsetof(HeaderImage, capacity), 9);
    CHECK(f.open_error() == Errc::corrupt);
  }
  SECTION("truncated") {
    f.create();
    REQUIRE(truncate(f.path.c_str(), 4096) == 0);
    CHECK(f.open_error() == Errc::truncated);
  }
  SECTION("too long") {
    f.create();
    REQUIRE(truncate(f.path.c_str(), 10'000'000) == 0);
    CHECK(f.open_error() == Errc::corrupt);
  }
  SECTION("readable by others") {
    f.create();
    chmod(f.path.c_str(), 0640);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("a second link") {
    f.create();
    REQUIRE(link(f.path.c_str(), (f.dir / "other").c_str()) == 0);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("a symbolic link") {
    f.create();
    REQUIRE(rename(f.path.c_str(), (f.dir / "real").c_str()) == 0);
    REQUIRE(symlink((f.dir / "real").c_str(), f.path.c_str()) == 0);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("a directory") {
    REQUIRE(mkdir(f.path.c_str(), 0700) == 0);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("a FIFO does not hang") {
    REQUIRE(mkfifo(f.path.c_str(), 0600) == 0);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("a directory that others may write") {
    f.create();
    chmod(f.dir.path().c_str(), 0777);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("another owner") {
    if (geteuid() != 0) return;
    f.create();
    REQUIRE(chown(f.path.c_str(), 65534, 65534) == 0);
    CHECK(f.open_error() == Errc::insecure_file);
  }
  SECTION("another PID namespace") {
    f.create();
    ++f.host.pid_namespace;
    CHECK(f.open_error() == Errc::other_pid_namespace);
  }
  SECTION("another boot") {
    f.create();
    f.reboot();
    CHECK(f.open_error() == Errc::other_boot);
  }
}

TEST_CASE("no rights is an error of its own", "[.root]") {
  Fixture f;
  f.create();
  Child child([&] {
    if (setegid(65534) != 0 || seteuid(65534) != 0) return 99;
    return open_registry_file(f.path, f.host).error().code == Errc::permission_denied ? 0 : 1;
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("a full file system is an error at creation, and leaves nothing behind", "[.root]") {
  TempDir dir;
  const std::string mount_point = dir / "small";
  REQUIRE(mkdir(mount_point.c_str(), 0755) == 0);
  REQUIRE(mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=64k,mode=0755") == 0);
  const auto created =
      open_or_create_registry_file(mount_point + "/site.reg", *host_identity(), 4096);
  const bool left_file = access((mount_point + "/site.reg").c_str(), F_OK) == 0;
  umount(mount_point.c_str());
  REQUIRE_FALSE(created);
  CHECK(created.error().code == Errc::no_space);
  CHECK_FALSE(left_file);
}

TEST_CASE("a registry of another boot is replaced once, however many find it") {
  Fixture f;
  f.create(8);
  f.reboot();
  std::vector<std::thread> threads;
  std::atomic<int> admitted{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto registry = Registry::open_or_create(f.path, f.host, 64);
      Login login;
      login.user = "a";
      login.self = self_id();
      registry->publish_limit(registry->published_limit(), {1, -1});
      if (registry->admit(login, ConfiguredLimit{1, -1}, SystemProcesses()).admitted()) ++admitted;
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(admitted == 8);
  // All of them are in the one file that has the name.
  auto registry = Registry::open(f.path, f.host);
  REQUIRE(registry);
  CHECK(registry->capacity() == 64);
  CHECK(registry->count() == 8);
}

TEST_CASE("a process that saw the old file does not move its successor aside") {
  Fixture f;
  f.create();
  std::string aside;
  // Usable: stays.
  REQUIRE(rebuild_registry_file(f.path, f.host, 8, &aside));
  CHECK(aside.empty());
  REQUIRE(truncate(f.path.c_str(), 100) == 0);
  REQUIRE(rebuild_registry_file(f.path, f.host, 16, &aside));
  CHECK_FALSE(aside.empty());
  CHECK(access(aside.c_str(), F_OK) == 0);
  const auto now_there = open_registry_file(f.path, f.host);
  REQUIRE(now_there);
  CHECK(now_there->header().capacity == 16);
}

TEST_CASE("creators at one instant agree on one file") {
  for (int round = 0; round < 20; ++round) {
    Fixture f;
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        auto registry = Registry::open_or_create(f.path, f.host, 8);
        if (!registry) return;
        registry->publish_limit(registry->published_limit(), {1, -1});
        Login login;
        login.user = "a";
        login.self = self_id();
        if (registry->admit(login, ConfiguredLimit{1, -1}, SystemProcesses()).admitted()) ++good;
      });
    }
    for (auto& thread : threads)
      thread.join();
    CHECK(good == 8);
    CHECK(Registry::open(f.path, f.host)->count() == 8);
  }
}

TEST_CASE("nothing stays open or mapped after a registry object has gone") {
  Fixture f;
  f.create();
  const int before = descriptors();
  { auto registry = Registry::open(f.path, f.host); }
  CHECK(descriptors() == before);
  CHECK(mappings_of().find(f.dir.path()) == std::string::npos);
}

TEST_CASE("every truncation and every flipped byte is an error or a working registry") {
  Fixture f;
  f.create(2);
  std::ifstream in(f.path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  const auto try_out = [&](const std::string& bytes) {
    f.dir.write("site.reg", bytes);
    chmod(f.path.c_str(), 0600);
    exercise_registry(f.path, f.host);
  };
  for (const std::size_t size : {0ul, 1ul, 95ul, 96ul, 1023ul, 1024ul, 1025ul, good.size() - 1})
    try_out(good.substr(0, size));
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < 1536; ++i)
    places.push_back(i);
  // One byte of each word of a slot in use, and of the failures.
  for (std::size_t i = 0; i < kSlotBytes; i += 8)
    places.push_back(kSlotsOffset + i + i / 8 % 8);
  for (std::size_t i = 0; i < 512; i += 8)
    places.push_back(kFailuresOffset + i + i / 8 % 8);
  for (const std::size_t place : places) {
    std::string bytes = good;
    bytes[place] = static_cast<char>(~bytes[place]);
    try_out(bytes);
  }
}
