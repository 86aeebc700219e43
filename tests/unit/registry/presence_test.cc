// Containers that share a directory: one that has ended leaves its registry to the next, and one
// that lives does not.
#include "registry/presence.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/temp_dir.h"
#include "registry/registry.h"

using namespace sessreg;

namespace {

// As two containers see it: their PID namespaces differ, the file is the same.
struct Scene {
  TempDir dir;
  std::string path = dir / "site.reg";
  HostIdentity one = container(11), other = container(12);

  static HostIdentity container(std::uint64_t pid_namespace) {
    HostIdentity host = *host_identity();
    host.pid_namespace = pid_namespace;
    return host;
  }
  // Opens it as a login of `host` does, and goes on living.
  Child login(const HostIdentity& host, Pipe& opened, bool closes_all = false) const {
    Child child([&] {
      {
        const auto registry = Registry::open_or_create(path, host, 8);
        if (!registry) return 1;
      }
      if (closes_all)
        for (int fd = 3; fd < 256; ++fd)
          if (fcntl(fd, F_GETFD) != -1 && !is_pipe(fd)) close(fd);
      opened.put('o');
      pause();
      return 0;
    });
    REQUIRE(opened.get() == 'o');
    return child;
  }
  std::size_t files() const {
    const std::filesystem::directory_iterator all(dir.path());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  Errc error(const HostIdentity& host) const {
    const auto opened = Registry::open(path, host);
    return opened ? Errc::system : opened.error().code;
  }

 private:
  static bool is_pipe(int fd) {
    struct stat st {};
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
  }
};

// As /run is in a container that has no tmpfs there.
struct Overlay {
  TempDir base;
  std::string path = base / "m";

  Overlay() {
    const std::string root = base.path();
    REQUIRE(mount("tmpfs", root.c_str(), "tmpfs", 0, "size=16m,mode=0755") == 0);
    for (const char* name : {"l", "u", "w", "m"})
      REQUIRE(mkdir((root + "/" + name).c_str(), 0755) == 0);
    const std::string options =
        "lowerdir=" + root + "/l,upperdir=" + root + "/u,workdir=" + root + "/w";
    REQUIRE(mount("overlay", path.c_str(), "overlay", 0, options.c_str()) == 0);
  }
  ~Overlay() {
    umount2(path.c_str(), MNT_DETACH);
    umount2(std::string(base.path()).c_str(), MNT_DETACH);
  }
};

std::size_t presence_mappings() {
  std::ifstream in("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(in, line);)
    count += line.find(" ---s ") != std::string::npos;
  return count;
}

}  // namespace

TEST_CASE("the registry of a container that has ended is replaced, and nothing of it stays") {
  const Scene scene;
  Pipe opened;
  Child child = scene.login(scene.one, opened);
  REQUIRE(scene.error(scene.other) == Errc::other_pid_namespace);
  child.kill_and_wait();
  CHECK(scene.error(scene.other) == Errc::other_boot);  // as if there were none
  const auto registry = Registry::open_or_create(scene.path, scene.other, 8);
  REQUIRE(registry);
  CHECK(registry->is_successor());
  CHECK(scene.files() == 1);
  CHECK_FALSE(Registry::open_or_create(scene.path, scene.other, 8)->is_successor());
  CHECK(scene.error(scene.one) == Errc::other_pid_namespace);
}

TEST_CASE("a container of which one process lives keeps its registry, whatever that has closed") {
  const Scene scene;
  Pipe opened;
  const Child child = scene.login(scene.one, opened, true);
  CHECK(scene.error(scene.other) == Errc::other_pid_namespace);
  const auto refused = Registry::open_or_create(scene.path, scene.other, 8);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::other_pid_namespace);
  CHECK_THAT(refused.error().what, Catch::Contains("another container"));
}

TEST_CASE("a container in which only the daemon lives keeps its registry") {
  const Scene scene;
  Pipe opened;
  scene.login(scene.one, opened).kill_and_wait();
  Child daemon([&] {
    Registry::show_presence_at(scene.path, scene.one);
    opened.put('o');
    pause();
    return 0;
  });
  REQUIRE(opened.get() == 'o');
  CHECK(scene.error(scene.other) == Errc::other_pid_namespace);
  daemon.kill_and_wait();
  CHECK(scene.error(scene.other) == Errc::other_boot);
}

TEST_CASE("on overlayfs, where a mapping keeps no lock, a descriptor does", "[.root]") {
  const Overlay overlay;
  Scene scene;
  scene.path = overlay.path + "/site.reg";
  if (const auto made = Registry::open_or_create(scene.path, Scene::container(10), 8); !made) {
    REQUIRE(made.error().code == Errc::unsupported_fs);  // before Linux 6.1
    return;
  }
  unlink(scene.path.c_str());
  Pipe opened;
  Child child = scene.login(scene.one, opened);
  CHECK(scene.error(scene.other) == Errc::other_pid_namespace);
  child.kill_and_wait();
  const auto registry = Registry::open_or_create(scene.path, scene.other, 8);
  REQUIRE(registry);
  CHECK(registry->is_successor());
}

TEST_CASE("a process shows its presence once, however many logins it sees, and not for a child") {
  const Scene scene;
  const std::size_t before = presence_mappings();
  for (int i = 0; i < 5; ++i)
    REQUIRE(Registry::open_or_create(scene.path, scene.one, 8));
  CHECK(presence_mappings() == before + 1);
  Child child([&] { return static_cast<int>(presence_mappings()); });
  CHECK(child.wait() == 0);
}

TEST_CASE(
    "the host's own registry is nobody's to replace, nor one that does not show who is there") {
  Scene scene;
  const std::uint64_t first = 0xeffffffc;
  Pipe opened;
  { Child child = scene.login(Scene::container(first), opened); }
  CHECK(scene.error(scene.other) == Errc::other_pid_namespace);
  CHECK(Registry::open_or_create(scene.path, scene.other, 8).error().code ==
        Errc::other_pid_namespace);
  const std::size_t before = presence_mappings();
  REQUIRE(Registry::open_or_create(scene.path, Scene::container(first), 8));
  CHECK(presence_mappings() == before);
}

TEST_CASE("logins that find a dead container's registry at one instant agree on one file") {
  const Scene scene;
  for (std::uint64_t round = 0; round < 20; ++round) {
    Pipe opened;
    const HostIdentity dead = Scene::container(100 + 2 * round),
                       next = Scene::container(101 + 2 * round);
    scene.login(dead, opened).kill_and_wait();
    Pipe go, ids;
    std::vector<Child> logins;
    for (int i = 0; i < 8; ++i)
      logins.emplace_back([&] {
        go.get();
        auto registry = Registry::open_or_create(scene.path, next, 8);
        if (!registry) return 1;
        registry->publish_limit(registry->published_limit(), {1, 3});
        Login login;
        login.user = "u" + std::to_string(i);
        login.self = self_id();
        const SystemProcesses processes;
        const bool in = registry->admit(login, ConfiguredLimit{1, 3}, processes).admitted();
        ids.put(in ? 'i' : 'o');
        pause();
        return 0;
      });
    for (int i = 0; i < 8; ++i)
      go.put('g');
    int in = 0;
    for (int i = 0; i < 8; ++i)
      in += ids.get() == 'i';
    CHECK(in == 3);
    CHECK(scene.files() == 1);
  }
}
