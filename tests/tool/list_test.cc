// sessreg list and show: which sessions, in which order, in which form.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "../support/catch.h"
#include "../support/version2.h"
#include "support.h"

using namespace sessreg;
using namespace std::string_literals;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

std::vector<std::string> users_in(const ToolResult& result) {
  std::vector<std::string> users;
  const nlohmann::json json = result.json();
  for (const auto& session : json["sessions"])
    users.push_back(session["user"]);
  return users;
}

using Names = std::vector<std::string>;

// The user who runs the tests owns the terminals.
Login owning_its_terminal(Login login) {
  login.uid = geteuid();
  return login;
}

}  // namespace

TEST_CASE("without a registry the list is empty") {
  const Sandbox sandbox;
  const ToolResult table = sandbox.tool({"list"});
  CHECK(table.code == 0);
  CHECK(table.err == "");
  CHECK(lines_of(table.out).size() == 1);
  const ToolResult json = sandbox.tool({"list", "--json"});
  CHECK(json.code == 0);
  CHECK(json.json() == parse_json(R"({"site":"default","limit":7,"active":0,"sessions":[]})"));
  const ToolResult terminal = sandbox.tool_on_terminal(80, {"list"});
  CHECK(terminal.code == 0);
  CHECK(terminal.out ==
        "0 of 7 seats\nsessreg: no registry for site default: nobody has logged in "
        "since boot, or the module is not in a PAM stack; run 'sessreg --conf " +
            sandbox.conf_path() + " check'\n");
}

TEST_CASE("a session is listed with every key of its JSON object, and no other") {
  Sandbox sandbox;
  const Process process(sleeps);
  const Admission admission = sandbox.admit(login_of("alice", process));
  const ToolResult result = sandbox.tool({"list", "--json"});
  REQUIRE(result.code == 0);
  const nlohmann::json json = result.json();
  CHECK(json["site"] == "default");
  CHECK(json["limit"] == 7);
  CHECK(json["active"] == 1);
  REQUIRE(json["sessions"].size() == 1);
  nlohmann::json session = json["sessions"][0];
  for (const char* key : {"opened", "last_activity"}) {
    CHECK_THAT(session[key].get<std::string>(),
               Catch::Matches(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"));
    session.erase(key);
  }
  CHECK(session["idle_seconds"].get<int>() < 60);
  session.erase("idle_seconds");
  CHECK(session == nlohmann::json({{"id", id_of(admission)},
                                   {"site", "default"},
                                   {"user", "alice"},
                                   {"uid", 1000},
                                   {"service", "sshd"},
                                   {"host", "192.0.2.7"},
                                   {"tty", "ssh"},
                                   {"state", "active"},
                                   {"expires", nullptr},
                                   {"pid", process.pid()},
                                   {"seat", true},
                                   {"reason", nullptr},
                                   {"process", true},
                                   {"terminal", nullptr},
                                   {"command", nullptr},
                                   {"here", false}}));
}

TEST_CASE("a session without host and terminal has null in JSON and a dash in the table") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process, "su", "", ""));
  const nlohmann::json session = sandbox.tool({"list", "--json"}).json()["sessions"][0];
  CHECK(session["host"].is_null());
  CHECK(session["tty"].is_null());
  CHECK_THAT(sandbox.tool({"list"}).out, Catch::Contains("alice  su       -     -    active"));
}

TEST_CASE("the terminal that the processes have is listed, and what runs in its foreground") {
  Sandbox sandbox;
  int terminal = -1;
  // Named as its user likes.
  const Process process(
      [](const auto& ready) {
        prctl(PR_SET_NAME, "ev\x1b[2J,");
        sleeps(ready);
      },
      &terminal);
  const Process tunnel(sleeps);
  Login login = login_of("alice", process);
  login.uid = geteuid();
  const std::string id = id_of(sandbox.admit(login));
  sandbox.admit(login_of("bob", tunnel));
  const std::string tty = std::string(ptsname(terminal)).substr(5);
  for (const nlohmann::json& session :
       {sandbox.tool({"list", "--user", "alice", "--json"}).json()["sessions"].at(0),
        sandbox.tool({"show", id, "--json"}).json()}) {
    CHECK(session["tty"] == "ssh");
    CHECK(session["terminal"] == tty);
    CHECK(session["command"] == "ev\x1b[2J,");
    CHECK(session["here"] == false);
  }
  const std::string table = sandbox.tool({"list"}).out;
  CHECK_THAT(table, Catch::Contains("alice  sshd     192.0.2.7  " + tty + "  active"));
  CHECK_THAT(table, Catch::Contains("bob    sshd     192.0.2.7  ssh"));
  CHECK_THAT(table, !Catch::Contains("command"));
  const std::string wide = sandbox.tool({"list", "--wide"}).out;
  CHECK_THAT(wide, Catch::Contains("pid") && Catch::Contains("  command\n") &&
                       Catch::Contains("  ev\\x1b[2J,\n"));
  CHECK_THAT(sandbox.tool({"list", "--wide"}).out, Catch::Contains("  -\n"));
  ToolOptions ascii;  // one byte a column
  ascii.environment = {"LC_ALL=C", "NO_COLOR=1"};
  for (const std::string& line :
       lines_of(sandbox.tool_on_terminal(80, {"list", "--wide"}, ascii).out))
    CHECK(line.size() <= 80);
  CHECK_THAT(sandbox.tool({"list", "--csv"}).out,
             Catch::Contains("," + tty + ",\"ev\\x1b[2J,\",false\r\n"));
  CHECK_THAT(sandbox.tool({"show", id}).out,
             Catch::Contains("\nterminal       " + tty + "\ncommand        ev\\x1b[2J,\n"));
  CHECK(sandbox.tool({"list", "--wide", "--by-user"}).code == 2);
}

TEST_CASE("the session that the command runs in is marked") {
  Sandbox sandbox;
  const Process other(sleeps);
  const std::string go = sandbox.directory() + "/go", done = sandbox.directory() + "/done";
  const Process own([&](const auto& ready) {
    ready();
    while (access(go.c_str(), F_OK) != 0)
      usleep(10'000);
    std::ofstream(done + ".new") << sandbox.tool({"list", "--json"}).out << '\0'
                                 << sandbox.tool_on_terminal(80, {"list"}).out << '\0'
                                 << sandbox.tool({"list"}).out;
    rename((done + ".new").c_str(), done.c_str());
    sleep_for_ever();
  });
  sandbox.admit(login_of("other", other));
  sandbox.admit(login_of("own", own));
  std::ofstream(go) << "go";
  REQUIRE(wait_until([&] { return access(done.c_str(), F_OK) == 0; }));
  std::string json, shown, piped;
  std::ifstream file(done);
  std::getline(file, json, '\0');
  std::getline(file, shown, '\0');
  std::getline(file, piped, '\0');
  const nlohmann::json listed = parse_json(json);
  REQUIRE(listed["sessions"].size() == 2);
  for (const nlohmann::json& session : listed["sessions"])
    CHECK(session["here"] == (session["user"] == "own"));
  CHECK_THAT(shown, Catch::Contains("active*  ") && Catch::EndsWith("; * you are here\n"));
  for (const std::string& line : lines_of(shown)) {
    CHECK(line.size() <= 80);
    if (line.find("other") != line.npos) CHECK(line.find('*') == line.npos);
  }
  CHECK(piped.find('*') == piped.npos);
}

TEST_CASE("the stalest session comes first, and other orders can be asked for") {
  Sandbox sandbox;
  const Process process(sleeps), other(sleeps), third(sleeps);
  const Admission zoe = sandbox.admit(login_of("zoe", process));
  usleep(250'000);  // activity is kept in fifths of a second
  sandbox.admit(login_of("bob", other));
  usleep(250'000);
  sandbox.admit(login_of("carol", third));
  usleep(250'000);
  sandbox.registry().touch(zoe.ref, now().boottime_ms);
  CHECK(users_in(sandbox.tool({"list", "--json"})) == Names{"bob", "carol", "zoe"});
  CHECK(users_in(sandbox.tool({"--json", "list", "--sort", "opened"})) ==
        Names{"zoe", "bob", "carol"});
  CHECK(users_in(sandbox.tool({"--json", "list", "--sort", "user"})) ==
        Names{"bob", "carol", "zoe"});
}

TEST_CASE("of a thousand sessions used at the same moments, equals are in the order of their ids") {
  const Sandbox sandbox;
  version2::Version2 old(*host_identity());
  const std::uint64_t now_ms = now().boottime_ms;
  for (std::uint32_t slot = 0; slot < version2::kSlots; ++slot)
    old.add(slot, Stage::parked, RecordKind::session, slot % 2 == 0 ? "used" : "stale", now_ms / 4,
            slot % 2 == 0 ? now_ms : now_ms / 2);
  for (std::uint32_t slot = 0; slot < version2::kSlots; ++slot) {
    auto id = hash128({}, std::to_string(slot));
    std::fill_n(id.begin(), 4, std::uint8_t{0xab});  // that much of them is equal
    old.put(version2::Version2::at(slot) + 32, id);
  }
  std::ofstream(sandbox.registry_path(), std::ios::binary) << old.bytes();
  chmod(sandbox.registry_path().c_str(), 0600);

  const auto lines = lines_of(sandbox.tool({"list", "--tsv"}).out);
  REQUIRE(lines.size() == version2::kSlots);
  std::vector<std::string> ids[2];
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool is_stale = i < lines.size() / 2;
    CHECK((lines[i].find("\tstale\t") != std::string::npos) == is_stale);
    ids[is_stale].push_back(lines[i].substr(0, 32));
  }
  for (const auto& of_one_moment : ids)
    CHECK(std::is_sorted(of_one_moment.begin(), of_one_moment.end()));
}

TEST_CASE("no field of a tab-separated line is empty, also of a record that is damaged") {
  const Sandbox sandbox;
  version2::Version2 old(*host_identity());
  old.add(0, Stage::parked, RecordKind::session, "", now().boottime_ms / 4, now().boottime_ms);
  std::ofstream(sandbox.registry_path(), std::ios::binary) << old.bytes();
  chmod(sandbox.registry_path().c_str(), 0600);
  const std::string line = sandbox.tool({"list", "--tsv"}).out;
  CHECK(std::count(line.begin(), line.end(), '\t') == 18);
  CHECK(line.find("\t\t") == line.npos);
}

TEST_CASE("a long list, which threads share, is as one thread would write it") {
  constexpr std::size_t kSessions = 40'000;
  Sandbox sandbox("");
  auto registry = Registry::open_or_create(sandbox.registry_path(), *host_identity(), kSessions);
  REQUIRE(registry);
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  registry->publish_limit(registry->published_limit(), terms.site);
  Login login = login_of("", process);
  for (std::size_t i = 0; i < kSessions; ++i) {
    login.user = (i % 100 == 0 ? "w\u00eft, \"" : "user") + std::to_string(i % 1000);
    terms.lifetime_ms = i % 2 == 0 ? 3'600'000 : 0;
    REQUIRE(registry->admit(login, terms, SystemProcesses()).admitted());
  }
  // Of the processors that there are, and of one.
  const auto first_column = [&](const std::vector<std::string>& arguments, char end,
                                const ToolOptions& options) {
    const ToolResult result = sandbox.tool(arguments, options);
    CHECK(result.code == 0);
    std::vector<std::string> column;
    for (const std::string& line : lines_of(result.out))
      column.push_back(line.substr(0, line.find(end)));
    return column;
  };
  ToolOptions on_one;
  on_one.before_exec = [] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  };
  const auto ids = first_column({"list", "--tsv"}, '\t', {});
  CHECK(ids.size() == kSessions);
  // In parentheses: nobody wants all of them printed.
  CHECK((first_column({"list", "--tsv"}, '\t', on_one) == ids));
  auto different = ids;
  std::sort(different.begin(), different.end());
  CHECK(std::unique(different.begin(), different.end()) == different.end());

  auto in_table = first_column({"list"}, ' ', {});
  CHECK(in_table.front() == "id");
  in_table.erase(in_table.begin());
  CHECK((in_table == ids));
  CHECK(first_column({"list"}, ' ', on_one).size() == kSessions + 1);
  const nlohmann::json json = sandbox.tool({"list", "--json"}).json()["sessions"];
  REQUIRE(json.size() == kSessions);
  CHECK(json.front()["id"] == ids.front());
  CHECK(json.back()["id"] == ids.back());
  CHECK(sandbox.tool({"list", "--json", "--user", "user7"}).json()["sessions"].size() == 40);

  ToolOptions to_full_disk;
  to_full_disk.before_exec = [] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); };
  const ToolResult unwritten = sandbox.tool({"list", "--tsv"}, to_full_disk);
  CHECK(unwritten.code == 1);
  CHECK_THAT(unwritten.err, Catch::Contains("cannot write the result to standard output"));
}

TEST_CASE("filters fit together, and names are compared as a whole") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps), third(sleeps);
  const std::string long_name(60, 'n');
  sandbox.admit(login_of("bob", first, "sshd", "192.0.2.1"));
  sandbox.admit(login_of("bob", second, "login", ""));
  sandbox.admit(login_of(long_name, third, "sshd", "192.0.2.2"));
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", "bob"})).size() == 2);
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", "bo"})).empty());
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", "bob", "--service", "sshd"})).size() ==
        1);
  CHECK(users_in(sandbox.tool({"list", "--json", "--host", "192.0.2.2"})).size() == 1);
  // A record holds 40 bytes of it.
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", long_name})).size() == 1);
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", long_name + "x"})).empty());
  CHECK(users_in(sandbox.tool({"list", "--json", "--user", long_name.substr(0, 40)})).empty());
}

TEST_CASE("a session that lost its seat while it was idle is shown as parked, until it is used") {
  Sandbox sandbox("sessions_limit = 1\nidle_after = 1s\n");
  int terminal = -1;
  const Process idle(sleeps, &terminal), newcomer(sleeps);
  Terms terms = sandbox.terms();
  terms.idle_after_s = terms.shortest_idle_s = 1;
  sandbox.admit(owning_its_terminal(login_of("alice", idle)), terms);
  usleep(1'500'000);
  const Admission second = sandbox.admit(login_of("bob", newcomer), terms);
  const ToolResult parked = sandbox.tool({"list", "--json", "--state", "parked"});
  CHECK(users_in(parked) == Names{"alice"});
  CHECK(parked.json()["active"] == 1);
  CHECK(parked.json()["sessions"][0]["seat"] == false);
  CHECK(users_in(sandbox.tool({"list", "--json", "--state", "active"})) == Names{"bob"});

  CHECK(sandbox.registry().release(second.ref));
  usleep(300'000);
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  REQUIRE(utimensat(AT_FDCWD, ptsname(terminal), times, 0) == 0);
  CHECK(users_in(sandbox.tool({"list", "--json", "--state", "active"})) == Names{"alice"});
}

TEST_CASE("a session past its lifetime is ending, and purge ends it") {
  Sandbox sandbox;
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  terms.lifetime_ms = 200;
  sandbox.admit(login_of("alice", process), terms);
  usleep(400'000);
  const auto listed = sandbox.tool({"list", "--json"}).json();
  CHECK(listed["active"] == 1);  // counted until its processes have gone
  CHECK(listed["sessions"][0]["state"] == "ending");
  CHECK(listed["sessions"][0]["expires"].is_string());
  CHECK(sandbox.tool({"purge", "--json"}).json()["ended"] == 1);
  CHECK(sandbox.tool({"list", "--json"}).json()["active"] == 0);
}

TEST_CASE("the typing on somebody else's terminal is not this session's activity") {
  if (geteuid() != 0) {
    WARN("skipped: only root can give a terminal away");
    return;
  }
  Sandbox sandbox;
  int terminal = -1;
  const Process process(sleeps, &terminal);
  sandbox.admit(login_of("alice", process));
  REQUIRE(chown(ptsname(terminal), 1000, 0) == 0);
  CHECK(users_in(sandbox.tool({"list", "--json", "--idle", "0s"})).size() == 1);
  REQUIRE(chown(ptsname(terminal), 1001, 0) == 0);
  CHECK(users_in(sandbox.tool({"list", "--json", "--idle", "0s"})).empty());
}

TEST_CASE("sessions without a process are listed, told apart, found by their device, and revoked") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  Login browser = login_of("anna", process, "shop", "192.0.2.9", "Firefox Linux");
  browser.uid = kNoUid;
  browser.no_process = true;
  browser.device = "cookie";
  const Admission of_browser = sandbox.admit(browser);
  browser.device = "another";
  sandbox.admit(browser);

  const auto listed = [&](const std::vector<std::string>& filter) {
    std::vector<std::string> arguments = {"list", "--json"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    return sandbox.tool(arguments);
  };
  CHECK(users_in(listed({"--kind", "process"})) == Names{"alice"});
  CHECK(users_in(listed({"--kind", "device"})) == Names{"anna", "anna"});
  CHECK(users_in(listed({"--kind", "device,process"})).size() == 3);
  const ToolResult by_key = listed({"--device", "cookie"});
  REQUIRE(users_in(by_key) == Names{"anna"});
  const nlohmann::json session = by_key.json()["sessions"][0];
  CHECK(session["pid"] == 0);
  CHECK(session["process"] == false);
  CHECK(session["tty"] == "Firefox Linux");
  CHECK(users_in(listed({"--device", "none"})).empty());
  CHECK_THAT(sandbox.tool({"list", "--kind", "device"}).out,
             Catch::Contains("Firefox Linux") && Catch::EndsWith(" -\n"));
  CHECK_THAT(sandbox.tool({"show", id_of(of_browser).substr(0, 8)}).out,
             Catch::Matches("(.|\n)*pid +-\n(.|\n)*"));
  const ToolResult wrong = listed({"--kind", "person"});
  CHECK(wrong.code == 2);
  CHECK_THAT(wrong.err, Catch::Contains("write process, device, or both with a comma"));

  const ToolResult revoked =
      sandbox.tool({"revoke", "--device", "cookie", "--reason", "stolen", "--yes"});
  CHECK(revoked.code == 0);
  const nlohmann::json after = listed({"--device", "cookie"}).json()["sessions"];
  REQUIRE(after.size() == 1);
  CHECK(after[0]["state"] == "ending");
  CHECK(after[0]["seat"] == false);
  CHECK(after[0]["reason"] == "stolen");
  CHECK(process.is_running());
  CHECK(sandbox.tool({"list", "--json"}).json()["active"] == 2);
}

TEST_CASE("every state is told, and can be asked for") {
  Sandbox sandbox;
  const Process active(sleeps), reserved(sleeps), ending(sleeps), exempt(sleeps), observed(sleeps);
  // Its leader goes, a process with the leader's sid stays.
  const Process orphaned([](const auto& ready) {
    start_child(sleeps);
    ready();
    pause();
  });
  sandbox.admit(login_of("active", active));
  sandbox.reserve(login_of("reserved", reserved));
  sandbox.admit(login_of("orphaned", orphaned));
  sandbox.registry().mark_revoked(sandbox.admit(login_of("ending", ending)).ref, "lunch");
  Admission listed;
  REQUIRE(sandbox.registry().list_exempt(login_of("exempt", exempt), listed));
  Login let_in = login_of("observed", observed);
  let_in.is_observed = true;
  REQUIRE(sandbox.registry().list_exempt(let_in, listed));
  kill(orphaned.pid(), SIGKILL);
  REQUIRE(wait_until([&] { return !orphaned.is_running(); }));

  for (const std::string state :
       {"active", "reserved", "orphaned", "ending", "exempt", "observed"}) {
    const ToolResult result = sandbox.tool({"list", "--json", "--state", state});
    REQUIRE(users_in(result) == Names{state});
    const nlohmann::json session = result.json()["sessions"][0];
    CHECK(session["state"] == state);
    CHECK(session["seat"] == (state != "exempt" && state != "observed"));
    CHECK(session["reason"] == (state == "ending" ? nlohmann::json("lunch") : nullptr));
  }
  CHECK(users_in(sandbox.tool({"list", "--json", "--state", "ending,exempt"})).size() == 2);
  CHECK(sandbox.tool({"list", "--json"}).json()["active"] == 4);
  CHECK_THAT(sandbox.tool_on_terminal(200, {"list"}).out,
             Catch::EndsWith("\n4 of 7 seats, 1 reserved\n"));
  end_everything_started();
}

TEST_CASE("a session whose processes have gone is not listed") {
  Sandbox sandbox;
  {
    const Process process(sleeps);
    sandbox.admit(login_of("alice", process));
    CHECK(users_in(sandbox.tool({"list", "--json"})).size() == 1);
  }
  const ToolResult result = sandbox.tool({"list", "--json"});
  CHECK(users_in(result).empty());
  CHECK(result.json()["active"] == 0);
}

TEST_CASE("idle and dangling sessions are told by the typing on their terminals") {
  Sandbox sandbox("sessions_limit = 7\ndangling_after = 6s\n");
  int first_terminal = -1, second_terminal = -1;
  const Process idle(sleeps, &first_terminal), used(sleeps, &second_terminal);
  const Process tunnel(sleeps);
  for (const auto& [user, process] :
       {std::pair{"idle", &idle}, std::pair{"used", &used}, std::pair{"tunnel", &tunnel}})
    sandbox.admit(owning_its_terminal(login_of(user, *process)));
  usleep(6'200'000);
  const auto type = [&] {
    // What typing does; the kernel itself notes it in steps of 8 seconds only.
    const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    REQUIRE(utimensat(AT_FDCWD, ptsname(second_terminal), times, 0) == 0);
  };

  type();
  CHECK(users_in(sandbox.tool({"list", "--json", "--idle", "6s"})) == Names{"idle"});
  type();
  CHECK(users_in(sandbox.tool({"list", "--json", "--dangling"})) == Names{"idle"});
  CHECK(users_in(sandbox.tool({"list", "--json", "--idle", "1h"})).empty());
  CHECK(users_in(sandbox.tool({"list", "--json"})).back() == "used");
}

TEST_CASE("by user there is one line for each") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps), third(sleeps);
  sandbox.admit(login_of("bob", first));
  sandbox.admit(login_of("bob", second));
  sandbox.reserve(login_of("alice", third));
  const nlohmann::json json =
      sandbox.tool({"list", "--by-user", "--sort", "user", "--json"}).json();
  REQUIRE(json["users"].size() == 2);
  CHECK(json["users"][0]["user"] == "alice");
  CHECK(json["users"][1]["sessions"] == 2);
  CHECK(json["users"][1]["seats"] == 2);
  CHECK(lines_of(sandbox.tool({"list", "--by-user"}).out).size() == 3);
}

TEST_CASE("CSV has a header, CR LF, and quotes what needs it") {
  Sandbox sandbox;
  const Process process(sleeps);
  const Admission admission = sandbox.admit(login_of("a,\"b\"", process));
  const ToolResult result = sandbox.tool({"list", "--csv"});
  CHECK_THAT(result.out,
             Catch::StartsWith("id,site,user,uid,service,host,tty,state,opened,last_activity,"
                               "expires,idle_seconds,pid,seat,reason,process,terminal,command,"
                               "here\r\n" +
                               id_of(admission) + ",default,\"a,\"\"b\"\"\",1000,sshd,192.0.2.7,"));
  CHECK_THAT(result.out,
             Catch::EndsWith(std::to_string(process.pid()) + ",true,,true,,,false\r\n"));
}

TEST_CASE("CSV shows a spreadsheet no formula") {
  for (const std::string user : {"=1+1", "+1", "-1", "@a"}) {
    Sandbox sandbox;
    const Process process(sleeps);
    sandbox.admit(login_of(user, process));
    CHECK_THAT(sandbox.tool({"list", "--csv"}).out,
               Catch::Contains(",default,'" + user + ",1000,"));
  }
}

TEST_CASE("any prefix of an id that fits once names the session") {
  Sandbox sandbox;
  const Process process(sleeps);
  const std::string id = id_of(sandbox.admit(login_of("alice", process)));
  std::string upper = id.substr(0, 6);
  for (char& c : upper)
    c = static_cast<char>(toupper(c));
  for (const std::string& name : {id, id.substr(0, 4), upper}) {
    const ToolResult result = sandbox.tool({"show", name, "--json"});
    CHECK(result.code == 0);
    CHECK(result.json()["id"] == id);
  }
  CHECK_THAT(sandbox.tool({"show", id}).out, Catch::Contains("user           alice\n"));
}

TEST_CASE("a prefix that fits several sessions is refused, and they are named") {
  Sandbox sandbox("sessions_limit = -1\n");
  const Process process(sleeps);
  // Some 300 ids are enough for two with the same first 4 digits, as a rule.
  std::vector<std::string> ids;
  std::string prefix;
  while (prefix.empty() && ids.size() < 4000) {
    const std::string id = id_of(sandbox.admit(login_of("user", process)));
    for (const std::string& other : ids)
      if (other.substr(0, 4) == id.substr(0, 4)) prefix = id.substr(0, 4);
    ids.push_back(id);
  }
  REQUIRE(!prefix.empty());
  const ToolResult result = sandbox.tool({"show", prefix, "--json"});
  CHECK(result.code == 2);
  CHECK(result.out == "");
  CHECK(parse_json(result.err)["error"] == "ambiguous_id");
  CHECK_THAT(sandbox.tool({"show", prefix}).err,
             Catch::Contains(prefix + " fits several sessions: " + prefix));
}

TEST_CASE("all sites are listed, each with its own limit, and one that is broken hides none") {
  // Needs mounts of its own: a site's file lies in /etc/security.
  const Sandbox sandbox;
  const std::string etc = sandbox.directory() + "/etc";
  REQUIRE(mkdir(etc.c_str(), 0755) == 0);
  REQUIRE(mkdir((etc + "/sessreg.d").c_str(), 0755) == 0);
  const auto write_site = [&](const std::string& file, const std::string& text) {
    std::ofstream(etc + file) << "registry = " << sandbox.registry_path() << "\n" << text;
  };
  write_site("/sessreg.conf", "sessions_limit = 3\n");
  write_site("/sessreg.d/lab.conf", "sessions_limit = 4\n");
  write_site("/sessreg.d/bad.conf", "no such key\n");
  ToolOptions options;
  options.before_exec = [&] {
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(etc.c_str(), "/etc/security", nullptr, MS_BIND, nullptr) != 0)
      _exit(77);
  };
  const ToolResult result = run_tool({"list", "--all-sites", "--json"}, options);
  if (result.code == 77) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  CHECK(result.code == 5);
  CHECK(parse_json(result.err)["error"] == "invalid_config");
  const nlohmann::json sites = result.json();
  REQUIRE(sites.size() == 2);
  CHECK(sites[0]["site"] == "default");
  CHECK(sites[0]["limit"] == 3);
  CHECK(sites[1]["site"] == "lab");
  CHECK(sites[1]["limit"] == 4);
  const ToolResult status = run_tool({"status", "--all-sites", "--json"}, options);
  CHECK(status.code == 5);
  REQUIRE(status.json().size() == 2);
  CHECK(status.json()[1]["site"] == "lab");
  CHECK(status.json()[1]["limit"] == 4);
  CHECK_THAT(run_tool({"status", "--all-sites"}, options).out,
             Catch::StartsWith("site               default\n") &&
                 Catch::Contains("\n\nsite               lab\n"));
}

TEST_CASE("--user takes a name as a login does") {
  Sandbox sandbox;
  const Process process(sleeps), other(sleeps), typed(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.admit(login_of("bob", other));
  // So it was called while the directory did not answer.
  sandbox.admit(login_of("ALICE", typed));
  const auto users = [&](const std::string& name) {
    std::vector<std::string> found;
    const auto json = sandbox.tool({"list", "--json", "--user", name}, with_own_names()).json();
    for (const auto& session : json["sessions"])
      found.push_back(session["user"]);
    std::sort(found.begin(), found.end());
    return found;
  };
  CHECK(users("CORP\\alice") == Names{"alice"});
  CHECK(users("ALICE") == Names{"ALICE", "alice"});
  CHECK(users("alice") == Names{"alice"});
  CHECK(users("bob") == Names{"bob"});
  CHECK(users("unreachable").empty());

  const ToolResult revoked =
      sandbox.tool({"revoke", "--user", "CORP\\alice", "--dry-run", "--json"}, with_own_names());
  CHECK(revoked.code == 0);
  CHECK(revoked.json()["sessions"].size() == 1);
  CHECK(sandbox.tool({"explain", "ALICE", "--json"}, with_own_names()).json()["user"] == "alice");
}

TEST_CASE("ids alone are printed, and each form by its name") {
  Sandbox sandbox;
  const Process process(sleeps);
  const std::string id = id_of(sandbox.admit(login_of("anna", process, "login", "", "")));
  sandbox.admit(login_of("otto", process, "login", "", ""));
  CHECK(sandbox.tool({"list", "-q", "-u", "anna"}).out == id + "\n");
  CHECK(sandbox.tool({"list", "--output", "ids", "--user", "anna"}).out == id + "\n");
  CHECK(sandbox.tool({"list", "-o", "json"}).json()["sessions"].size() == 2);
  // Not the whole texts of two calls: the idle seconds go on between them.
  CHECK_THAT(sandbox.tool({"list", "-o", "csv"}).out, Catch::StartsWith("id,site,user,"));
  CHECK_THAT(sandbox.tool({"list", "-o", "tsv", "-u", "anna"}).out,
             Catch::StartsWith(id + "\tdefault\tanna\t"));
  CHECK_THAT(sandbox.tool({"list", "-o", "table"}).out, Catch::StartsWith("id  "));
  const ToolResult unknown = sandbox.tool({"list", "-o", "yaml"});
  CHECK(unknown.code == 2);
  CHECK_THAT(unknown.err, Catch::Contains("'yaml' is no form; write table, json, csv, tsv or ids"));
  CHECK(sandbox.tool({"list", "-q", "--csv"}).code == 2);
  CHECK(sandbox.tool({"list", "-o", "table", "--json"}).code == 2);
  CHECK(sandbox.tool({"list", "-q", "--by-user"}).code == 2);
}

TEST_CASE("revoke chooses by state, too") {
  Sandbox sandbox;
  Process process(sleeps);
  sandbox.admit(login_of("anna", process, "login", "", ""));
  CHECK(sandbox.tool({"revoke", "--state", "parked", "-y"}).code == 3);
  CHECK_THAT(sandbox.tool({"revoke", "--state", "active", "--dry-run"}).out,
             Catch::Contains("anna"));
  CHECK(sandbox.tool({"revoke", "--state", "busy", "-y"}).code == 2);
}
