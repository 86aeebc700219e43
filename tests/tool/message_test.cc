// sessreg message: a line on terminals, and nobody is ended.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "../support/catch.h"
#include "auth_log.h"
#include "daemon_process.h"
#include "support.h"

using namespace sessreg;

namespace {

// A session whose terminal is its user's.
struct OnTerminal {
  int terminal = -1;
  Process process{sleeps, &terminal};
  std::string id;

  OnTerminal(Sandbox& sandbox, const std::string& user) {
    Login login = login_of(user, process);
    login.uid = geteuid();
    id = id_of(sandbox.admit(login));
  }
  std::string shown() const { return process.terminal_output(); }
  std::string name() const { return std::string(ptsname(terminal)).substr(5); }
};

}  // namespace

TEST_CASE("a message is shown on the terminals of the sessions that are chosen, and ends nobody") {
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice"), bob(sandbox, "bob");
  const ToolResult result = sandbox.tool({"message", "--user", "alice", "Maintenance at noon"});
  CHECK(result.err == "");
  CHECK(result.code == 0);
  CHECK(result.out == alice.id + "  alice (sshd from 192.0.2.7): reached on " + alice.name() +
                          "\n1 of 1 session reached\n");
  CHECK_THAT(alice.shown(),
             Catch::Matches("[\r\n]+Message from [^:]+: Maintenance at noon[\r\n]+"));
  CHECK(bob.shown() == "");
  CHECK(sandbox.tool({"message", bob.id.substr(0, 8), alice.id, "Lunch"}).code == 0);
  CHECK_THAT(bob.shown(), Catch::Contains(": Lunch\r"));
  CHECK_THAT(alice.shown(), Catch::Contains(": Lunch\r"));
  CHECK(sandbox.tool({"message", "--all", "--", "-5 minutes"}).code == 0);
  CHECK_THAT(bob.shown(), Catch::Contains(": -5 minutes\r"));
  CHECK(alice.process.is_running());
  CHECK(sandbox.registry().count() == 2);
  CHECK(sandbox.tool({"list", "--json", "--state", "ending"}).json()["sessions"].empty());
}

TEST_CASE("nothing in a message can drive a terminal, and the log has it in one line") {
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice\n\x1b[2J");
  AuthLog log(sandbox);
  const ToolResult result =
      sandbox.tool({"message", "--all", "\x1b[2J\xff\nevent=revoke\x9b\" user=bob"}, log.options());
  if (result.code == AuthLog::kNoMounts) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  // In those mounts the terminal cannot be found.
  CHECK(result.code == 1);
  CHECK_THAT(result.out, Catch::Contains("alice\\x0a\\x1b[2J (sshd"));
  const std::string line = log.line();
  CHECK_THAT(line, Catch::Contains("event=message site=default sessions=1 reached=0 text="
                                   R"("\x1b[2J\xff\x0aevent=revoke\x9b\x22 user=bob" )"));
  CHECK(log.line().empty());

  CHECK(sandbox.tool({"message", "--all", "\x1b[2J\xff\nnext\x9b"}).code == 0);
  CHECK_THAT(alice.shown(), Catch::Contains(": \\x1b[2J\\xff\\x0anext\\x9b\r"));
}

TEST_CASE("who cannot be reached by a message is named, with why") {
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice");
  const Process tunnel(sleeps), desktop(sleeps);
  sandbox.admit(login_of("tom", tunnel));
  sandbox.admit(login_of("gina", desktop, "lightdm", "", ":0"));
  Login browser = login_of("webb", tunnel, "web");
  browser.no_process = true;
  sandbox.admit(browser);
  const OnTerminal stopped(sandbox, "stan");
  const int slave = open(ptsname(stopped.terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  REQUIRE(tcflow(slave, TCOOFF) == 0);

  const ToolResult result = sandbox.tool({"message", "--all", "Hello"});
  CHECK(result.code == 1);
  CHECK_THAT(result.out,
             Catch::Contains("tom (sshd from 192.0.2.7): not reached: it has no terminal\n") &&
                 Catch::Contains("gina (lightdm): not reached: it is graphical\n") &&
                 Catch::Contains("webb (web from 192.0.2.7): not reached: it has no process\n") &&
                 Catch::Contains("stan (sshd from 192.0.2.7): not reached: its terminal takes "
                                 "nothing now\n") &&
                 Catch::EndsWith("\n1 of 5 sessions reached\n"));
  CHECK_THAT(alice.shown(), Catch::Contains(": Hello\r"));

  const nlohmann::json json = sandbox.tool({"message", "--all", "--json", "Hello"}).json();
  CHECK(json["site"] == "default");
  CHECK(json["reached"] == 1);
  std::vector<std::string> seen;
  for (const auto& session : json["sessions"]) {
    seen.push_back(session["user"].get<std::string>() + " " + session["result"].get<std::string>());
    CHECK(session["terminals"].size() == (session["user"] == "alice" ? 1 : 0));
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == std::vector<std::string>{"alice reached", "gina graphical", "stan stopped",
                                         "tom no_terminal", "webb no_process"});
  close(slave);
}

TEST_CASE("a terminal that two sessions share shows a message once") {
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice");
  Login login = login_of("alice", alice.process, "su");
  login.uid = geteuid();
  sandbox.admit(login);
  CHECK_THAT(sandbox.tool({"message", "--all", "Hello"}).out,
             Catch::Contains("2 of 2 sessions reached"));
  const std::string shown = alice.shown();
  CHECK(shown.find("Hello") == shown.rfind("Hello"));
}

TEST_CASE("a message goes to no terminal of somebody else") {
  if (geteuid() != 0) {
    WARN("skipped: only root can give a terminal away");
    return;
  }
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice");
  REQUIRE(chown(ptsname(alice.terminal), 1001, 0) == 0);
  CHECK_THAT(sandbox.tool({"message", "--all", "Hello"}).out,
             Catch::Contains("not reached: it has no terminal"));
  CHECK(alice.shown() == "");
}

TEST_CASE("a message needs a text, and whom it is for") {
  Sandbox sandbox;
  const OnTerminal alice(sandbox, "alice");
  CHECK(sandbox.tool({"message"}).code == 2);
  CHECK(sandbox.tool({"message", "--all"}).code == 2);
  CHECK(sandbox.tool({"message", "--all", ""}).code == 2);
  CHECK(sandbox.tool({"message", "Hello"}).code == 2);
  CHECK(sandbox.tool({"message", "--user", "alice", "--all", "Hello"}).code == 2);
  CHECK(sandbox.tool({"message", "--all", std::string(1001, 'x')}).code == 2);
  const ToolResult unquoted = sandbox.tool({"message", "--all", "Back", "at", "noon"});
  CHECK(unquoted.code == 2);
  CHECK_THAT(unquoted.err, Catch::Contains("put it in quotes"));
  CHECK(sandbox.tool({"message", "--user", "bob", "Hello"}).code == 3);
  CHECK(alice.shown() == "");
  CHECK(sandbox.tool({"message", "--all", std::string(1000, 'x')}).code == 0);
}

TEST_CASE("a user's message reaches the own sessions, and no others") {
  if (geteuid() != 0) {
    WARN("skipped: only root can be other users");
    return;
  }
  constexpr uid_t kAlice = 1000;
  Sandbox sandbox;
  int alices = -1, bobs = -1;
  const auto is = [](uid_t uid) {
    return [uid](const std::function<void()>& ready) {
      become(uid);
      prctl(PR_SET_DUMPABLE, 1);  // as what a login has executed: its user can look at it
      sleeps(ready);
    };
  };
  const Process alice(is(kAlice), &alices), bob(is(kAlice + 1), &bobs);
  REQUIRE(chown(ptsname(alices), kAlice, 0) == 0);
  REQUIRE(chown(ptsname(bobs), kAlice + 1, 0) == 0);
  sandbox.admit(login_of("alice", alice));
  Login login = login_of("bob", bob);
  login.uid = kAlice + 1;
  const std::string bobs_id = id_of(sandbox.admit(login));
  const DaemonProcess daemon(sandbox);
  ToolOptions options;
  options.environment = {daemon.environment()};
  options.before_exec = [] { become(kAlice); };

  const ToolResult own = sandbox.tool({"message", "--all", "Hello"}, options);
  CHECK(own.code == 0);
  CHECK_THAT(own.out, Catch::EndsWith("1 of 1 session reached\n"));
  CHECK_THAT(alice.terminal_output(), Catch::Contains(": Hello\r"));
  CHECK(sandbox.tool({"message", bobs_id, "Hello"}, options).code == 3);
  CHECK(bob.terminal_output() == "");
}
