#include "token/token_key.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sodium/utils.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/memory_search.h"
#include "../../support/temp_dir.h"
#include "base/fd.h"
#include "token/key_files.h"
#include "token/token_verify.h"

using namespace sessreg;

namespace {

constexpr std::int64_t kNow_s = 1'800'000'000;

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.insert(entry.path().filename().string());
  return names;
}

struct Fixture {
  TempDir dir;
  std::string key_path = dir / "lab.key";
  std::string pub_path = dir / "lab.pub";

  SigningKey made() {
    auto key = load_or_make_key(key_path);
    REQUIRE(key);
    return std::move(*key);
  }
  std::vector<SitePublicKey> known() {
    const auto keys = read_public_keys(pub_path);
    REQUIRE(keys);
    return *keys;
  }
  std::vector<PublicKey> known_keys() {
    std::vector<PublicKey> keys;
    for (const SitePublicKey& each : known())
      keys.push_back(each.key);
    return keys;
  }
  // What every way to a key says of what lies there; it must be left as it is.
  Error load_error() {
    const auto loaded = load_or_make_key(key_path);
    REQUIRE_FALSE(loaded);
    const Error& error = loaded.error();
    CHECK(error.what.find(dir.path()) != std::string::npos);
    CHECK(error.what.find('\n') == std::string::npos);
    CHECK(load_key(key_path).error().code == error.code);
    CHECK(rotate_key(key_path, kNow_s).error().code == error.code);
    return error;
  }
  void write_key(std::string_view text, mode_t mode = 0600) {
    dir.write("lab.key", text);
    chmod(key_path.c_str(), mode);
  }
};

std::string issue(const SigningKey& key) {
  const auto token = issue_token(key, {"lab", "alice", {}, kNow_s, kNow_s + 1000, 1});
  REQUIRE(token);
  return *token;
}

bool verifies(const std::string& token, const std::vector<PublicKey>& keys) {
  return static_cast<bool>(verify_token(token, keys, "lab", kNow_s));
}

int descriptors() {
  int n = 0;
  for (int fd = 0; fd < 256; ++fd)
    n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

}  // namespace

TEST_CASE("a key is made on first use, 0600 beside a public one of 0644, and then found") {
  Fixture f;
  f.key_path = f.dir / "sub/lab.key";
  f.pub_path = f.dir / "sub/lab.pub";
  const mode_t mask = umask(0277);
  const SigningKey first = f.made();
  umask(mask);
  CHECK(mode_of(f.key_path) == 0600);
  CHECK(mode_of(f.pub_path) == 0644);
  CHECK(mode_of(f.dir / "sub") == 0755);
  CHECK(names_in(f.dir / "sub") == std::set<std::string>{"lab.key", "lab.pub"});
  CHECK(content_of(f.pub_path) == to_paserk(first.public_key()) + "\n");
  const std::string content = content_of(f.key_path);
  CHECK_THAT(content, Catch::StartsWith("k4.secret.") && Catch::EndsWith("\n"));
  CHECK(content.size() == kSecretPaserkChars + 1);
  const SigningKey again = f.made();
  CHECK(again.id() == first.id());
  CHECK(verifies(issue(again), f.known_keys()));
  CHECK(content_of(f.key_path) == content);
}

TEST_CASE("two keys are never the same") {
  Fixture a, b;
  CHECK(a.made().id() != b.made().id());
}

TEST_CASE("the public key's file is named after the key's") {
  CHECK(public_key_path("/v/site.key") == "/v/site.pub");
  CHECK(public_key_path("/v/site") == "/v/site.pub");
  CHECK(public_key_path("/v/site.keys") == "/v/site.keys.pub");
  CHECK(public_key_path("/v.key/site") == "/v.key/site.pub");
}

TEST_CASE("a public key that is missing is made anew, and one that is there is left alone") {
  Fixture f;
  const SigningKey key = f.made();
  REQUIRE(unlink(f.pub_path.c_str()) == 0);
  f.made();
  CHECK(f.known_keys() == std::vector{key.public_key()});
  const std::string edited = "# ours\n" + content_of(f.pub_path);
  f.dir.write("lab.pub", edited);
  f.made();
  CHECK(content_of(f.pub_path) == edited);
}

TEST_CASE("making a key never touches one that is there") {
  Fixture f;
  REQUIRE(make_key(f.key_path));
  const std::string content = content_of(f.key_path);
  const auto second = make_key(f.key_path);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::already_exists);
  CHECK(content_of(f.key_path) == content);
  // Whatever it is that has the name.
  REQUIRE(unlink(f.key_path.c_str()) == 0);
  REQUIRE(symlink((f.dir / "elsewhere").c_str(), f.key_path.c_str()) == 0);
  CHECK(make_key(f.key_path).error().code == Errc::already_exists);
  CHECK(access((f.dir / "elsewhere").c_str(), F_OK) != 0);
}

TEST_CASE("a file that could be somebody else's key is refused") {
  Fixture f;
  f.made();
  SECTION("read by its group") {
    chmod(f.key_path.c_str(), 0640);
    CHECK_THAT(f.load_error().what, Catch::Contains("chmod 600"));
  }
  SECTION("written by others") {
    chmod(f.key_path.c_str(), 0602);
  }
  SECTION("a second name") {
    REQUIRE(link(f.key_path.c_str(), (f.dir / "x").c_str()) == 0);
  }
  SECTION("a symbolic link") {
    REQUIRE(rename(f.key_path.c_str(), (f.dir / "real").c_str()) == 0);
    REQUIRE(symlink("real", f.key_path.c_str()) == 0);
  }
  SECTION("a link that leads nowhere") {
    REQUIRE(unlink(f.key_path.c_str()) == 0);
    REQUIRE(symlink("nowhere", f.key_path.c_str()) == 0);
  }
  SECTION("a directory") {
    REQUIRE(unlink(f.key_path.c_str()) == 0);
    REQUIRE(mkdir(f.key_path.c_str(), 0700) == 0);
  }
  SECTION("a FIFO does not hang") {
    REQUIRE(unlink(f.key_path.c_str()) == 0);
    REQUIRE(mkfifo(f.key_path.c_str(), 0600) == 0);
  }
  SECTION("another owner") {
    if (geteuid() != 0) return;
    REQUIRE(chown(f.key_path.c_str(), 65534, 65534) == 0);
    CHECK_THAT(f.load_error().what, Catch::Contains("owned by uid 65534"));
  }
  SECTION("a directory that others may write") {
    chmod(f.dir.path().c_str(), 0757);
  }
  SECTION("a directory that its group may write") {
    chmod(f.dir.path().c_str(), 0775);
  }
  SECTION("another's directory") {
    if (geteuid() != 0) return;
    REQUIRE(chown(f.dir.path().c_str(), 65534, 65534) == 0);
  }
  const int before = descriptors();
  CHECK(f.load_error().code == Errc::insecure_file);
  CHECK(descriptors() == before);
}

TEST_CASE("a file that holds no whole key is refused, and not replaced") {
  Fixture f;
  f.made();
  const std::string good = content_of(f.key_path);
  const std::string bare = good.substr(0, good.size() - 1);
  f.write_key(bare);
  CHECK(load_key(f.key_path));
  std::vector<std::string> bad{"",
                               "\n",
                               "k4.secret.",
                               bare.substr(1),
                               bare.substr(0, 95),
                               good + "\n",
                               good + good,
                               " " + bare,
                               bare + "\r",
                               "# key\n" + good,
                               std::string(100'000, 'A'),
                               std::string(97, '\0'),
                               content_of(f.pub_path)};
  for (std::size_t at : {0u, 3u, 9u, 10u, 40u, 70u, 95u}) {
    bad.push_back(bare);
    bad.back()[at] = bad.back()[at] == 'B' ? 'C' : 'B';
  }
  for (const std::string& text : bad) {
    INFO(text.substr(0, 120));
    f.write_key(text);
    CHECK(f.load_error().code == Errc::bad_key);
    CHECK(content_of(f.key_path) == text);
  }
}

TEST_CASE("a place that cannot be is an error that says what is missing") {
  Fixture f;
  f.key_path = f.dir / "no/such/lab.key";
  const auto made = load_or_make_key(f.key_path);
  REQUIRE_FALSE(made);
  CHECK_THAT(made.error().what, Catch::Contains("make that first"));
  CHECK(load_key(f.key_path).error().code == Errc::not_found);
  CHECK(rotate_key(f.key_path, kNow_s).error().code == Errc::not_found);
  CHECK(names_in(f.dir.path()).empty());
  CHECK(load_or_make_key(f.dir / "").error().code == Errc::not_found);
  f.dir.write("file", "");
  CHECK_FALSE(load_or_make_key(f.dir / "file/lab.key"));
  CHECK_FALSE(load_or_make_key(f.dir / (std::string(300, 'x') + ".key")));
  // What is shown cannot drive a terminal.
  CHECK_THAT(load_key(f.dir / "a\x1b[2J.key").error().what, !Catch::Contains("\x1b"));
}

TEST_CASE("makers at one instant agree on one key") {
  for (int round = 0; round < 25; ++round) {
    Fixture f;
    f.key_path = f.dir / "sub/lab.key";
    f.pub_path = f.dir / "sub/lab.pub";
    Pipe start, ids;
    std::vector<Child> children;
    for (int i = 0; i < 6; ++i)
      children.emplace_back([&] {
        start.close_write();
        start.get();
        const auto key = load_or_make_key(f.key_path);
        if (!key) return 1;
        for (const char c : key->id())
          if (!ids.put(c)) return 2;
        return 0;
      });
    start.close_write();
    for (Child& child : children)
      CHECK(child.wait() == 0);
    CHECK(names_in(f.dir / "sub") == std::set<std::string>{"lab.key", "lab.pub"});
    const auto key = load_key(f.key_path);
    REQUIRE(key);
    CHECK(f.known_keys() == std::vector{key->public_key()});
    // The ids come mixed, but all are the one.
    std::string got, expected;
    for (std::size_t i = 0; i < 6 * kKeyIdChars; ++i)
      got += static_cast<char>(ids.get());
    for (int i = 0; i < 6; ++i)
      expected += key->id();
    std::sort(got.begin(), got.end());
    std::sort(expected.begin(), expected.end());
    CHECK(got == expected);
  }
}

namespace {

// From now on this process finds no file system that has unnamed files.
bool lose_unnamed_files() {
  constexpr std::uint32_t kUnnamed = O_TMPFILE & ~O_DIRECTORY;
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kUnnamed, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(steps), steps};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) < 0 && errno == EOPNOTSUPP;
}

}  // namespace

TEST_CASE("where the file system has no unnamed files, a key is made whole all the same") {
  Fixture f;
  Child child([&] {
    if (!lose_unnamed_files()) return 99;
    umask(0277);
    return make_key(f.key_path) && load_or_make_key(f.key_path) ? 0 : 1;
  });
  REQUIRE(child.wait() == 0);
  CHECK(mode_of(f.key_path) == 0600);
  CHECK(mode_of(f.pub_path) == 0644);
  CHECK(names_in(f.dir.path()) == std::set<std::string>{"lab.key", "lab.pub"});
  CHECK(verifies(issue(f.made()), f.known_keys()));
}

TEST_CASE("nor is a file overwritten there that is made at the same time, and nothing is left") {
  Fixture f;
  f.write_key("another's");
  Child child([&] {
    const auto at = open_key_place(f.key_path, false);
    if (!at || !lose_unnamed_files()) return 99;
    // As by who looked before the other had made it.
    const auto made = make_key_file(*at, "ours", 0600);
    return !made && made.error().code == Errc::already_exists ? 0 : 1;
  });
  CHECK(child.wait() == 0);
  CHECK(content_of(f.key_path) == "another's");
  CHECK(names_in(f.dir.path()) == std::set<std::string>{"lab.key"});
}

TEST_CASE("no rights is an error of its own, and leaves nothing", "[.root]") {
  Fixture f;
  const auto as_nobody = [](const std::function<bool()>& check) {
    Child child([&] {
      if (setegid(65534) != 0 || seteuid(65534) != 0) return 99;
      return check() ? 0 : 1;
    });
    return child.wait() == 0;
  };
  CHECK(as_nobody(
      [&] { return load_or_make_key(f.key_path).error().code == Errc::permission_denied; }));
  CHECK(names_in(f.dir.path()).empty());
  f.made();
  CHECK(as_nobody(
      [&] { return load_or_make_key(f.key_path).error().code == Errc::permission_denied; }));
  CHECK(as_nobody(
      [&] { return rotate_key(f.key_path, kNow_s).error().code == Errc::permission_denied; }));
  // Verifying needs no rights.
  CHECK(as_nobody([&] { return static_cast<bool>(read_public_keys(f.pub_path)); }));
}

TEST_CASE("a full file system is an error, and leaves nothing behind", "[.root]") {
  TempDir dir;
  const std::string mount_point = dir / "small";
  REQUIRE(mkdir(mount_point.c_str(), 0755) == 0);
  // Two pages, both of them taken.
  REQUIRE(mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=8k,mode=0755") == 0);
  std::ofstream(mount_point + "/filler") << std::string(8192, 'x');
  const auto full = load_or_make_key(mount_point + "/lab.key");
  const auto names_when_full = names_in(mount_point);
  // Room for the secret key, none for the public one: the next login makes that.
  const bool shrunk = truncate((mount_point + "/filler").c_str(), 4096) == 0;
  const auto half = load_or_make_key(mount_point + "/lab.key");
  const auto names_half = names_in(mount_point);
  unlink((mount_point + "/filler").c_str());
  const auto whole = load_or_make_key(mount_point + "/lab.key");
  // Again full: a rotation changes nothing.
  const std::string key_before = content_of(mount_point + "/lab.key");
  const std::string pub_before = content_of(mount_point + "/lab.pub");
  const auto rotation = rotate_key(mount_point + "/lab.key", kNow_s);
  const bool unchanged = content_of(mount_point + "/lab.key") == key_before &&
                         content_of(mount_point + "/lab.pub") == pub_before;
  const auto names_rotated = names_in(mount_point);
  umount2(mount_point.c_str(), MNT_DETACH);

  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::no_space);
  CHECK_THAT(full.error().what, Catch::Contains("free some space"));
  CHECK(names_when_full == std::set<std::string>{"filler"});
  REQUIRE(shrunk);
  REQUIRE_FALSE(half);
  CHECK(half.error().code == Errc::no_space);
  CHECK_THAT(half.error().what, Catch::Contains("lab.pub"));
  CHECK(names_half == std::set<std::string>{"filler", "lab.key"});
  REQUIRE(whole);
  REQUIRE_FALSE(rotation);
  CHECK(rotation.error().code == Errc::no_space);
  CHECK(unchanged);
  CHECK(names_rotated == std::set<std::string>{"lab.key", "lab.pub"});
}

TEST_CASE("a file system that is read only is an error, and a key on it still works", "[.root]") {
  TempDir dir;
  const std::string mount_point = dir / "ro";
  REQUIRE(mkdir(mount_point.c_str(), 0755) == 0);
  REQUIRE(mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=64k,mode=0755") == 0);
  const auto made = load_or_make_key(mount_point + "/lab.key");
  const bool read_only =
      mount("tmpfs", mount_point.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "") == 0;
  const auto loaded = load_or_make_key(mount_point + "/lab.key");
  const auto other = load_or_make_key(mount_point + "/other.key");
  const auto rotation = rotate_key(mount_point + "/lab.key", kNow_s);
  umount2(mount_point.c_str(), MNT_DETACH);
  REQUIRE((made && read_only));
  REQUIRE(loaded);
  CHECK(loaded->id() == made->id());
  REQUIRE_FALSE(other);
  CHECK_THAT(other.error().what, Catch::Contains("Read-only file system"));
  CHECK_FALSE(rotation);
}

TEST_CASE("a file that may not grow is an error, and leaves nothing behind") {
  Fixture f;
  Child child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit few{50, 50};
    if (setrlimit(RLIMIT_FSIZE, &few) != 0) return 99;
    return load_or_make_key(f.key_path) ? 1 : 0;
  });
  CHECK(child.wait() == 0);
  CHECK(names_in(f.dir.path()).empty());
}

TEST_CASE("rotation keeps the tokens of the old key good, and signs with the new one") {
  Fixture f;
  const SigningKey first = f.made();
  const std::string old_token = issue(first);
  const auto second = rotate_key(f.key_path, kNow_s);
  REQUIRE(second);
  CHECK(second->id() != first.id());
  CHECK(load_key(f.key_path)->id() == second->id());
  CHECK(mode_of(f.key_path) == 0600);
  CHECK(mode_of(f.pub_path) == 0644);
  CHECK(names_in(f.dir.path()) == std::set<std::string>{"lab.key", "lab.pub"});
  CHECK(content_of(f.pub_path) == to_paserk(second->public_key()) +
                                      "\n# retired 2027-01-15T08:00:00Z\n" +
                                      to_paserk(first.public_key()) + "\n");
  CHECK(verifies(old_token, f.known_keys()));
  CHECK(verifies(issue(*second), f.known_keys()));
}

TEST_CASE("a retired key goes once no token of its can be valid") {
  Fixture f;
  const SigningKey first = f.made();
  const auto second = rotate_key(f.key_path, kNow_s);
  const std::int64_t last_s = kNow_s + kUsualTokenLife_s + 86400;
  REQUIRE(rotate_key(f.key_path, last_s));
  CHECK(f.known_keys().size() == 3);
  REQUIRE(rotate_key(f.key_path, last_s + 1));
  const auto keys = f.known_keys();
  CHECK(keys.size() == 3);
  CHECK(std::find(keys.begin(), keys.end(), first.public_key()) == keys.end());
  CHECK(std::find(keys.begin(), keys.end(), second->public_key()) != keys.end());
}

TEST_CASE("a site whose sessions live longer keeps its retired keys longer") {
  Fixture f;
  const SigningKey first = f.made();
  const std::int64_t life_s = 10 * kUsualTokenLife_s;
  REQUIRE(rotate_key(f.key_path, kNow_s, life_s));
  REQUIRE(rotate_key(f.key_path, kNow_s + life_s, life_s));
  CHECK(f.known_keys().size() == 3);
}

TEST_CASE("a rotation that went half way is mended by the next") {
  Fixture f;
  const SigningKey first = f.made();
  const std::string before = content_of(f.key_path);
  const auto second = rotate_key(f.key_path, kNow_s);
  // As if it had been killed before the last step: the old key goes on.
  f.write_key(before);
  f.dir.write(".lab.key.new", "left over");
  const std::string token = issue(f.made());
  CHECK(verifies(token, f.known_keys()));
  const auto third = rotate_key(f.key_path, kNow_s + 500);
  REQUIRE(third);
  CHECK(verifies(token, f.known_keys()));
  const auto known = f.known();
  REQUIRE(known.size() == 3);
  CHECK(known[0].key == third->public_key());
  CHECK(known[1].key == first.public_key());
  CHECK(known[1].retired_s == kNow_s + 500);
  CHECK(known[2].key == second->public_key());
  CHECK(known[2].retired_s == kNow_s + 500);
  CHECK(names_in(f.dir.path()) == std::set<std::string>{"lab.key", "lab.pub"});
}

TEST_CASE("a rotation without public keys makes them, and one of a bad file changes nothing") {
  Fixture f;
  const SigningKey first = f.made();
  REQUIRE(unlink(f.pub_path.c_str()) == 0);
  REQUIRE(rotate_key(f.key_path, kNow_s));
  CHECK(f.known_keys().size() == 2);
  const std::string key = content_of(f.key_path);
  f.dir.write("lab.pub", "nonsense\n");
  CHECK(rotate_key(f.key_path, kNow_s).error().code == Errc::bad_key);
  CHECK(content_of(f.key_path) == key);
  CHECK(content_of(f.pub_path) == "nonsense\n");
}

TEST_CASE("rotations at once lose no retired key, and logins go on meanwhile") {
  Fixture f;
  std::set<std::string> issued{issue(f.made())};
  constexpr int kProcesses = 4;
  constexpr int kEach = 5;
  TempDir tokens;
  std::vector<Child> children;
  for (int i = 0; i < kProcesses; ++i)
    children.emplace_back([&, i] {
      for (int n = 0; n < kEach; ++n) {
        const auto loaded = load_or_make_key(f.key_path);
        if (!loaded) return 1;
        const auto token = issue_token(*loaded, {"lab", "alice", {}, kNow_s, kNow_s + 1000, 1});
        tokens.write(std::to_string(i) + "-" + std::to_string(n), *token);
        const auto keys = read_public_keys(f.pub_path);
        if (!keys) return 2;
        std::vector<PublicKey> known;
        for (const auto& each : *keys)
          known.push_back(each.key);
        if (!verifies(*token, known)) return 3;
        if (!rotate_key(f.key_path, kNow_s)) return 4;
      }
      return 0;
    });
  for (Child& child : children)
    CHECK(child.wait() == 0);
  const auto known = f.known_keys();
  CHECK(known.size() == 1 + kProcesses * kEach);
  CHECK(known.front() == load_key(f.key_path)->public_key());
  for (const std::string& name : names_in(tokens.path()))
    issued.insert(content_of(tokens / name));
  for (const std::string& token : issued)
    CHECK(verifies(token, known));
}

TEST_CASE("a rotation whose clock is nonsense changes nothing") {
  Fixture f;
  const std::string id = f.made().id();
  CHECK(rotate_key(f.key_path, -5).error().code == Errc::bad_claims);
  CHECK(load_key(f.key_path)->id() == id);
}

TEST_CASE("a file of public keys is read strictly") {
  const PublicKey a{{1}}, b{{2}};
  const auto parse = [](const std::string& text) { return parse_public_keys(text, "f.pub"); };
  const auto keys = parse("# ours\n\n" + to_paserk(a) +
                          "\n# retired 2027-01-15T08:00:00Z\n# by me\n" + to_paserk(b));
  REQUIRE(keys);
  REQUIRE(keys->size() == 2);
  CHECK(keys->at(0).key == a);
  CHECK_FALSE(keys->at(0).retired_s);
  CHECK(keys->at(1).key == b);
  CHECK(keys->at(1).retired_s == kNow_s);

  const auto fault = [&](const std::string& text) {
    const auto result = parse(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_key);
    return result.error().what;
  };
  const std::string good = to_paserk(a) + "\n";
  CHECK_THAT(fault(""), Catch::StartsWith("f.pub holds no public key"));
  CHECK_THAT(fault("# only a comment\n"), Catch::StartsWith("f.pub holds no public key"));
  CHECK_THAT(fault(good + good), Catch::StartsWith("f.pub:2: this key stands there already"));
  CHECK_THAT(fault(good + "x\n"), Catch::StartsWith("f.pub:2: not a public key"));
  CHECK_THAT(fault("\n" + to_paserk(a) + " \n"), Catch::StartsWith("f.pub:2: not a public key"));
  CHECK_THAT(fault(" " + good), Catch::StartsWith("f.pub:1: "));
  CHECK_THAT(fault(to_paserk(a) + "\r\n"), Catch::StartsWith("f.pub:1: "));
  CHECK_THAT(fault("# retired yesterday\n" + good), Catch::StartsWith("f.pub:1: not a time"));
  CHECK_THAT(fault("k4.secret." + std::string(86, 'A')), !Catch::Contains("AAAA"));
}

TEST_CASE("public keys are believed only where nobody else can write them") {
  Fixture f;
  f.made();
  SECTION("the file") {
    chmod(f.pub_path.c_str(), 0664);
  }
  SECTION("the directory, which others may write") {
    chmod(f.dir.path().c_str(), 0757);
  }
  SECTION("the directory, which its group may write") {
    chmod(f.dir.path().c_str(), 0775);
  }
  SECTION("a link") {
    REQUIRE(rename(f.pub_path.c_str(), (f.dir / "real").c_str()) == 0);
    REQUIRE(symlink("real", f.pub_path.c_str()) == 0);
  }
  SECTION("a FIFO") {
    REQUIRE(unlink(f.pub_path.c_str()) == 0);
    REQUIRE(mkfifo(f.pub_path.c_str(), 0644) == 0);
  }
  CHECK(read_public_keys(f.pub_path).error().code == Errc::insecure_file);
}

TEST_CASE("a file of public keys that is too long is refused") {
  Fixture f;
  f.dir.write("lab.pub", std::string(1 << 20, '#'));
  CHECK(read_public_keys(f.pub_path).error().code == Errc::bad_key);
}

TEST_CASE("no descriptor stays open, whichever way it ends") {
  Fixture f;
  const int before = descriptors();
  f.made();
  f.made();
  CHECK(rotate_key(f.key_path, kNow_s));
  CHECK_FALSE(make_key(f.key_path));
  CHECK(read_public_keys(f.pub_path));
  f.write_key("nonsense");
  CHECK_FALSE(load_or_make_key(f.key_path));
  CHECK_FALSE(rotate_key(f.key_path, kNow_s));
  CHECK(descriptors() == before);
}

namespace {

// So that no frame below the caller's is left out of what is searched, nor overwritten by chance.
[[gnu::noinline]] std::string use_key(const std::string& path, bool rotate) {
  auto key = rotate ? rotate_key(path, kNow_s) : load_or_make_key(path);
  if (!key) return {};
  return issue_token(*key, {"lab", "alice", {}, kNow_s, kNow_s + 1000, 1}).operator*();
}

// The seed's and the whole key's bytes, and the text they have in the file: middle parts of each,
// longer than anything found by chance.
[[gnu::noinline]] std::vector<Masked> patterns_of(const std::string& path) {
  SecretPaserk paserk;
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(read(file.get(), paserk.data(), paserk.size()) == static_cast<ssize_t>(paserk.size()));
  SecretKey key;
  REQUIRE(secret_key_from_paserk({paserk.chars(), paserk.size()}, &key));
  return {Masked({key.chars(), 16}), Masked({key.chars() + 16, 16}), Masked({key.chars() + 8, 40}),
          Masked({paserk.chars() + 10, 20}), Masked({paserk.chars() + 30, 20})};
}

}  // namespace

TEST_CASE("no byte of a secret key stays in memory after its last use") {
  if (kHasShadowMemory) {
    WARN("skipped: a sanitizer maps terabytes, and keeps old stack frames");
    return;
  }
  Fixture f;
  // Each in a process of its own, whose memory nothing else has used.
  SECTION("loaded") {
    f.made();
    Child child([&] {
      const auto patterns = patterns_of(f.key_path);
      if (use_key(f.key_path, false).empty()) return 1;
      for (const Masked& pattern : patterns)
        if (found_in_memory(pattern) != 0) return 2;
      // And the search can find it.
      const auto key = load_key(f.key_path);
      for (std::size_t i = 0; i < 3; ++i)
        if (found_in_memory(patterns[i]) == 0) return 3;
      return 0;
    });
    CHECK(child.wait() == 0);
  }
  SECTION("made") {
    Child child([&] {
      if (use_key(f.key_path, false).empty()) return 1;
      for (const Masked& pattern : patterns_of(f.key_path))
        if (found_in_memory(pattern) != 0) return 2;
      return 0;
    });
    CHECK(child.wait() == 0);
  }
  SECTION("rotated") {
    f.made();
    Child child([&] {
      const auto old = patterns_of(f.key_path);
      if (use_key(f.key_path, true).empty()) return 1;
      for (const Masked& pattern : old)
        if (found_in_memory(pattern) != 0) return 2;
      for (const Masked& pattern : patterns_of(f.key_path))
        if (found_in_memory(pattern) != 0) return 3;
      return 0;
    });
    CHECK(child.wait() == 0);
  }
  SECTION("refused") {
    f.made();
    Child child([&] {
      const auto patterns = patterns_of(f.key_path);
      // A digit of the public half: the seed is read and decoded before anything is found wrong.
      const Fd file(open(f.key_path.c_str(), O_RDWR | O_CLOEXEC));
      char digit = 0;
      if (pread(file.get(), &digit, 1, 70) != 1) return 1;
      digit = digit == 'B' ? 'C' : 'B';
      if (pwrite(file.get(), &digit, 1, 70) != 1) return 2;
      if (load_or_make_key(f.key_path)) return 3;
      for (const Masked& pattern : patterns)
        if (found_in_memory(pattern) != 0) return 4;
      return 0;
    });
    CHECK(child.wait() == 0);
  }
}
