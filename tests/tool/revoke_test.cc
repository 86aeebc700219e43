// sessreg revoke, with real processes that are more or less willing to go.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "../support/catch.h"
#include "auth_log.h"
#include "support.h"

using namespace sessreg;

namespace {

// A leader as sshd is: at SIGTERM it closes the session and exits. It cannot reach the registry
// here, so it just exits, which the tool must see as well.
void leader_with_child(const std::function<void()>& ready) {
  start_child(sleeps);
  ready();
  sleep_for_ever();
}

std::vector<pid_t> children_of_process(pid_t parent) {
  std::vector<pid_t> children;
  for (const pid_t pid : all_pids().value_or(std::vector<pid_t>()))
    if (const auto stat = read_process_stat(pid); stat && stat->ppid == parent)
      children.push_back(pid);
  return children;
}

nlohmann::json only_session(const ToolResult& result) {
  const nlohmann::json json = result.json();
  REQUIRE(json["sessions"].size() == 1);
  return json["sessions"][0];
}

}  // namespace

TEST_CASE("a revoked session's processes end and its seat is free") {
  Sandbox sandbox;
  const Process process(leader_with_child), other(sleeps);
  const std::string id = id_of(sandbox.admit(login_of("alice", process)));
  sandbox.admit(login_of("bob", other));
  const auto children = children_of_process(process.pid());
  REQUIRE(children.size() == 1);

  const ToolResult result =
      sandbox.tool({"revoke", id.substr(0, 8), "--grace", "1s", "--json", "--reason", "lunch"});
  CHECK(result.err == "");
  CHECK(result.code == 0);
  CHECK(only_session(result)["result"] == "ended");
  CHECK(only_session(result)["survivors"].empty());
  CHECK(!process.is_running());
  CHECK(!is_running(children[0]));
  CHECK(other.is_running());
  CHECK(sandbox.registry().count() == 1);
}

TEST_CASE("a session that ends at the first signal is not waited for") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  const ToolResult result = sandbox.tool({"revoke", "--user", "alice", "--grace", "1h"});
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::EndsWith("alice (sshd from 192.0.2.7): ended\n"));
}

TEST_CASE("processes that ignore SIGTERM and SIGHUP are killed, the leader last") {
  Sandbox sandbox;
  // It exits only once its child is gone; killed before that, it would leave it behind.
  const Process process([](const auto& ready) {
    ignores({SIGTERM, SIGHUP});
    start_child([](const auto& child_ready) {
      ignores({SIGTERM, SIGHUP});
      sleeps(child_ready);
    });
    signal(SIGCHLD, [](int) { _exit(0); });
    ready();
    sleep_for_ever();
  });
  sandbox.admit(login_of("alice", process));
  const auto children = children_of_process(process.pid());
  const ToolResult result = sandbox.tool({"revoke", "--all", "--grace", "0s", "--json"});
  CHECK(result.code == 0);
  CHECK(only_session(result)["result"] == "ended");
  CHECK(!is_running(children.at(0)));
  CHECK(!process.is_running());
  CHECK(sandbox.registry().count() == 0);
}

TEST_CASE("a leader that ignores everything is killed as well") {
  Sandbox sandbox;
  const Process process([](const auto& ready) {
    ignores({SIGTERM, SIGHUP});
    sleeps(ready);
  });
  sandbox.admit(login_of("alice", process));
  CHECK(sandbox.tool({"revoke", "--all", "--grace", "0s"}).code == 0);
  CHECK(!process.is_running());
}

TEST_CASE("a stopped process is woken to take its signal") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  kill(process.pid(), SIGSTOP);
  CHECK(sandbox.tool({"revoke", "--all", "--grace", "1h"}).code == 0);
  CHECK(!process.is_running());
}

TEST_CASE("background jobs in terminal sessions of their own are swept after the leader has gone") {
  Sandbox sandbox;
  const Process process([](const auto& ready) {
    start_child([](const auto& shell_ready) {
      setsid();
      start_child([](const auto& job_ready) {
        ignores({SIGHUP});
        sleeps(job_ready);
      });
      shell_ready();
      sleep_for_ever();
    });
    ready();
    sleep_for_ever();
  });
  sandbox.admit(login_of("alice", process));
  const pid_t shell = children_of_process(process.pid()).at(0);
  const pid_t job = children_of_process(shell).at(0);
  const ToolResult result = sandbox.tool({"revoke", "--all", "--grace", "1s"});
  CHECK(result.code == 0);
  CHECK(!is_running(shell));
  CHECK(!is_running(job));
}

TEST_CASE("an orphaned session's processes are ended") {
  Sandbox sandbox;
  const Process process(leader_with_child);
  sandbox.admit(login_of("alice", process));
  const pid_t child = children_of_process(process.pid()).at(0);
  kill(process.pid(), SIGKILL);
  REQUIRE(wait_until([&] { return !process.is_running(); }));
  REQUIRE(is_running(child));
  const ToolResult result = sandbox.tool({"revoke", "--all", "--grace", "5s", "--json"});
  CHECK(result.code == 0);
  CHECK(only_session(result)["state"] == "orphaned");
  CHECK(wait_until([&] { return !is_running(child); }));
  CHECK(sandbox.registry().count() == 0);
  end_everything_started();
}

TEST_CASE("a reservation is given back and nobody is signalled") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.reserve(login_of("alice", process));
  CHECK(sandbox.tool({"revoke", "--all"}).code == 0);
  CHECK(process.is_running());
  CHECK(sandbox.registry().count() == 0);
}

TEST_CASE("an exempt session can be revoked") {
  Sandbox sandbox;
  const Process process(sleeps);
  Admission admission;
  REQUIRE(sandbox.registry().list_exempt(login_of("root", process), admission));
  CHECK(sandbox.tool({"revoke", id_of(admission)}).code == 0);
  CHECK(!process.is_running());
  Snapshot snapshot;
  CHECK(!sandbox.registry().snapshot(admission.ref, snapshot));
}

TEST_CASE("a leader that also leads a session that stays is left alone") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.admit(login_of("bob", process));
  const ToolResult result = sandbox.tool({"revoke", "--user", "alice", "--grace", "0s", "--json"});
  CHECK(result.code == 1);
  CHECK(only_session(result)["result"] == "ending");
  CHECK(process.is_running());
  CHECK(sandbox.tool({"list", "--json", "--state", "ending"}).json()["sessions"].size() == 1);
  CHECK(sandbox.registry().count() == 1);
}

TEST_CASE(
    "a leader of several sessions is left alone when all are ended, and their seats are free") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.admit(login_of("bob", process));
  const ToolResult result = sandbox.tool({"revoke", "--all", "--yes", "--grace", "0s"});
  CHECK(result.code == 1);
  CHECK_THAT(result.out, Catch::Contains("ending: marked, without a seat; its process " +
                                         std::to_string(process.pid()) +
                                         " serves others too, and was left alone"));
  CHECK(process.is_running());
  CHECK(sandbox.registry().count() == 0);
}

TEST_CASE("a login's shell is hung up, not the login itself") {
  Sandbox sandbox;
  // Of login it is known that it ignores SIGTERM and closes the session when its shell ends.
  const Process process([](const auto& ready) {
    ignores({SIGTERM});
    start_child([](const auto& child_ready) {
      ignores({SIGTERM});
      sleeps(child_ready);
    });
    signal(SIGCHLD, [](int) { _exit(0); });
    ready();
    sleep_for_ever();
  });
  sandbox.admit(login_of("alice", process, "login", "", "/dev/tty1"));
  CHECK(sandbox.tool({"revoke", "--all", "--grace", "1h"}).code == 0);
}

TEST_CASE("a user's shell in place of a login program is hung up itself") {
  if (geteuid() != 0) {
    WARN("only root can be another user");
    return;
  }
  Sandbox sandbox;
  // As in a unit with PAMName=login: an interactive shell ignores SIGTERM.
  const Process process([](const auto& ready) {
    if (setuid(1) != 0) _exit(1);
    ignores({SIGTERM});
    sleeps(ready);
  });
  sandbox.admit(login_of("daemon", process, "login", "", "/dev/tty1"));
  CHECK(sandbox.tool({"revoke", "--all", "--grace", "1h"}).code == 0);
}

TEST_CASE("the session's terminal is told why, with nothing that could drive it") {
  Sandbox sandbox("sessions_limit = 7\nmessage_revoked = Bye {user}.\n");
  int terminal = -1;
  const Process process(sleeps, &terminal);
  Login login = login_of("alice", process);
  login.uid = geteuid();
  sandbox.admit(login);
  CHECK(sandbox
            .tool({"revoke", "--all", "--reason",
                   "\x1b[2Jmaint\xff"
                   "enance\n"})
            .code == 0);
  CHECK_THAT(process.terminal_output(),
             Catch::Contains("\nBye alice. (\\x1b[2Jmaint\\xffenance\\x0a)\r"));
}

TEST_CASE("no name or reason adds a line or a field to what the log says of a revocation") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("eve\n\x1b[2J\" by_uid=0", process));
  AuthLog log(sandbox);
  const ToolResult result = sandbox.tool(
      {"revoke", "--all", "--reason", "x\nevent=revoke\x9b\" user=bob"}, log.options());
  if (result.code == AuthLog::kNoMounts) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  CHECK(result.code == 0);
  const std::string line = log.line();
  CHECK_THAT(line, Catch::Contains(R"( user="eve\x0a\x1b[2J\x22 by_uid=0" )"));
  CHECK_THAT(line, Catch::Contains(R"( reason="x\x0aevent=revoke\x9b\x22 user=bob" )"));
  for (const char c : line)
    CHECK((c >= ' ' && c <= '~'));
  CHECK(log.line().empty());
}

TEST_CASE("the message to the user has every value filled in") {
  Sandbox sandbox(
      "sessions_limit = 7\n"
      "message_revoked = {limit} {count} {seconds} {site} {user} {service}\n");
  int terminal = -1;
  const Process process(sleeps, &terminal), other(sleeps);
  Login login = login_of("alice", process);
  login.uid = geteuid();
  sandbox.admit(login);
  sandbox.admit(login_of("bob", other));
  CHECK(sandbox.tool({"revoke", "--user", "alice", "--grace", "9s"}).code == 0);
  CHECK_THAT(process.terminal_output(), Catch::Contains("\n7 2 9 default alice sshd\r"));
}

TEST_CASE("a terminal that is somebody else's is not written to") {
  if (geteuid() != 0) {
    WARN("skipped: only root can give a terminal away");
    return;
  }
  Sandbox sandbox;
  int terminal = -1;
  const Process process(sleeps, &terminal);
  sandbox.admit(login_of("alice", process));
  REQUIRE(chown(ptsname(terminal), 1001, 0) == 0);
  CHECK(sandbox.tool({"revoke", "--all"}).code == 0);
  CHECK(process.terminal_output() == "");
}

TEST_CASE("a terminal of another devpts instance is not mistaken for ours of that number") {
  Sandbox sandbox;
  int terminal = -1;
  const Process outside(sleeps, &terminal);
  const std::string path = ptsname(terminal);
  // In mounts of its own, on the terminal of the same number.
  const auto is_inside = [&](bool keeps_ours_open) {
    return [&path, keeps_ours_open](const std::function<void()>& ready) {
      const int ours = open(path.c_str(), O_RDWR | O_NOCTTY);
      if (unshare(CLONE_NEWNS) != 0 ||
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") != 0) {
        ready();
        _exit(0);
      }
      for (int opened = 0; opened < 4096; ++opened) {
        const int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
        int unlock = 0, number = -1;
        if (ioctl(master, TIOCSPTLCK, &unlock) != 0 || ioctl(master, TIOCGPTN, &number) != 0) break;
        if ("/dev/pts/" + std::to_string(number) == path) break;
      }
      // As it leads its session, this becomes its controlling terminal.
      if (open(path.c_str(), O_RDWR) < 0) _exit(126);
      for (const int fd : {0, 1, 2}) {
        close(fd);
        if (keeps_ours_open) dup2(ours, fd);
      }
      close(ours);
      sleeps(ready);
    };
  };
  SECTION("not ours") {
    const Process inside(is_inside(false));
    usleep(100'000);
    if (!inside.is_running()) {
      WARN("skipped: no mount namespace to be had");
      return;
    }
    REQUIRE(read_process_stat(inside.pid())->tty_device ==
            read_process_stat(outside.pid())->tty_device);
    sandbox.admit(login_of("alice", inside));
    CHECK(sandbox.tool({"list", "--json", "--idle", "0s"}).json()["sessions"].empty());
    CHECK(sandbox.tool({"revoke", "--all"}).code == 0);
    CHECK(outside.terminal_output() == "");
  }
  SECTION("ours, as it has that open") {
    const Process inside(is_inside(true));
    usleep(100'000);
    if (!inside.is_running()) {
      WARN("skipped: no mount namespace to be had");
      return;
    }
    Login login = login_of("alice", inside);
    login.uid = geteuid();
    sandbox.admit(login);
    CHECK(sandbox.tool({"revoke", "--all"}).code == 0);
    CHECK_THAT(outside.terminal_output(), Catch::Contains("\r\n"));
  }
}

TEST_CASE("whole names decide who is revoked, not what fits into a record") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  const std::string user(40, 'u'), service(24, 's'), host(48, 'h');
  sandbox.admit(login_of(user + "1", first, service + "1", host + "1"));
  sandbox.admit(login_of("bob", second, "sshd", std::string(44, 'h')));
  for (const auto& [option, value] :
       {std::pair{"--user", user}, std::pair{"--user", user + "2"}, std::pair{"--service", service},
        std::pair{"--service", service + "2"}, std::pair{"--host", host},
        std::pair{"--host", host + "1"}, std::pair{"--host", host + "2"}}) {
    CAPTURE(option, value);
    CHECK(sandbox.tool({"revoke", option, value, "--dry-run"}).code == 3);
  }
  for (const auto& [option, value] :
       {std::pair{"--user", user + "1"}, std::pair{"--service", service + "1"},
        std::pair{"--host", std::string(44, 'h')}}) {
    CAPTURE(option, value);
    CHECK(sandbox.tool({"revoke", option, value, "--dry-run"}).code == 0);
  }
}

TEST_CASE("the reason is kept in the registry while the session ends") {
  Sandbox sandbox;
  const Process process(sleeps);
  const Admission admission = sandbox.admit(login_of("alice", process));
  sandbox.admit(login_of("bob", process));
  sandbox.tool({"revoke", id_of(admission), "--reason", "zu sp\xc3\xa4t"});
  CHECK(sandbox.tool({"show", id_of(admission), "--json"}).json()["reason"] == "zu sp\xc3\xa4t");
}

TEST_CASE("several sessions need --yes where nobody can be asked") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  sandbox.admit(login_of("alice", first));
  sandbox.admit(login_of("bob", second));
  const ToolResult refused = sandbox.tool({"revoke", "--all"});
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("2 sessions would be ended: add --yes"));
  CHECK(first.is_running());
  CHECK(second.is_running());
  CHECK(sandbox.tool({"list", "--json", "--state", "ending"}).json()["sessions"].empty());

  CHECK(sandbox.tool({"revoke", "--all", "--yes"}).code == 0);
  CHECK(!first.is_running());
  CHECK(!second.is_running());
}

TEST_CASE("several sessions are asked about on a terminal") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  sandbox.admit(login_of("alice", first));
  sandbox.admit(login_of("bob", second));
  ToolOptions options;
  options.input = "n\n";
  const ToolResult no = sandbox.tool_on_terminal(80, {"revoke", "--all"}, options);
  CHECK(no.code == 1);
  CHECK_THAT(no.out, Catch::Contains("End these 2 sessions? [y/N]"));
  CHECK(first.is_running());
  options.input = GENERATE("y\n", " Yes \n");
  CHECK(sandbox.tool_on_terminal(80, {"revoke", "--all"}, options).code == 0);
  CHECK(!first.is_running());
  CHECK(!second.is_running());
}

TEST_CASE("one session is asked about as several are, with what tells it from others") {
  Sandbox sandbox;
  int terminal = -1;
  const Process typed(sleeps, &terminal), tunnel(sleeps);
  Login login = login_of("alice", typed);
  login.uid = geteuid();
  const std::string id = id_of(sandbox.admit(login));
  sandbox.admit(login_of("bob", tunnel));
  ToolOptions options;
  options.input = "n\n";
  const ToolResult one = sandbox.tool_on_terminal(80, {"revoke", "--user", "alice"}, options);
  CHECK(one.code == 1);
  CHECK_THAT(one.out, Catch::Contains("End this session? [y/N]"));
  CHECK(typed.is_running());
  const ToolResult both = sandbox.tool_on_terminal(80, {"revoke", "--all"}, options);
  const std::string tty = std::string(ptsname(terminal)).substr(5);
  CHECK_THAT(both.out,
             Catch::Matches("[^]*\nid +user +service +from +tty +idle\n[^]*") &&
                 Catch::Matches("[^]*\n" + id.substr(0, 8) + "  alice +sshd +192\\.0\\.2\\.7 +" +
                                tty + " +[0-9]+s\n[^]*") &&
                 Catch::Matches("[^]*  bob +sshd +192\\.0\\.2\\.7 +ssh +-\n[^]*"));
  options.input = "y\n";
  const ToolResult yes = sandbox.tool_on_terminal(80, {"revoke", id}, options);
  CHECK(yes.code == 0);
  CHECK_THAT(yes.out, Catch::Contains(id.substr(0, 8) + "  alice (sshd from 192.0.2.7): ended\n"));
  // Where nobody can be asked, one is ended all the same.
  CHECK(sandbox.tool({"revoke", "--user", "bob"}).code == 0);
}

TEST_CASE("a dry run shows what would end and ends nothing") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  sandbox.admit(login_of("alice", first));
  sandbox.admit(login_of("bob", second));
  const ToolResult result = sandbox.tool({"revoke", "--all", "--dry-run", "--json"});
  CHECK(result.code == 0);
  CHECK(result.json()["dry_run"] == true);
  CHECK(result.json()["sessions"][0]["result"] == "would_end");
  CHECK(result.json()["sessions"].size() == 2);
  CHECK(first.is_running());
  CHECK(sandbox.tool({"list", "--json", "--state", "ending"}).json()["sessions"].empty());
}

TEST_CASE("the caller's own session is left alone without --self") {
  Sandbox sandbox;
  const Process other(sleeps);
  // A process of the session that waits for a word, then runs the tool and keeps its exit code.
  const std::string go = sandbox.directory() + "/go", done = sandbox.directory() + "/done";
  const auto run_inside = [&](const std::vector<std::string>& words) {
    return [&sandbox, go, done, words](const auto& ready) {
      ready();
      while (access(go.c_str(), F_OK) != 0)
        usleep(10'000);
      const int code = sandbox.tool(words).code;
      std::ofstream(done + ".new") << code;
      rename((done + ".new").c_str(), done.c_str());
      sleep_for_ever();
    };
  };
  const auto code_inside = [&] {
    std::ofstream(go) << "go";
    REQUIRE(wait_until([&] { return access(done.c_str(), F_OK) == 0; }));
    int code = -1;
    std::ifstream(done) >> code;
    return code;
  };
  sandbox.admit(login_of("other", other));

  SECTION("all: the others are ended") {
    const Process own(run_inside({"revoke", "--all", "--yes"}));
    sandbox.admit(login_of("own", own));
    CHECK(code_inside() == 0);
    CHECK(!other.is_running());
    CHECK(own.is_running());
    const nlohmann::json left = sandbox.tool({"list", "--json"}).json()["sessions"];
    REQUIRE(left.size() == 1);
    CHECK(left[0]["state"] == "active");
  }
  SECTION("named by its user: refused") {
    const Process own(run_inside({"revoke", "--user", "own"}));
    sandbox.admit(login_of("own", own));
    CHECK(code_inside() == 2);
    CHECK(own.is_running());
  }
  SECTION("named as the only one: ended with --self") {
    const Process own(run_inside({"revoke", "--user", "own", "--self"}));
    sandbox.admit(login_of("own", own));
    std::ofstream(go) << "go";
    CHECK(wait_until([&] { return !own.is_running(); }));
    CHECK(wait_until([&] {
      return sandbox.tool({"list", "--json", "--user", "own"}).json()["sessions"].empty();
    }));
    CHECK(other.is_running());
  }
}

TEST_CASE("no session that fits is exit code 3, and what to end must be said") {
  Sandbox sandbox;
  CHECK(sandbox.tool({"revoke", "--all"}).code == 3);
  const Process process(sleeps);
  const std::string id = id_of(sandbox.admit(login_of("alice", process)));
  CHECK(sandbox.tool({"revoke", "--user", "bob"}).code == 3);
  CHECK(sandbox.tool({"revoke", id[0] == '0' ? "1111" : "0000"}).code == 3);
  CHECK(sandbox.tool({"revoke"}).code == 2);
  CHECK(sandbox.tool({"revoke", id, "--all"}).code == 2);
  CHECK(sandbox.tool({"revoke", "--user", "alice", "--all"}).code == 2);
  CHECK(sandbox.tool({"revoke", id, "--grace", "soon"}).code == 2);
  CHECK(sandbox.tool({"revoke", "--idle", "1h"}).code == 3);
  CHECK(process.is_running());
}
