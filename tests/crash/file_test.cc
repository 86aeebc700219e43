// Creation of the file, and replacing one of another boot, killed and stopped around every system
// call and at a stride in between: a file that has a name is whole, and nothing else is left lying.
#include <sys/stat.h>

#include <memory>

#include "../support/catch.h"
#include "registry_scene.h"

using namespace sessreg;

namespace {

constexpr std::uint32_t kCapacity = 2;
constexpr ConfiguredLimit kLimit{1, -1};

void demand(bool condition, const std::string& what) {
  if (!condition) throw Broken(what);
}

class FileScene {
 public:
  FileScene() : host_(*host_identity()), earlier_(host_), as_others_see_it_(host_) {
    earlier_.boot_id[0] ^= 1;
    // As in a container, some of whose units are shown the kernel's boot id.
    as_others_see_it_.boot_id[0] ^= 2;
  }

  void reset(bool directory, bool stale_file) {
    held_.reset();
    dir_ = std::make_unique<TempDir>();
    stale_file_ = stale_file;
    stale_inode_ = 0;
    if (directory || stale_file) demand(mkdir(directory_path().c_str(), 0755) == 0, "mkdir");
    if (!stale_file) return;
    auto earlier = Registry::open_or_create(path(), earlier_, kCapacity);
    demand(bool{earlier}, "no scene can be made");
    earlier->note_daemon(1, boottime_ms() + 3'600'000);  // later than it is in this boot
    stale_inode_ = inode(path());
  }

  // The child: creates or opens, and takes a seat to tell its file by.
  int open_and_enter() {
    auto registry = Registry::open_or_create(path(), host_, kCapacity);
    if (!registry) return 0;
    registry->publish_limit(registry->published_limit(), kLimit);
    return registry->admit(RegistryScene::login_of({1, 0}, "child"), kLimit, ToldProcesses())
        .admitted();
  }

  // 0: nothing has changed; 1: a stale file has gone; 2: the new file is there.
  int look() {
    std::size_t stale = 0;
    bool there = false;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory_path(), ignored)) {
      const std::string name = entry.path().filename();
      if (name == "site.reg") {
        there = true;
      } else {
        demand(stale_file_ && name.starts_with("site.reg.stale-"), "left lying: " + name);
        demand(inode(entry.path()) == stale_inode_, "the new file was moved aside");
        ++stale;
      }
    }
    demand(stale <= 1, "two files were moved aside");
    if (!there) return stale_file_ ? 1 : 0;
    if (stale_file_ && inode(path()) == stale_inode_) {
      demand(stale == 0, "the stale file has two names");
      return 0;
    }
    const auto registry = Registry::open(path(), host_);
    demand(bool{registry}, "a file with a name is not whole: " +
                               (registry ? std::string() : registry.error().what));
    demand(registry->capacity() == kCapacity, "the capacity is wrong");
    return 2;
  }

  // Another process opens it too, and takes a seat that it keeps.
  void enter() {
    auto registry = Registry::open_or_create(path(), as_others_see_it_, kCapacity);
    demand(bool{registry},
           "the next cannot open: " + (registry ? std::string() : registry.error().what));
    registry->publish_limit(registry->published_limit(), kLimit);
    demand(registry->admit(RegistryScene::login_of(self_id(), "other"), kLimit, ToldProcesses())
               .admitted(),
           "the next is not admitted");
    held_ = std::make_unique<Registry>(std::move(*registry));
    held_inode_ = inode(path());
  }
  // Whoever has it open sees the same file, with everybody's seats in it.
  void demand_one_file(std::uint32_t seats) {
    demand(look() == 2, "there is no registry");
    demand(inode(path()) == held_inode_, "the file was replaced under its user");
    demand(held_->count() == seats, "a seat is missing: not all opened the same file");
  }
  void fill() {
    while (held_->admit(RegistryScene::login_of(self_id(), "more"), kLimit, ToldProcesses())
               .admitted()) {
    }
    demand(held_->count() == kCapacity, "it cannot be filled to its capacity");
  }
  std::uint32_t seats() const { return held_ ? held_->count() : 0; }

 private:
  std::string directory_path() const { return *dir_ / "run"; }
  std::string path() const { return directory_path() + "/site.reg"; }
  static ino_t inode(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
  }

  HostIdentity host_, earlier_, as_others_see_it_;
  std::unique_ptr<TempDir> dir_;
  bool stale_file_ = false;
  ino_t stale_inode_ = 0, held_inode_ = 0;
  std::unique_ptr<Registry> held_;
};

Trial trial_of(FileScene& scene, const char* name, bool directory, bool stale_file) {
  Trial trial;
  trial.name = name;
  trial.complete = 2;
  trial.prepare = [&scene, directory, stale_file] { scene.reset(directory, stale_file); };
  trial.act = [&scene] { return scene.open_and_enter(); };
  trial.look = [&scene](pid_t) { return scene.look(); };
  trial.recover = [&scene](pid_t) {
    if (scene.seats() == 0) scene.enter();
    scene.fill();
    scene.demand_one_file(kCapacity);
  };
  trial.others = {Others::fill};
  trial.work = [&scene](Others, pid_t) { scene.enter(); };
  trial.settle_accounts = [&scene](Others, int result, int) {
    demand(result == 1, "it failed because another was quicker");
    scene.demand_one_file(2);
  };
  return trial;
}

}  // namespace

TEST_CASE("a registry file is whole or has no name, wherever its creator is killed or stopped") {
  FileScene scene;
  for (const Trial& trial : {trial_of(scene, "file: create", true, false),
                             trial_of(scene, "file: create with its directory", false, false),
                             trial_of(scene, "file: replace one of another boot", true, true)}) {
    INFO(trial.name);
    CHECK_NOTHROW(all_tallies().push_back(explore(trial)));
  }
}
