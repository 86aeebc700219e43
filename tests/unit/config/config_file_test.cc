// Finding, checking and reading configuration files, and the example file.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "../../support/catch.h"
#include "config/config.h"
#include "config/config_keys.h"

using namespace sessreg;

namespace {

constexpr uid_t kNobody = 65534;

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/sessreg-config-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
    REQUIRE(chmod(name, 0755) == 0);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string at(const std::string& name) const { return path_ + "/" + name; }

  std::string write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
    std::ofstream(at(name)) << text;
    REQUIRE(chmod(at(name).c_str(), mode) == 0);
    return at(name);
  }

 private:
  std::string path_;
};

void check_refused(const std::string& path, Errc code, const std::string& what) {
  const auto config = load_config("default", path);
  REQUIRE_FALSE(config);
  CHECK(config.error().code == code);
  CHECK(config.error().what == what);
}

// The text with each commented default made effective.
std::string uncommented(const std::string& text, std::vector<std::string>& ret_keys) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line); out += line + "\n") {
    if (line.size() < 2 || line[0] != '#' || line[1] == ' ') continue;
    line.erase(0, 1);
    ret_keys.push_back(line.substr(0, line.find(' ')));
  }
  return out;
}

}  // namespace

TEST_CASE("a site's name can be part of a file name") {
  for (const char* good : {"default", "a", "A-1_b.c", "_x", "0"})
    CHECK(is_valid_site_name(good));
  CHECK(is_valid_site_name(std::string(64, 'x')));
  for (const char* bad : {"", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "é"}) {
    CHECK_FALSE(is_valid_site_name(bad));
  }
  CHECK_FALSE(is_valid_site_name(std::string(65, 'x')));
  CHECK_FALSE(is_valid_site_name(std::string_view("a\0b", 3)));
}

TEST_CASE("each site has its configuration file") {
  CHECK(default_config_path("default") == "/etc/security/sessreg.conf");
  CHECK(default_config_path("lab") == "/etc/security/sessreg.d/lab.conf");
}

TEST_CASE("a configuration file is read") {
  const TempDir dir;
  const auto config = load_config("lab", dir.write("c", "sessions_limit = 3\n", 0600));
  REQUIRE(config);
  CHECK(config->site == "lab");
  CHECK(config->sessions_limit == 3);
}

TEST_CASE("a fault in the file is told with its path") {
  const TempDir dir;
  const std::string path = dir.write("c", "\nsessions_limit = ten\n");
  check_refused(path, Errc::invalid_config,
                path +
                    ":2: sessions_limit: 'ten' is not a number; write -1 (unlimited), 0 (admit "
                    "nobody new) or a count");
}

TEST_CASE("a named file that is missing is an error") {
  const TempDir dir;
  check_refused(dir.at("c"), Errc::config_missing,
                dir.at("c") + " does not exist; create it (an empty file means the defaults)");
}

TEST_CASE("the file of a named site must exist") {
  const auto config = load_config("no-such-site-here", "");
  REQUIRE_FALSE(config);
  CHECK(config.error().code == Errc::config_missing);
}

TEST_CASE("a missing default file means the defaults") {
  if (std::filesystem::exists("/etc/security/sessreg.conf")) return;
  const auto config = load_config("default", "");
  const auto empty = parse_config("", "FILE", "default");
  REQUIRE((config && empty));
  CHECK(config->identity == empty->identity);
  CHECK(config->sessions_limit == -1);
}

TEST_CASE("a bad site name opens nothing") {
  const auto config = load_config("../../etc/passwd", "");
  REQUIRE_FALSE(config);
  CHECK(config.error().code == Errc::invalid_config);
}

TEST_CASE("a symbolic link is followed, and a dangling one is an error") {
  const TempDir dir;
  dir.write("c", "capacity = 7");
  REQUIRE(symlink("c", dir.at("link").c_str()) == 0);
  REQUIRE(symlink("gone", dir.at("dangling").c_str()) == 0);
  REQUIRE(symlink("loop", dir.at("loop").c_str()) == 0);
  CHECK(load_config("default", dir.at("link"))->capacity == 7);
  check_refused(
      dir.at("dangling"), Errc::config_missing,
      dir.at("dangling") + " is a link to a file that does not exist; mend or remove the link");
  check_refused(dir.at("loop"), Errc::system,
                "cannot open " + dir.at("loop") + ": Too many levels of symbolic links");
}

TEST_CASE("a file that others may write is refused") {
  const TempDir dir;
  for (const mode_t mode : {0664U, 0646U, 0666U}) {
    const std::string path = dir.write("c", "", mode);
    check_refused(path, Errc::insecure_file,
                  path + " can be written by its group or by others; run chmod go-w on it");
  }
}

TEST_CASE("a file that somebody else owns is refused") {
  if (geteuid() != 0) return;
  const TempDir dir;
  const std::string path = dir.write("c", "");
  REQUIRE(chown(path.c_str(), kNobody, 0) == 0);
  check_refused(path, Errc::insecure_file,
                path + " is owned by uid 65534, who could change it; give it to root");
  REQUIRE(seteuid(kNobody) == 0);
  const bool own_file_is_fine = static_cast<bool>(load_config("default", path));
  REQUIRE(seteuid(0) == 0);
  CHECK(own_file_is_fine);
}

TEST_CASE("a file that may not be read is told apart") {
  const TempDir dir;
  const std::string path = dir.write("c", "", geteuid() == 0 ? 0600 : 0000);
  const bool root = geteuid() == 0;
  if (root) REQUIRE(seteuid(kNobody) == 0);
  const auto config = load_config("default", path);
  if (root) REQUIRE(seteuid(0) == 0);
  REQUIRE_FALSE(config);
  CHECK(config.error().code == Errc::permission_denied);
  CHECK(config.error().what == "cannot open " + path + ": Permission denied");
}

TEST_CASE("what is not a regular file is refused without waiting for it") {
  const TempDir dir;
  REQUIRE(mkfifo(dir.at("fifo").c_str(), 0600) == 0);
  REQUIRE(mkdir(dir.at("directory").c_str(), 0700) == 0);
  for (const char* name : {"fifo", "directory"}) {
    check_refused(dir.at(name), Errc::insecure_file,
                  dir.at(name) + " is not a regular file; put a text file there");
  }
  check_refused("/dev/zero", Errc::insecure_file,
                "/dev/zero is not a regular file; put a text file there");
}

TEST_CASE("a file larger than a mebibyte is refused") {
  const TempDir dir;
  const std::string path = dir.write("c", "");
  REQUIRE(truncate(path.c_str(), 1L << 40) == 0);
  check_refused(path, Errc::invalid_config,
                path + ": file is larger than 1048576 bytes; is this the configuration file?");
}

TEST_CASE("reading leaves no descriptor behind") {
  const TempDir dir;
  const auto lowest_free = [] {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
  };
  const int before = lowest_free();
  CHECK(load_config("default", dir.write("good", "")));
  CHECK_FALSE(load_config("default", dir.write("bad", "x")));
  CHECK_FALSE(load_config("default", dir.at("")));
  CHECK(lowest_free() == before);
}

TEST_CASE("the example file shows every key with its default") {
  std::ifstream file(SESSREG_SOURCE_DIR "/pam_module/sessreg.conf");
  REQUIRE(file);
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE(parse_config(text.str(), "FILE", "default"));

  std::vector<std::string> shown;
  const auto config = parse_config(uncommented(text.str(), shown), "sessreg.conf", "default");
  INFO((config ? "" : config.error().what));
  REQUIRE(config);

  std::vector<std::string> keys;
  for (const Key& key : config_keys()) {
    if ((key.places & kTop) != 0) keys.emplace_back(key.name);
  }
  CHECK(shown == keys);

  const Config defaults = default_config("default");
  CHECK(config->sessions_limit == defaults.sessions_limit);
  CHECK(config->dangling_after == defaults.dangling_after);
  CHECK(config->exempt.users == defaults.exempt.users);
  CHECK(config->exempt.groups == defaults.exempt.groups);
  CHECK(config->only_services == defaults.only_services);
  CHECK(config->ignore_services == defaults.ignore_services);
  CHECK(config->shared_services == defaults.shared_services);
  CHECK(config->reattach_services == defaults.reattach_services);
  CHECK(config->reservation_time == defaults.reservation_time);
  CHECK(config->capacity == defaults.capacity);
  CHECK(config->registry == defaults.registry);
  CHECK(config->on_error == defaults.on_error);
  CHECK(config->message_site_full == defaults.message_site_full);
  CHECK(config->message_drain == defaults.message_drain);
  CHECK(config->message_table_full == defaults.message_table_full);
  CHECK(config->message_revoked == defaults.message_revoked);
}

TEST_CASE("the manual page names every service of the default lists") {
  std::ifstream page(SESSREG_SOURCE_DIR "/pam_module/sessreg.conf.5");
  std::set<std::string> named;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with(".Cm ")) continue;
    std::istringstream words(line.substr(4));
    for (std::string word; words >> word;)
      named.insert(word);
  }
  const auto defaults = parse_config("", "FILE", "default");
  REQUIRE(defaults);
  for (const auto* list :
       {&defaults->ignore_services, &defaults->shared_services, &defaults->reattach_services})
    for (const std::string& service : *list) {
      CAPTURE(service);
      CHECK(named.count(service) == 1);
    }
}
