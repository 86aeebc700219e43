// The registry's file is deleted, replaced, opened to others, or cut, while somebody logs in.
#include "registry/registry_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "site.h"

using namespace faults;

namespace {

struct Damage {
  const char* name;
  void (*damage)(const FaultSite& site);
  const char* word;  // of the line in the log; nullptr: the registry can be used
  bool needs_root = false;
};

std::string path_of(const FaultSite& site) {
  return site.registry_path();
}
void put_in_place(const FaultSite& site, const std::string& other) {
  REQUIRE(rename(other.c_str(), path_of(site).c_str()) == 0);
}
void cut_to(const FaultSite& site, off_t bytes) {
  REQUIRE(truncate(path_of(site).c_str(), bytes) == 0);
}
off_t size_of(const FaultSite& site) {
  struct stat status {};
  REQUIRE(stat(path_of(site).c_str(), &status) == 0);
  return status.st_size;
}

const Damage kDamages[] = {
    {"deleted", [](const FaultSite& site) { unlink(path_of(site).c_str()); }, nullptr},
    {"replaced by another valid registry",
     [](const FaultSite& site) {
       const FaultSite other;
       Transaction t(other, "daemon");
       REQUIRE(t.account() == PAM_SUCCESS);
       t.end(PAM_SUCCESS);
       // Over the file system's border.
       std::ifstream from(other.registry_path(), std::ios::binary);
       std::ofstream(site.dir / "other", std::ios::binary) << from.rdbuf();
       chmod((site.dir / "other").c_str(), 0600);
       put_in_place(site, site.dir / "other");
     },
     nullptr},
    {"replaced by garbage",
     [](const FaultSite& site) {
       const std::string garbage = site.dir.write("garbage", std::string(100'000, '\xa5'));
       chmod(garbage.c_str(), 0600);
       put_in_place(site, garbage);
     },
     "is not a session registry"},
    {"replaced by a symbolic link to a registry",
     [](const FaultSite& site) {
       const std::string aside = site.dir / "aside";
       REQUIRE(rename(path_of(site).c_str(), aside.c_str()) == 0);
       REQUIRE(symlink(aside.c_str(), path_of(site).c_str()) == 0);
     },
     "is not a regular file"},
    {"replaced by a directory",
     [](const FaultSite& site) {
       unlink(path_of(site).c_str());
       REQUIRE(mkdir(path_of(site).c_str(), 0700) == 0);
     },
     "is not a regular file"},
    {"replaced by a pipe that nobody reads",
     [](const FaultSite& site) {
       unlink(path_of(site).c_str());
       REQUIRE(mkfifo(path_of(site).c_str(), 0600) == 0);
     },
     "is not a regular file"},
    {"given to another owner",
     [](const FaultSite& site) { REQUIRE(chown(path_of(site).c_str(), 1, 1) == 0); },
     "is not a file of mode 0600", true},
    {"opened to all (0666)", [](const FaultSite& site) { chmod(path_of(site).c_str(), 0666); },
     "is not a file of mode 0600"},
    {"given a second name",
     [](const FaultSite& site) {
       REQUIRE(link(path_of(site).c_str(), (site.dir / "second").c_str()) == 0);
     },
     "is not a file of mode 0600"},
    {"emptied", [](const FaultSite& site) { cut_to(site, 0); }, "is cut short"},
    {"cut in half", [](const FaultSite& site) { cut_to(site, size_of(site) / 2); }, "is cut short"},
    {"cut by one byte", [](const FaultSite& site) { cut_to(site, size_of(site) - 1); },
     "is cut short"},
    {"lengthened", [](const FaultSite& site) { cut_to(site, size_of(site) + 4096); },
     "is damaged (its size)"},
    {"overwritten in its header",
     [](const FaultSite& site) {
       const int fd = open(path_of(site).c_str(), O_WRONLY | O_CLOEXEC);
       REQUIRE(pwrite(fd, "\xff\xff\xff", 3, 24) == 3);
       close(fd);
     },
     "is damaged (its header)"},
};

// One line, that names the file, what is wrong, and the mend.
void check_one_line(const FaultSite& site, const char* word) {
  const auto log = take_log();
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Catch::Contains(path_of(site)) && Catch::Contains(word) &&
                         Catch::Contains("purge --rebuild") && !Catch::Contains("\n"));
}

void try_between_phases(const Damage& damage, const std::string& arguments, int account_code,
                        int open_code) {
  INFO(damage.name << ", arguments: '" << arguments << "'");
  FaultSite site("", arguments);
  Transaction before(site, "daemon"), reserved(site, "games"), live(site, "bin");
  REQUIRE(reserved.account() == PAM_SUCCESS);
  REQUIRE(live.open_session() == PAM_SUCCESS);
  take_log();
  damage.damage(site);

  if (damage.word == nullptr) {
    CHECK(reserved.open_session() == PAM_SUCCESS);
    CHECK(before.account() == PAM_SUCCESS);
    CHECK(site.seats() == 2);  // the file is new: what it was before is not known
    CHECK(live.close_session() == PAM_SUCCESS);
    CHECK(site.seats() == 2);  // and nobody else's seat was given back
    before.end(PAM_SUCCESS);
    CHECK(reserved.close_session() == PAM_SUCCESS);
  } else {
    CHECK(before.account() == account_code);
    check_one_line(site, damage.word);
    CHECK(reserved.open_session() == open_code);
    check_one_line(site, damage.word);
    CHECK(live.close_session() == PAM_SUCCESS);
    check_one_line(site, damage.word);
    Transaction root(site, "root");
    CHECK(root.account() == PAM_SUCCESS);
    CHECK(root.open_session() == PAM_SUCCESS);
    CHECK(root.close_session() == PAM_SUCCESS);
    before.end(PAM_SUCCESS);
    reserved.end(PAM_SUCCESS);
    std::string aside;
    REQUIRE(sessreg::rebuild_registry_file(path_of(site), *sessreg::host_identity(), 50, &aside));
    CHECK_FALSE(aside.empty());
  }
  take_log();
  check_that_logins_work(site);
  CHECK(take_log() == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("a registry that cannot be used between two phases: one line, and on_error decides") {
  for (const Damage& damage : kDamages) {
    if (damage.needs_root && geteuid() != 0) continue;
    try_between_phases(damage, "", PAM_SYSTEM_ERR, PAM_SYSTEM_ERR);
    try_between_phases(damage, "on_error=allow", kIgnored, PAM_SUCCESS);
  }
}

TEST_CASE("a mode that is put right again: everybody still has the seat that was taken before") {
  for (const mode_t mode : {0666U, 0640U, 0000U}) {
    FaultSite site;
    Transaction reserved(site, "daemon"), live(site, "bin");
    REQUIRE(reserved.account() == PAM_SUCCESS);
    REQUIRE(live.open_session() == PAM_SUCCESS);
    chmod(site.registry_path().c_str(), mode);
    // 0000 keeps nobody out who is root, and others are not root.
    Transaction other(site, "daemon");
    const int code = other.account();
    if (mode != 0000U) CHECK(code == PAM_SYSTEM_ERR);
    CHECK(live.close_session() == PAM_SUCCESS);
    chmod(site.registry_path().c_str(), 0600);
    other.end(PAM_SUCCESS);
    CHECK(reserved.open_session() == PAM_SUCCESS);
    CHECK(live.close_session() == PAM_SUCCESS);  // again, and with success
    CHECK(site.seats() == 1);
    CHECK(reserved.close_session() == PAM_SUCCESS);
    CHECK(site.slots_in_use() == 0);
  }
}

TEST_CASE("a reservation that could not be given back runs out by itself") {
  FaultSite site;
  {
    Transaction reserved(site, "daemon");
    REQUIRE(reserved.account() == PAM_SUCCESS);
    chmod(site.registry_path().c_str(), 0666);
  }
  chmod(site.registry_path().c_str(), 0600);
  CHECK(site.seats() == 1);
  site.reap(131'000);  // reservation_time is 130 s
  CHECK(site.slots_in_use() == 0);
  check_that_logins_work(site);
}
