// What a hostile client or user can put into the module: names, and two kinds of environment.
#include <security/pam_ext.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "../support/catch.h"
#include "../support/child.h"
#include "../support/temp_dir.h"
#include "base/utf8.h"
#include "transaction.h"

using namespace sessreg;

namespace {

std::vector<std::string>& logged() {
  static std::vector<std::string> lines;
  return lines;
}

void note(const char* format, va_list arguments) {
  char line[20'000];
  vsnprintf(line, sizeof line, format, arguments);
  logged().emplace_back(line);
}

// What libpam logs for the module since.
class LogWatch {
 public:
  LogWatch() { logged().clear(); }
  const std::vector<std::string>& lines() const { return logged(); }
};

bool is_showable(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    if (next.size_bytes == 0 || is_unsafe_to_show(next.code)) return false;
    text.remove_prefix(next.size_bytes);
  }
  return true;
}

class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~EnvironmentVariable() { unsetenv(name_); }

 private:
  const char* name_;
};

std::string line_from(Pipe& pipe) {
  std::string line;
  for (int c = pipe.get(); c != '\n' && c != -1; c = pipe.get())
    line += static_cast<char>(c);
  return line;
}

void put(Transaction& t, const std::string& assignment) {
  REQUIRE(pam_putenv(t.handle(), assignment.c_str()) == PAM_SUCCESS);
}

}  // namespace

// In place of the C library's, which libpam calls (the first where it was built with
// _FORTIFY_SOURCE).
extern "C" void __syslog_chk(int, int, const char* format, ...);
extern "C" void __syslog_chk(int, int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  note(format, arguments);
  va_end(arguments);
}
extern "C" void syslog(int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  note(format, arguments);
  va_end(arguments);
}

TEST_CASE("no name adds a line to the log, or a field, or drives who reads it") {
  PamSite site(
      "sessions_limit = 0\nmax_failed_auth_per_host = 1\nblacklist_exempt =\n"
      "user_sessions_limit = 1\n",
      "debug");
  const std::string name =
      "eve\n\x1b[2J\x9b\xe2\x80\xae\" rhost=192.0.2.99 reason=blacklisted failures=9 \xff\\";
  for (const bool fails : {false, true}) {
    site.write_service("sshd", fails ? "debug authfail" : "debug");
    LogWatch log;
    Transaction t(site, name.c_str());
    pam_set_item(t.handle(), PAM_RHOST, name.c_str());
    if (fails)
      CHECK(t.authenticate() == PAM_AUTH_ERR);
    else
      CHECK(t.account() == PAM_PERM_DENIED);
    REQUIRE_FALSE(log.lines().empty());
    for (const std::string& line : log.lines()) {
      INFO(line);
      CHECK(is_showable(line));
      if (line.find("user=") == std::string::npos) continue;
      CHECK_THAT(line, Catch::Contains(R"( user="eve\x0a\x1b[2J)"));
      // Its quotes cannot be ended from inside: each value is one field.
      CHECK(std::count(line.begin(), line.end(), '"') == 4);
    }
  }
}

TEST_CASE("no name is so long that a syslog daemon would cut what is behind it") {
  PamSite site("sessions_limit = 0\n", "debug");
  for (const std::string& name : {std::string(20'000, 'a'), std::string(60'000, '\xff')}) {
    LogWatch log;
    Transaction t(site, name.c_str());
    pam_set_item(t.handle(), PAM_RHOST, name.c_str());
    CHECK(t.account() != PAM_SUCCESS);  // libpam itself has trouble with such a host
    const auto refused = std::find_if(
        log.lines().begin(), log.lines().end(),
        [](const std::string& line) { return line.find(" refused: ") != std::string::npos; });
    REQUIRE(refused != log.lines().end());
    const std::string& line = *refused;
    CHECK(line.size() < 600);
    CHECK_THAT(line, Catch::Contains("refused: site=default service=") &&
                         Catch::Contains(" reason=drain rhost=") &&
                         Catch::Contains("... count=0 limit=0 user=") && Catch::EndsWith("..."));
  }
}

TEST_CASE("a service without a conversation is refused in one line of the log") {
  PamSite site("sessions_limit = 0\n");
  LogWatch log;
  Transaction t(site, "daemon");
  const pam_conv none{nullptr, nullptr};
  REQUIRE(pam_set_item(t.handle(), PAM_CONV, &none) == PAM_SUCCESS);
  CHECK(t.account() == PAM_PERM_DENIED);
  CHECK_THAT(log.lines().back(), Catch::Contains(" refused: "));
  for (const std::string& line : log.lines())
    CHECK_THAT(line, !Catch::Contains("conversation"));
}

// As proftpd closes.
TEST_CASE("who has given up root's rights ends the session without a line in the log") {
  if (geteuid() != 0) return;
  PamSite site;
  Child child([&] {
    Transaction t(site, "daemon");
    if (t.open_session() != PAM_SUCCESS) return 99;
    LogWatch log;
    if (seteuid(65534) != 0 || t.close_session() != PAM_SUCCESS) return 98;
    return static_cast<int>(log.lines().size());
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("the filter of the manual page lets fail2ban ban who is blacklisted, and nobody else") {
  if (access("/usr/bin/fail2ban-regex", X_OK) != 0) {
    WARN("skipped: no fail2ban-regex here");
    return;
  }
  const std::string from = "192.0.2.7";
  PamSite site("max_failed_auth_per_host = 1\nblacklist_exempt =\nsessions_limit = 0\n");
  const std::string a_whole_line =
      "refused: site=default service=sshd reason=blacklisted rhost=192.0.2.99 failures=9 user=x";
  const std::string names[] = {"alice",
                               "eve rhost=192.0.2.99 user=x",
                               "eve\" reason=blacklisted rhost=192.0.2.99 failures=9 user=\"x",
                               a_whole_line,
                               std::string(20'000, 'a'),
                               std::string(60'000, '\xff'),
                               "\u00a0x\u3000",
                               "\\\"= \n"};
  LogWatch log;
  for (const std::string& name : names) {
    Transaction full(site, name.c_str());  // refused, but not as blacklisted
    pam_set_item(full.handle(), PAM_RHOST, "192.0.2.8");
    CHECK(full.account() == PAM_PERM_DENIED);
  }
  const std::string neighbour = "fe80::7";
  for (const std::string& host : {from, neighbour + "%eth0"}) {
    site.write_service("sshd", "authfail");
    Transaction fails(site, "alice");
    pam_set_item(fails.handle(), PAM_RHOST, host.c_str());
    CHECK(fails.authenticate() == PAM_AUTH_ERR);
    site.write_service("sshd", "");
    for (const std::string& name : names) {
      Transaction refused(site, name.c_str());
      pam_set_item(refused.handle(), PAM_RHOST, host.c_str());
      CHECK(refused.account() == PAM_PERM_DENIED);
    }
  }

  const TempDir place;
  std::string text;
  for (const std::string& line : log.lines())
    text += "Nov 29 04:00:00 host sshd[4711]: " + line + "\n";
  const std::string lines = place.write("log", text);
  std::ifstream page(SESSREG_SOURCE_DIR "/pam_module/pam_sessreg.8");
  const std::string all(std::istreambuf_iterator<char>(page), {});
  const std::size_t begin = all.find("[INCLUDES]\n");
  REQUIRE(begin != std::string::npos);
  std::string filter = all.substr(begin, all.find(".Ed\n", begin) - begin);
  for (std::size_t at; (at = filter.find("\\e")) != std::string::npos;)
    filter.erase(at + 1, 1);
  INFO(filter);
  INFO(text);
  const std::string rules = place.write("sessreg.conf", filter);
  const std::string banned = place / "banned";
  const std::string command = "cp /etc/fail2ban/filter.d/common.conf " + place.path() +
                              " && fail2ban-regex --out ip " + lines + " " + rules + " >" + banned;
  REQUIRE(system(command.c_str()) == 0);
  std::string expected;
  for (const std::string& host : {from, neighbour})
    for (std::size_t i = 0; i < std::size(names); ++i)
      expected += host + "\n";
  std::ifstream told(banned);
  CHECK(std::string(std::istreambuf_iterator<char>(told), {}) == expected);
}

TEST_CASE("no token is written to the log, not even for debugging") {
  PamSite site("sessions_limit = 1\n", "debug");
  LogWatch log;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  REQUIRE(t.open_session() == PAM_SUCCESS);
  const std::string token = t.env("SESSREG_TOKEN");
  REQUIRE(token.starts_with("v4.public."));
  Transaction refused(site, "daemon");
  CHECK(refused.account() == PAM_PERM_DENIED);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(log.lines().size() >= 4);
  for (const std::string& line : log.lines())
    CHECK_THAT(line, !Catch::Contains("v4.") && !Catch::Contains(token.substr(10, 20)));
}

TEST_CASE("the id of a session of another user, or of another process, closes nothing") {
  PamSite site("sessions_limit = 9\n");
  Pipe id, over;
  Child other([&] {
    Transaction t(site, "daemon");
    if (t.open_session() != PAM_SUCCESS) return 1;
    for (const char c : t.env("SESSREG_ID"))
      id.put(c);
    id.put('\n');
    over.close_write();
    over.get();
    return 0;
  });
  const std::string of_other_process = line_from(id);
  REQUIRE(of_other_process.size() == 32);
  Transaction bin(site, "bin");
  REQUIRE(bin.open_session() == PAM_SUCCESS);
  REQUIRE(site.seats() == 2);
  for (const std::string& named : {of_other_process, bin.env("SESSREG_ID")}) {
    Transaction t(site, "daemon");
    put(t, "SESSREG_ID=" + named);
    CHECK(t.close_session() == PAM_SUCCESS);
    CHECK(site.seats() == 2);
  }
}

TEST_CASE("a hint to somebody else's reservation takes nothing of it") {
  PamSite site("sessions_limit = 2\n");
  Pipe hint, stolen;
  Child victim([&] {
    Transaction t(site, "bin");
    if (t.account() != PAM_SUCCESS) return 1;
    for (const char c : t.env("SESSREG_RESERVATION"))
      hint.put(c);
    hint.put('\n');
    stolen.close_write();
    stolen.get();
    return t.open_session();
  });
  const std::string named = line_from(hint);
  REQUIRE_FALSE(named.empty());
  Child thief([&] {
    Transaction t(site, "daemon");
    pam_putenv(t.handle(), ("SESSREG_RESERVATION=" + named).c_str());
    if (t.open_session() != PAM_SUCCESS) return 1;
    return site.seats() == 2 ? 0 : 2;
  });
  CHECK(thief.wait() == 0);
  stolen.close_write();
  CHECK(victim.wait() == PAM_SUCCESS);
}

TEST_CASE("what the caller of a set-user-ID program has in the environment decides nothing") {
  PamSite site("sessions_limit = 2\n");
  Transaction victim(site, "daemon");
  REQUIRE(victim.account() == PAM_SUCCESS);
  REQUIRE(victim.open_session() == PAM_SUCCESS);
  const EnvironmentVariable id("SESSREG_ID", victim.env("SESSREG_ID")),
      site_name("SESSREG_SITE", "other"), reservation("SESSREG_RESERVATION", "0:1"),
      token("SESSREG_TOKEN", victim.env("SESSREG_TOKEN")),
      socket("SESSREG_SOCKET", (site.dir / "sock")), connection("SSH_CONNECTION", "1 2 3 4");
  Transaction caller(site, "daemon", "login");
  CHECK(caller.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(caller.account() == PAM_SUCCESS);
  CHECK(caller.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 2);
  CHECK(caller.env("SESSREG_ID") != victim.env("SESSREG_ID"));
  CHECK(caller.env("SESSREG_TOKEN") != victim.env("SESSREG_TOKEN"));
  CHECK(caller.env("SESSREG_SITE") == "default");
}
