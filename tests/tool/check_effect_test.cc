// sessreg check: whether a site limits anybody, and settings that do nothing.
#include <filesystem>
#include <fstream>

#include "../support/catch.h"
#include "check_host.h"

namespace {

constexpr const char* kBoth = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";
constexpr const char* kObserved =
    "account required pam_sessreg.so observe\nsession required pam_sessreg.so observe\n";

// Of a configuration of these lines, which begin at line 2 of the file.
std::string said_of(const std::string& lines) {
  Host host("sessions_limit = 9\n" + lines);
  host.stack("login", kBoth);
  return host.everything();
}

std::string at(int line, const std::string& text) {
  return "~/test.conf:" + std::to_string(line) + ": " + text + "\n";
}

}  // namespace

TEST_CASE("who has no findings is told what holds") {
  Host host("sessions_limit = 40\n");
  host.stack("login", kBoth);
  host.stack("sshd", kBoth);
  host.stack("vsftpd", kObserved);
  CHECK(host.everything() ==
        "no findings\nsite default: 40 seats, in force for login, sshd; observed: vsftpd\n");
  host.sandbox().configure("user_sessions_limit = 1\n");
  CHECK(
      host.everything() ==
      "no findings\nsite default: no limit of seats, in force for login, sshd; observed: vsftpd\n");
}

TEST_CASE("a site that limits nobody is found") {
  Host host("exempt = root\n");
  host.stack("login", kBoth);
  CHECK(host.everything() ==
        "~/test.conf: sets no limit, so that nobody is refused; write 'sessions_limit = COUNT'\n");
  for (const char* some :
       {"sessions_limit = 1\n", "user_sessions_limit = 1\n", "max_failed_auth_per_host = 3\n",
        "session_lifetime = 1h\n", "idle_after = 15m\n", "[group a]\nsessions_limit = 1\n",
        "[user b]\nuser_sessions_limit = 0\n"}) {
    CAPTURE(some);
    host.sandbox().configure(some);
    CHECK(host.everything().find("sets no limit") == std::string::npos);
  }
}

TEST_CASE("observe that is left in every stack is found") {
  Host host("sessions_limit = 40\n");
  host.stack("login", kObserved);
  host.stack("vsftpd", kObserved);
  CHECK(host.everything() ==
        "~/test.conf: each stack of site 'default' has 'observe', so that nobody is refused "
        "(login, vsftpd); "
        "remove 'observe' from the lines once the log shows what you expect\n");
}

TEST_CASE("a limit that was set by hand hides the file's") {
  Host host("sessions_limit = 40\n");
  host.stack("login", kBoth);
  host.sandbox().registry().set_override(10);
  const std::string said = host.everything();
  CHECK(said.starts_with(
      "~/test.conf:2: 'sessions_limit' is hidden by a limit of 10 that was set by hand; run '"));
  CHECK_THAT(said, Catch::EndsWith("limit --configured'\n"));
  host.sandbox().registry().set_override(40);
  CHECK(host.everything().starts_with("no findings\n"));
}

TEST_CASE("settings that do nothing are found") {
  CHECK(said_of("user_limit_policy = evict\nuser_lock = 5m\n") ==
        at(3,
           "'user_limit_policy' does nothing without 'user_sessions_limit'; set "
           "'user_sessions_limit', or "
           "remove the line") +
            at(4,
               "'user_lock' does nothing without 'user_sessions_limit'; set 'user_sessions_limit', "
               "or remove "
               "the line"));
  CHECK(said_of("[user root]\nuser_limit_policy = evict\n") ==
        at(3,
           "'user_limit_policy' does nothing without 'user_sessions_limit'; set "
           "'user_sessions_limit', or "
           "remove the line"));
  CHECK(said_of("user_sessions_limit = 2\nuser_limit_policy = evict\nuser_lock = 5m\n") ==
        at(5,
           "'user_lock' does nothing without 'user_limit_policy = lock_then_evict'; set "
           "'user_limit_policy = "
           "lock_then_evict', or remove the line"));
  CHECK(said_of("reserved_for = root\n") ==
        at(3,
           "'reserved_for' does nothing without 'reserved_sessions'; set 'reserved_sessions', or "
           "remove the "
           "line"));
  CHECK(
      said_of("on_return = admit\n") ==
      at(3, "'on_return' does nothing without 'idle_after'; set 'idle_after', or remove the line"));
  CHECK(said_of("blacklist_time = 1h\n") ==
        at(3,
           "'blacklist_time' does nothing without 'max_failed_auth_per_host'; set "
           "'max_failed_auth_per_host', or remove the line"));
  CHECK(said_of("idle_after = 3s\n") == at(3,
                                           "'idle_after' is 3s, so that who reads for that long "
                                           "may lose the seat; write some minutes, such "
                                           "as 15m"));
  Host host("user_sessions_limit = 1\nreserved_sessions = 2\n");
  host.stack("login", kBoth);
  CHECK(host.everything() == at(3,
                                "'reserved_sessions' does nothing without 'sessions_limit'; set "
                                "'sessions_limit', or remove the "
                                "line"));
  // Each is in order where it has what it needs.
  CHECK(said_of("user_sessions_limit = 2\nuser_limit_policy = lock_then_evict\nuser_lock = 5m\n"
                "reserved_sessions = 1\nreserved_for = root\nidle_after = 15m\non_return = admit\n")
            .starts_with("no findings\n"));
}

TEST_CASE(
    "a list that drops what acts for users is found, and one that adds to the default is not") {
  CHECK(said_of("ignore_services = cron backup\n") ==
        at(3,
           "'ignore_services' replaces the default list, so that su, sudo, systemd-user "
           "take seats "
           "of their own; write 'ignore_services += backup'"));
  CHECK(said_of("ignore_services = cron\n") ==
        at(3,
           "'ignore_services' replaces the default list, so that su, sudo, systemd-user "
           "take seats "
           "of their own; remove the line"));
  for (const char* fine :
       {"ignore_services += backup\n", "ignore_services =\n", "only_services = login\n"})
    CHECK(said_of(fine).starts_with("no findings\n"));
}

TEST_CASE("a module whose name is misspelt is found beside right lines") {
  Host host("sessions_limit = 9\n");
  host.stack("login", std::string(kBoth) + "session optional pam_sesreg.so\n");
  CHECK(
      host.everything() ==
      "~/pam.d/login:3: 'pam_sesreg.so' is no module of sessreg's; did you mean pam_sessreg.so?\n");
}

TEST_CASE("a configuration whose name is misspelt is found") {
  Host host("sessions_limit = 9\n");
  host.write("sessreg.conf", "");
  host.stack("login", "account required pam_sessreg.so conf=" + host.sandbox().directory() +
                          "/sesreg.conf\nsession required pam_sessreg.so\n");
  CHECK_THAT(host.everything(),
             Catch::Contains("~/pam.d/login:1: ~/sesreg.conf does not exist; did you mean "
                             "conf=~/sessreg.conf?\n"));
}

TEST_CASE("a file is checked alone, on a host that is not wired yet") {
  Host host;
  host.write("new.conf", "sessions_limit = 40\n");
  const std::vector<std::string> file = {"--file", host.sandbox().directory() + "/new.conf"};
  CHECK(host.everything({}, file) == "no findings\n");
  host.write("new.conf", "sesions_limit = 40\n");
  CHECK(host.everything({}, file) ==
        "~/new.conf:1: unknown key 'sesions_limit'; did you mean sessions_limit?\n");
  host.write("new.conf", "sessions_limit = 40\nidle_after = 1s\nexempt = nobody-like-this\n");
  const std::string said = host.everything({}, file);
  CHECK_THAT(said, Catch::Contains("~/new.conf:2: 'idle_after' is 1s"));
  CHECK_THAT(said, Catch::Contains("~/new.conf:3: 'exempt' names the user nobody-like-this"));
  host.write("new.conf", "");
  CHECK(host.everything({}, file) ==
        "~/new.conf: sets no limit, so that nobody is refused; write 'sessions_limit = COUNT'\n");
  std::filesystem::remove(host.sandbox().directory() + "/new.conf");
  CHECK_THAT(host.everything({}, file), Catch::Contains("~/new.conf: does not exist"));
}
