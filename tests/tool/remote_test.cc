// The tool of users who may not read the registry: through the daemon's socket.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "../support/catch.h"
#include "daemon_process.h"
#include "session/activity.h"
#include "token/token_key.h"

using namespace sessreg;

namespace {

constexpr uid_t kAlice = 1000;  // of whom login_of() makes sessions
constexpr uid_t kBob = 1001;

bool can_become_others() {
  if (geteuid() == 0) return true;
  WARN("skipped: only root can be other users");
  return false;
}

struct Site {
  Sandbox sandbox;
  Process alices{sleeps}, bobs{sleeps};
  Admission alice, bob;

  explicit Site(const std::string& configuration = "sessions_limit = 7\n")
      : sandbox(configuration) {
    sandbox.registry().set_token_maker([this](const RecordImage& record, std::uint32_t slot) {
      const auto key = load_or_make_key(sandbox.key_path());
      REQUIRE(key);
      const auto token =
          token_for(record, slot, "default", std::string(text_of(record.user)), *key);
      REQUIRE(token);
      return *token;
    });
    alice = sandbox.admit(login_of("alice", alices));
    Login login = login_of("bob", bobs, "sshd", "198.51.100.9");
    login.uid = kBob;
    bob = sandbox.admit(login);
  }

  ToolResult as(uid_t uid, std::vector<std::string> arguments, const std::string& socket,
                std::vector<std::string> environment = {}) const {
    ToolOptions options;
    options.environment = std::move(environment);
    options.environment.push_back(socket);
    options.before_exec = [uid] { become(uid); };
    return sandbox.tool(std::move(arguments), options);
  }
};

}  // namespace

TEST_CASE("without a daemon, who is not root is told what to do") {
  if (!can_become_others()) return;
  const Site site;
  const std::string nowhere = "SESSREG_SOCKET=" + site.sandbox.directory() + "/none.sock";
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"list"},
                                                    {"list", "--csv"},
                                                    {"show", id_of(site.alice)},
                                                    {"revoke", id_of(site.alice)},
                                                    {"touch", site.alice.token}}) {
    const ToolResult result = site.as(kAlice, arguments, nowhere);
    CHECK(result.code == 4);
    CHECK(result.out.empty());
    CHECK(result.err == "sessreg: only root may read " + site.sandbox.registry_path() +
                            ", and no daemon answers on " + site.sandbox.directory() +
                            "/none.sock: ask the administrator to start sessregd, or use sudo\n");
  }
  const ToolResult json = site.as(kAlice, {"list", "--json"}, nowhere);
  CHECK(parse_json(json.err)["error"] == "no_daemon");
}

TEST_CASE("what only root may do is refused with a daemon as well") {
  if (!can_become_others()) return;
  const Site site;
  const DaemonProcess daemon(site.sandbox);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"status"}, {"limit", "3"}, {"purge"}, {"failures"}}) {
    const ToolResult result = site.as(kAlice, arguments, daemon.environment());
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::EndsWith("only root may do this\n"));
  }
}

TEST_CASE("a user lists the own sessions, in every form, as root would see them") {
  if (!can_become_others()) return;
  const Site site;
  const DaemonProcess daemon(site.sandbox);
  const auto of_alice = [&](const std::vector<std::string>& arguments) {
    const ToolResult seen = site.as(kAlice, arguments, daemon.environment());
    CHECK(seen.code == 0);
    CHECK(seen.err.empty());
    return seen.out;
  };
  // All but the time that has passed meanwhile.
  const auto same = [](nlohmann::json json) {
    for (auto& session : json["sessions"]) {
      session.erase("idle_seconds");
      session.erase("last_activity");
    }
    return json;
  };
  const auto seen = parse_json(of_alice({"list", "--json"}));
  CHECK(seen["active"] == 2);
  CHECK(seen["limit"] == 7);
  REQUIRE(seen["sessions"].size() == 1);
  const auto by_root = site.sandbox.tool({"list", "--user", "alice", "--json"}).json();
  CHECK(same(seen) == same(by_root));

  const std::string id = id_of(site.alice);
  CHECK_THAT(of_alice({"list"}), Catch::Contains(id) && !Catch::Contains(id_of(site.bob)));
  CHECK_THAT(of_alice({"list", "--csv"}), Catch::Contains("\r\n" + id + ",default,alice,1000,"));
  CHECK_THAT(of_alice({"list", "--tsv"}), Catch::StartsWith(id + "\tdefault\talice\t1000\t"));
  CHECK(parse_json(of_alice({"list", "--by-user", "--json"}))["users"].size() == 1);
  CHECK(parse_json(of_alice({"list", "--user", "bob", "--json"}))["sessions"].empty());
  CHECK(parse_json(
            of_alice({"list", "--host", "192.0.2.7", "--service", "sshd", "--json"}))["sessions"]
            .size() == 1);
  CHECK(parse_json(of_alice({"show", id.substr(0, 8), "--json"}))["pid"] == site.alices.pid());
  CHECK_THAT(of_alice({"show", id}), Catch::Contains("user           alice\n"));

  const ToolResult others = site.as(kAlice, {"show", id_of(site.bob)}, daemon.environment());
  CHECK(others.code == 3);
  CHECK(others.err == "sessreg: no session of yours with the id " + id_of(site.bob) + "\n");
}

TEST_CASE("more sessions than one answer holds are all listed") {
  if (!can_become_others()) return;
  Site site("sessions_limit = -1\n");
  for (int i = 0; i < 250; ++i)
    site.sandbox.admit(login_of("alice", site.alices, "svc" + std::to_string(i)));
  const DaemonProcess daemon(site.sandbox);
  const ToolResult seen = site.as(kAlice, {"list", "--json"}, daemon.environment());
  CHECK(seen.json()["sessions"].size() == 251);
}

TEST_CASE("a user ends the own sessions, and no others") {
  if (!can_become_others()) return;
  const Site site;
  const DaemonProcess daemon(site.sandbox);
  const std::string alice = id_of(site.alice), bob = id_of(site.bob);
  CHECK(site.as(kAlice, {"revoke", bob}, daemon.environment()).code == 3);
  CHECK(site.as(kAlice, {"revoke", "--user", "bob"}, daemon.environment()).code == 3);

  const auto dry =
      site.as(kAlice, {"revoke", "--all", "--dry-run", "--json"}, daemon.environment()).json();
  REQUIRE(dry["sessions"].size() == 1);
  CHECK(dry["sessions"][0]["result"] == "would_end");
  CHECK(site.alices.is_running());

  const ToolResult result = site.as(
      kAlice, {"revoke", alice.substr(0, 10), "--reason", "done", "--grace", "1s", "--json"},
      daemon.environment());
  CHECK(result.code == 0);
  CHECK(result.json()["sessions"][0]["result"] == "ended");
  CHECK(!site.alices.is_running());
  CHECK(site.bobs.is_running());
}

TEST_CASE("several of a user's sessions are ended at once, after a yes") {
  if (!can_become_others()) return;
  Site site;
  struct Shared {
    std::atomic<int> asked, alone;
  };
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(shared != MAP_FAILED);
  // Goes when the other has been asked to go as well.
  const auto goes_with_other = [shared](const auto& ready) {
    ignores({SIGHUP});
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, nullptr);
    ready();
    int signal = 0;
    sigwait(&term, &signal);
    ++shared->asked;
    if (!wait_until([shared] { return shared->asked == 2; })) ++shared->alone;
    _exit(0);
  };
  const Process first(goes_with_other);
  const Process second(goes_with_other);
  site.sandbox.admit(login_of("alice", first));
  site.sandbox.admit(login_of("alice", second));
  const DaemonProcess daemon(site.sandbox);
  const ToolResult asked = site.as(kAlice, {"revoke", "--all"}, daemon.environment());
  CHECK(asked.code == 2);
  CHECK_THAT(asked.err, Catch::Contains("3 sessions would be ended: add --yes"));

  const ToolResult all = site.as(kAlice, {"revoke", "--all", "--yes", "--grace", "30s", "--json"},
                                 daemon.environment());
  CHECK(shared->asked == 2);
  CHECK(shared->alone == 0);
  CHECK(all.code == 0);
  CHECK(all.json()["sessions"].size() == 3);
  CHECK((!first.is_running() && !second.is_running()));
  CHECK(site.bobs.is_running());
}

TEST_CASE("a user's own session is left alone without --self through the daemon too") {
  if (!can_become_others()) return;
  Site site;
  const DaemonProcess daemon(site.sandbox);
  const std::string out = site.sandbox.directory() + "/out";
  // A login shell of alice that runs the tool.
  std::string id;
  int go[2];
  REQUIRE(pipe(go) == 0);
  const Process shell([&](const auto& ready) {
    ready();
    char line[64] = {};
    if (read(go[0], line, sizeof line - 1) <= 0) _exit(1);
    const ToolResult result =
        site.as(kAlice, {"revoke", std::string(line), "--json"}, daemon.environment());
    _exit(result.code == 2 && result.err.find("own_session") != std::string::npos ? 0 : 1);
  });
  id = id_of(site.sandbox.admit(login_of("alice", shell)));
  REQUIRE(write(go[1], id.data(), id.size()) == static_cast<ssize_t>(id.size()));
  int status = -1;
  REQUIRE(waitpid(shell.pid(), &status, 0) == shell.pid());
  CHECK(WEXITSTATUS(status) == 0);
  close(go[0]);
  close(go[1]);
}

TEST_CASE("a token's bearer marks its session through the daemon, whoever it is") {
  if (!can_become_others()) return;
  const Site site;
  const DaemonProcess daemon(site.sandbox);
  const auto touch = [&](const std::string& token) {
    return site.as(kBob, {"touch", "--json"}, daemon.environment(), {"SESSREG_TOKEN=" + token});
  };
  CHECK(touch(site.alice.token).json() ==
        nlohmann::json{{"marked", true}, {"site", "default"}, {"id", id_of(site.alice)}});

  const auto error = [&](const std::string& token, int code) {
    const ToolResult result = touch(token);
    CHECK(result.code == code);
    return parse_json(result.err)["error"].get<std::string>();
  };
  std::string forged = site.alice.token;
  forged[60] = forged[60] == 'A' ? 'B' : 'A';
  CHECK(error(forged, 6) == "token_invalid");
  const auto key = load_or_make_key(site.sandbox.key_path());
  REQUIRE(key);
  const std::int64_t now_s = now().realtime_ms / 1000;
  const auto signed_for = [&](std::int64_t issued_s, std::int64_t expires_s) {
    return *issue_token(*key, {"default", "alice", {1, 2, 3}, issued_s, expires_s, 3});
  };
  CHECK(error(signed_for(now_s, now_s + 60), 3) == "no_such_session");
  CHECK(error(signed_for(now_s - 60, now_s - 1), 6) == "session_expired");
}

TEST_CASE("a parked session's user gets the site's message through the daemon") {
  if (!can_become_others()) return;
  Site site("sessions_limit = 2\nidle_after = 1s\nmessage_site_full = full with {limit}\n");
  Terms terms = site.sandbox.terms();
  terms.idle_after_s = terms.shortest_idle_s = 1;
  REQUIRE(site.sandbox.registry().release(site.alice.ref));
  const Admission alice = site.sandbox.admit(login_of("alice", site.alices), terms);
  const DaemonProcess daemon(site.sandbox);
  const auto touch = [&] {
    return site.as(kAlice, {"touch"}, daemon.environment(), {"SESSREG_TOKEN=" + alice.token});
  };
  REQUIRE(touch().code == 0);
  const Process third(sleeps);
  REQUIRE(wait_until([&] {
    return site.sandbox.registry()
        .admit(login_of("carol", third), terms, SystemProcesses())
        .admitted();
  }));
  const ToolResult full = touch();
  CHECK(full.code == 6);
  CHECK(full.err == "sessreg: full with 2\n");
}

TEST_CASE("an answer that no daemon gives is an error, and shows nothing of it") {
  if (!can_become_others()) return;
  const Site site;
  const auto answered = [&](const std::string& answer) {
    const std::string path = site.sandbox.directory() + "/fake.sock";
    unlink(path.c_str());
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    REQUIRE(listen(listener, 1) == 0);
    const Process fake([&](const auto& ready) {
      ready();
      const int peer = accept(listener, nullptr, nullptr);
      char call[4096];
      if (read(peer, call, sizeof call) <= 0) _exit(1);
      if (write(peer, answer.c_str(), answer.size() + 1) < 0) _exit(1);
      sleep_for_ever();
    });
    close(listener);
    ToolResult result = site.as(kAlice, {"list", "--json"}, "SESSREG_SOCKET=" + path);
    CHECK(result.out.empty());
    return result;
  };
  const auto with = [](const std::string& session) {
    return R"({"parameters":{"site":"default","limit":7,"active":1,"sessions":[)" + session + "]}}";
  };
  const std::string good =
      R"({"id":"0123456789abcdef0123456789abcdef","site":"default","user":"alice","uid":1000,)"
      R"("service":"sshd","state":"active","opened":"2026-01-31T12:00:00Z","idle_seconds":5,)"
      R"("pid":1,"seat":true,"can_idle":true})";
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string session = good;
    session.replace(session.find(from), from.size(), to);
    return with(session);
  };
  for (const std::string& bad :
       {std::string(R"({"parameters":{}})"
                    "x"),
        with("7"), with("{}"), changed("0123456789abcdef0", "XXXXXXXXXXXXXXXXX"),
        changed("\"default\"", "\"lab\""), changed("alice", std::string(200, 'a')),
        changed("alice", "a\\u0000b"), changed(":1000", ":-1"), changed("active", "asleep"),
        changed("2026-01-31", "2026-01-32"), changed("_seconds\":5", "_seconds\":-5"),
        changed("\"pid\":1", "\"pid\":99999999999"), changed("true", "1"),
        std::string(R"({"parameters":{"site":"default","limit":-2,"active":1,"sessions":[]}})"),
        std::string(R"({"error":"org.example.Odd"})")}) {
    const ToolResult result = answered(bad);
    INFO(bad);
    CHECK(result.code == 1);
    const auto error = parse_json(result.err);
    CHECK((error["error"] == "bad_answer" || error["error"] == "daemon"));
  }
}

TEST_CASE("status tells whether the daemon is at work") {
  Sandbox sandbox;
  sandbox.registry();
  const auto told = [&] { return sandbox.tool({"status", "--json"}).json()["daemon"]; };
  CHECK(told() == nlohmann::json{{"alive", false}, {"pid", nullptr}, {"last_seen", nullptr}});
  CHECK_THAT(sandbox.tool({"status"}).out, Catch::Contains("\ndaemon             not running\n"));
  pid_t pid = 0;
  {
    const DaemonProcess daemon(sandbox);
    pid = daemon.pid();
    REQUIRE(wait_until([&] { return told()["alive"] == true; }));
    CHECK(told()["pid"] == pid);
    CHECK(told()["last_seen"].is_string());
    CHECK_THAT(sandbox.tool({"status"}).out,
               Catch::Contains("alive (pid " + std::to_string(pid) + ", seen "));
  }
  CHECK(told()["alive"] == false);
  CHECK(told()["pid"] == pid);
  CHECK_THAT(sandbox.tool({"status"}).out,
             Catch::Contains("not running (pid " + std::to_string(pid) + ", last seen "));
  // One that hangs is as good as none.
  sandbox.registry().note_daemon(getpid(), now().boottime_ms - 11'000);
  CHECK(told()["alive"] == false);
  sandbox.registry().note_daemon(getpid(), now().boottime_ms);
  CHECK(told()["alive"] == true);
}
