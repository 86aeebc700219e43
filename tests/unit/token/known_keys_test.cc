#include "token/known_keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "../../support/catch.h"
#include "../../support/temp_dir.h"
#include "base/clock.h"
#include "token/token_key.h"

using namespace sessreg;

namespace {

struct Fixture {
  TempDir dir;
  std::string key_path = dir / "lab.key";
  std::string pub_path = dir / "lab.pub";
  std::int64_t now_s = now().realtime_ms / 1000;
  KnownKeys known;

  Fixture() { REQUIRE(load_or_make_key(key_path)); }
  std::vector<PublicKey> keys() {
    const auto found = known.of(pub_path, now_s);
    REQUIRE(found);
    return {found->begin(), found->end()};
  }
  std::vector<PublicKey> written() const {
    std::vector<PublicKey> all;
    const auto read = read_public_keys(pub_path);
    REQUIRE(read);
    for (const SitePublicKey& each : *read)
      all.push_back(each.key);
    return all;
  }
  // Another each time that they are read.
  const PublicKey* list() {
    const auto found = known.of(pub_path, now_s);
    REQUIRE(found);
    return found->data();
  }
};

}  // namespace

TEST_CASE("public keys are read once, as long as their file stays as it is") {
  Fixture f;
  f.now_s += 60;
  CHECK(f.keys() == f.written());
  const PublicKey* const first = f.list();
  CHECK(f.list() == first);
  REQUIRE(rotate_key(f.key_path, f.now_s));
  f.now_s += 60;
  const PublicKey* const second = f.list();
  CHECK(second != first);
  CHECK(f.list() == second);
}

TEST_CASE("a replaced or changed file of public keys is seen at the next use") {
  Fixture f;
  f.now_s += 60;
  const auto before = f.keys();
  SECTION("by a rotation") {
    REQUIRE(rotate_key(f.key_path, f.now_s));
    CHECK(f.keys().size() == 2);
  }
  SECTION("by another file with the same size and time") {
    struct stat status {};
    REQUIRE(stat(f.pub_path.c_str(), &status) == 0);
    const std::string other = f.dir / "other.key", its_pub = f.dir / "other.pub";
    REQUIRE(load_or_make_key(other));
    const timespec times[] = {status.st_atim, status.st_mtim};
    REQUIRE(utimensat(AT_FDCWD, its_pub.c_str(), times, 0) == 0);
    REQUIRE(rename(its_pub.c_str(), f.pub_path.c_str()) == 0);
  }
  SECTION("in place, with its time set back") {
    struct stat status {};
    REQUIRE(stat(f.pub_path.c_str(), &status) == 0);
    const std::string other = f.dir / "other.key";
    REQUIRE(load_or_make_key(other));
    std::ifstream in(f.dir / "other.pub");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    // Within the tick in which the file was made its time may stay the same.
    struct stat changed = status;
    while (changed.st_ctim.tv_nsec == status.st_ctim.tv_nsec) {
      std::ofstream(f.pub_path) << text;
      const timespec times[] = {status.st_atim, status.st_mtim};
      REQUIRE(utimensat(AT_FDCWD, f.pub_path.c_str(), times, 0) == 0);
      REQUIRE(stat(f.pub_path.c_str(), &changed) == 0);
    }
  }
  CHECK(f.keys() == f.written());
  CHECK(f.keys() != before);
}

TEST_CASE("public keys that were written just now are not trusted to stay the same") {
  Fixture f;
  const PublicKey* const first = f.list();
  CHECK(f.list() != first);
  SECTION("nor are those of a time that is yet to come") {
    f.now_s -= 3600;
    const PublicKey* const early = f.list();
    CHECK(f.list() != early);
  }
}

TEST_CASE("public keys that others can write are refused, though they were good before") {
  Fixture f;
  f.now_s += 60;
  REQUIRE(f.known.of(f.pub_path, f.now_s));
  Errc expected = Errc::insecure_file;
  SECTION("by the mode") {
    REQUIRE(chmod(f.pub_path.c_str(), 0666) == 0);
  }
  SECTION("by the directory's mode") {
    REQUIRE(chmod(f.dir.path().c_str(), 0777) == 0);
  }
  SECTION("by a second name") {
    REQUIRE(link(f.pub_path.c_str(), (f.dir / "b").c_str()) == 0);
  }
  SECTION("a link") {
    REQUIRE(rename(f.pub_path.c_str(), (f.dir / "real").c_str()) == 0);
    REQUIRE(symlink("real", f.pub_path.c_str()) == 0);
  }
  SECTION("none at all") {
    REQUIRE(unlink(f.pub_path.c_str()) == 0);
    expected = Errc::not_found;
  }
  SECTION("no keys") {
    std::ofstream(f.pub_path) << "nonsense\n";
    expected = Errc::bad_key;
  }
  for (int i = 0; i < 2; ++i)
    CHECK(f.known.of(f.pub_path, f.now_s).error().code == expected);
}
