// Which registries are of this boot, whatever boot id a process is shown.
#include "registry/this_boot.h"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/temp_dir.h"
#include "../../support/version2.h"
#include "base/clock.h"
#include "registry/registry.h"
#include "registry/registry_file.h"

using namespace sessreg;

namespace {

constexpr ConfiguredLimit kTwo{1, 2};
constexpr std::uint64_t kHour_ms = 3'600'000;

struct Scene {
  TempDir dir;
  std::string path = dir / "site.reg";
  HostIdentity maker = *host_identity();
  HostIdentity other = maker;  // as a process is that is shown another boot id

  Scene() { other.boot_id[0] ^= 1; }

  Registry make() {
    auto made = Registry::open_or_create(path, maker, 8);
    REQUIRE(made);
    made->publish_limit(made->published_limit(), kTwo);
    return std::move(*made);
  }
  // What shows the boot by its times: as after CLOCK_REALTIME was set, or as in another boot.
  static void set_clock(Registry& registry) {
    registry.note_clock({boottime_ms(), now().realtime_ms - static_cast<std::int64_t>(kHour_ms)});
  }
  bool is_in_memory() const {
    struct statfs fs {};
    return statfs(dir.path().c_str(), &fs) == 0 && fs.f_type == TMPFS_MAGIC;
  }
  Errc error() const {
    const auto opened = Registry::open(path, other);
    return opened ? Errc{} : opened.error().code;
  }
  bool opens() const { return bool{Registry::open(path, other)}; }
};

Login login_of(ProcessId leader) {
  Login login;
  login.user = "alice";
  login.service = "sshd";
  login.self = leader;
  return login;
}

ProcessId id_of(pid_t pid) {
  return {pid, read_process_stat(pid)->start_ticks};
}

int wait_for_signal() {
  pause();
  return 0;
}

}  // namespace

TEST_CASE("two that are shown different boot ids use one registry, also an empty one") {
  Scene scene;
  Registry first = scene.make();
  auto second = Registry::open_or_create(scene.path, scene.other, 8);
  REQUIRE(second);
  const SystemProcesses processes;
  REQUIRE(first.admit(login_of(self_id()), kTwo, processes).admitted());
  REQUIRE(second->admit(login_of(self_id()), kTwo, processes).admitted());
  CHECK_FALSE(first.admit(login_of(self_id()), kTwo, processes).admitted());
  CHECK_FALSE(second->admit(login_of(self_id()), kTwo, processes).admitted());
  CHECK(first.count() == 2);
  CHECK(second->count() == 2);
}

TEST_CASE("a registry with a time that is still to come is of an earlier boot") {
  Scene scene;
  Registry registry = scene.make();
  const Child leader(wait_for_signal);
  REQUIRE(registry.admit(login_of(id_of(leader.pid())), kTwo, SystemProcesses()).admitted());
  registry.note_daemon(1, boottime_ms() + kHour_ms);
  CHECK(scene.error() == Errc::other_boot);
  CHECK(Registry::open(scene.path, scene.maker));
  SECTION("but not if its clock was another one") {
    ++scene.other.time_namespace;
    CHECK(scene.error() == Errc::other_pid_namespace);
  }
}

TEST_CASE("where the clock was set since, a registry is of this boot if one of its makers lives") {
  Scene scene;
  if (scene.is_in_memory()) return;  // then it is in any case
  Registry registry = scene.make();
  Scene::set_clock(registry);
  const SystemProcesses processes;
  CHECK(scene.error() == Errc::other_boot);

  Child leader(wait_for_signal);
  const ProcessId id = id_of(leader.pid());
  SECTION("a session's leader") {
    REQUIRE(registry.admit(login_of(id), kTwo, processes).admitted());
    CHECK(scene.opens());
    leader.kill_and_wait();
    CHECK(scene.error() == Errc::other_boot);
  }
  SECTION("a reservation's maker") {
    REQUIRE(registry.reserve(login_of(id), kTwo, processes, ~0ull).admitted());
    CHECK(scene.opens());
  }
  SECTION("not who has only the pid") {
    REQUIRE(registry.admit(login_of({id.pid, id.start_ticks + 1}), kTwo, processes).admitted());
    CHECK(scene.error() == Errc::other_boot);
  }
  SECTION("not one of whom only the pid is known") {
    REQUIRE(registry.admit(login_of({id.pid, 0}), kTwo, processes).admitted());
    CHECK(scene.error() == Errc::other_boot);
  }
  SECTION("not who asks: the first login after a boot may be the same by chance") {
    REQUIRE(registry.admit(login_of(self_id()), kTwo, processes).admitted());
    CHECK(scene.error() == Errc::other_boot);
  }
  SECTION("not one who cannot be seen") {
    REQUIRE(registry.admit(login_of(id), kTwo, processes).admitted());
    ++scene.other.pid_namespace;
    CHECK(scene.error() == Errc::other_boot);
  }
}

TEST_CASE("another container's registry is not thrown away because its boot id is another") {
  Scene scene;
  scene.make();
  SECTION("PID namespace") {
    ++scene.other.pid_namespace;
  }
  SECTION("time namespace") {
    ++scene.other.time_namespace;
  }
  CHECK(scene.error() == Errc::other_pid_namespace);
  CHECK(Registry::open_or_create(scene.path, scene.other, 8).error().code ==
        Errc::other_pid_namespace);
}

TEST_CASE("an earlier layout's registry is of this boot if one of its makers lives") {
  Scene scene;
  if (scene.is_in_memory()) return;
  version2::Version2 old(scene.maker);
  const Child leader(wait_for_signal);
  const ProcessId id = id_of(leader.pid());
  old.add(3, Stage::seated, RecordKind::session, "alice", boottime_ms(), boottime_ms());
  old.put<std::uint32_t>(version2::Version2::at(3) + 32 + 40, static_cast<std::uint32_t>(id.pid));
  const auto write = [&](std::uint64_t start_ticks) {
    old.put<std::uint64_t>(version2::Version2::at(3) + 32 + 48, start_ticks);
    scene.dir.write("site.reg", old.bytes());
    chmod(scene.path.c_str(), 0600);
  };
  write(id.start_ticks + 1);
  CHECK(scene.error() == Errc::other_boot);
  write(id.start_ticks);
  CHECK(scene.error() == Errc::older_layout);
  auto carried = Registry::open_or_create(scene.path, scene.other, 8);
  REQUIRE(carried);
  CHECK(carried->count() == 1);
}

TEST_CASE("a registry on a tmpfs is of this boot, whatever was done to the clock", "[.root]") {
  Scene scene;
  const std::string mount_point = scene.dir / "run";
  REQUIRE(mkdir(mount_point.c_str(), 0755) == 0);
  REQUIRE(mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "mode=0755") == 0);
  scene.path = mount_point + "/site.reg";
  {
    Registry registry = scene.make();
    Scene::set_clock(registry);
    CHECK(scene.opens());
    registry.note_daemon(1, boottime_ms() + kHour_ms);  // somebody's copy from an earlier boot
    CHECK(scene.error() == Errc::other_boot);
  }
  umount(mount_point.c_str());
}

// As systemd-nspawn does it, and a unit with ProtectKernelTunables= undoes it.
TEST_CASE("a process with a made-up boot id uses the same registry", "[.root]") {
  Scene scene;
  Registry registry = scene.make();
  REQUIRE(registry.admit(login_of(self_id()), kTwo, SystemProcesses()).admitted());
  const std::string fake = scene.dir.write("boot_id", "01234567-89ab-4cde-8f01-23456789abcd\n");
  Child child([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(fake.c_str(), "/proc/sys/kernel/random/boot_id", "", MS_BIND, nullptr) != 0)
      return 77;
    const auto host = host_identity();
    if (!host || host->boot_id == scene.maker.boot_id) return 78;
    auto opened = Registry::open_or_create(scene.path, *host, 8);
    if (!opened || opened->count() != 1) return 1;
    const SystemProcesses processes;
    if (!opened->admit(login_of(self_id()), kTwo, processes).admitted()) return 2;
    return opened->admit(login_of(self_id()), kTwo, processes).admitted() ? 3 : 0;
  });
  CHECK(child.wait() == 0);
  CHECK(registry.count() == 2);
}
