// sessreg limit, status and purge.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "../support/catch.h"
#include "auth_log.h"
#include "registry/layout.h"
#include "support.h"

using namespace sessreg;

TEST_CASE("without a registry the limit is the configured one") {
  Sandbox sandbox;
  const nlohmann::json json = sandbox.tool({"limit", "--json"}).json();
  CHECK(json == parse_json(R"({"site":"default","active":0,"limit":7,
                                          "limit_configured":7,"limit_override":null})"));
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
  CHECK(sandbox.tool({"limit", "--configured"}).code == 0);
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
  // A registry that no login has touched has no limit of its own.
  sandbox.registry();
  CHECK(sandbox.tool({"limit", "--json"}).json()["limit"] == 7);
}

TEST_CASE("a limit that is set is in force at once, and goes back to the configured one") {
  Sandbox sandbox;
  const Process process(sleeps);
  CHECK(sandbox.tool({"limit", "1", "--json"}).json()["limit"] == 1);
  sandbox.admit(login_of("alice", process));
  const ConfiguredLimit stale{12345, 7};
  sandbox.registry().publish_limit(sandbox.registry().published_limit(), stale);
  CHECK(sandbox.registry().admit(login_of("bob", process), stale, SystemProcesses()).refusal ==
        Refusal::site_full);
  nlohmann::json json = sandbox.tool({"limit", "-1", "--json"}).json();
  CHECK(json["limit"] == -1);
  CHECK(json["limit_override"] == -1);
  CHECK(json["limit_configured"] == 7);
  CHECK(sandbox.registry().admit(login_of("bob", process), stale, SystemProcesses()).admitted());
  CHECK_THAT(sandbox.tool({"limit"}).out, Catch::StartsWith("in force     unlimited, set until"));
  CHECK_THAT(sandbox.tool_on_terminal(200, {"list"}).out, Catch::EndsWith("2 seats, no limit\n"));

  CHECK(sandbox.tool({"limit", "0", "--json"}).json()["limit"] == 0);
  CHECK(sandbox.registry().admit(login_of("carol", process), stale, SystemProcesses()).refusal ==
        Refusal::drain);
  json = sandbox.tool({"limit", "--configured", "--json"}).json();
  CHECK(json["limit"] == 7);
  CHECK(json["limit_override"].is_null());
}

TEST_CASE("a limit above the capacity is refused with the capacity, and nothing is made") {
  Sandbox sandbox("capacity = 100\nsessions_limit = 7\n");
  const ToolResult early = sandbox.tool({"limit", "101"});
  CHECK(early.code == 2);
  CHECK_THAT(early.err, Catch::Contains("100"));
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
  CHECK(sandbox.tool({"limit", "100"}).code == 0);
  // What counts is the registry that there is.
  sandbox.configure("capacity = 1000\nsessions_limit = 7\n");
  const ToolResult late = sandbox.tool({"limit", "101"});
  CHECK(late.code == 2);
  CHECK_THAT(late.err, Catch::Contains("capacity is 100"));
  CHECK(sandbox.tool({"limit", "--json"}).json()["limit_override"] == 100);
}

TEST_CASE("a configured limit that the registry has no room for is said to be") {
  Sandbox sandbox("capacity = 100\nsessions_limit = 7\n");
  CHECK(sandbox.tool({"limit", "100"}).code == 0);
  sandbox.configure("capacity = 9000\nsessions_limit = 9000\n");
  const std::string note = "9000 (the registry's capacity is 100 until the next boot)\n";
  CHECK_THAT(sandbox.tool({"limit"}).out, Catch::Contains("configured   " + note));
  CHECK_THAT(sandbox.tool({"status"}).out, Catch::Contains("limit configured   " + note));
}

TEST_CASE("the way back from a limit names the site's file") {
  const Sandbox sandbox;
  CHECK_THAT(sandbox.tool({"limit", "1"}).out,
             Catch::Contains(" --conf " + sandbox.conf_path() + " limit --configured'"));
}

TEST_CASE("an edited configuration is told apart from the limit in force") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.configure("sessions_limit = 9\n");
  const nlohmann::json json = sandbox.tool({"status", "--json"}).json();
  CHECK(json["limit"] == 7);
  CHECK(json["limit_configured"] == 9);
  CHECK_THAT(sandbox.tool({"limit"}).out,
             Catch::Contains("in force     7, as configured at the last login") &&
                 Catch::Contains("\nconfigured   9\n"));
}

TEST_CASE("reload puts an edited file in force, with the limits of its groups") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.configure("sessions_limit = 9\n\n[group staff]\nsessions_limit = 3\n");
  REQUIRE(sandbox.tool({"limit", "--json"}).json()["limit"] == 7);
  const nlohmann::json json = sandbox.tool({"reload", "--json"}).json();
  CHECK(json == parse_json(R"({"site":"default","configuration":")" + sandbox.conf_path() +
                           R"(","active":1,"limit_before":7,"limit":9,"limit_configured":9,
                              "limit_override":null,
                              "groups":[{"name":"staff","service":false,"limit":3}]})"));
  CHECK(sandbox.registry().published_limit().limit == 9);
  CHECK(sandbox.registry().find_group("staff"));
  CHECK(sandbox.tool({"reload"}).out == "read         " + sandbox.conf_path() +
                                            "\nin force     9\nconfigured   9\n"
                                            "seats taken  1\ngroup        staff: 3\n");
  // A limit that was set by hand stays, until it goes back to what the file says now.
  CHECK(sandbox.tool({"limit", "2"}).code == 0);
  sandbox.configure("sessions_limit = 5\n");
  CHECK_THAT(sandbox.tool({"reload"}).out, Catch::Contains("in force     2, set until"));
  sandbox.configure("sessions_limit = 4\n");
  CHECK(sandbox.tool({"limit", "--configured", "--json"}).json()["limit"] == 4);
  CHECK(sandbox.registry().published_limit().limit == 4);
}

TEST_CASE("a file with a mistake is reported by reload, and nothing is changed") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  CHECK(sandbox.tool({"limit", "2"}).code == 0);
  sandbox.configure("sessions_limit = 9\nsession_limit = 3\n");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"reload"}, {"limit", "--configured"}}) {
    const ToolResult result = sandbox.tool(command);
    CHECK(result.code == 5);
    CHECK_THAT(result.err, Catch::Contains(sandbox.conf_path() + ":3: "));
  }
  CHECK(sandbox.registry().published_limit().limit == 7);
  CHECK(sandbox.registry().override_limit() == 2);
}

TEST_CASE("reload before the first login makes no registry") {
  const Sandbox sandbox;
  CHECK(sandbox.tool({"reload", "--json"}).json()["limit"] == 7);
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
}

TEST_CASE("a reload is noted in the authentication log") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.configure("sessions_limit = 9\n");
  AuthLog log(sandbox);
  const int code = sandbox.tool({"reload"}, log.options()).code;
  if (code == AuthLog::kNoMounts) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  CHECK(code == 0);
  CHECK_THAT(log.line(), Catch::Contains("event=reload site=default limit=9 before=7 by_uid="));
}

TEST_CASE("status counts what happened") {
  Sandbox sandbox("sessions_limit = 2\n");
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.reserve(login_of("bob", process));
  const auto configured = sandbox.tool({"limit", "--json"}).json()["limit_configured"];
  CHECK(configured == 2);
  Admission listed;
  REQUIRE(sandbox.registry().list_exempt(login_of("root", process), listed));
  {
    const Process dies(sleeps);
    sandbox.registry().set_override(3);
    sandbox.admit(login_of("carol", dies));
  }
  nlohmann::json json = sandbox.tool({"status", "--json"}).json();
  CHECK(json["site"] == "default");
  CHECK(json["configuration"] == sandbox.conf_path());
  CHECK(json["registry"] == sandbox.registry_path());
  CHECK(json["registry_exists"] == true);
  CHECK(json["active"] == 2);
  CHECK(json["users"] == 2);
  CHECK(json["reserved"] == 1);
  CHECK(json["exempt"] == 1);
  CHECK(json["limit"] == 3);
  CHECK(json["capacity"] == 4096);
  CHECK(json["high_water_mark"] == 3);
  CHECK(json["admissions"] == 3);
  CHECK(json["refusals"]["site_full"] == 0);
  CHECK(json["reaped"]["sessions"] == 1);
  const ToolResult text = sandbox.tool({"status"});
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Catch::Contains("\nseats taken        2\nby users           2\n"));
  sandbox.admit(login_of("alice", process));
  CHECK(sandbox.tool({"status", "--json"}).json()["users"] == 2);
  CHECK(sandbox.tool({"status", "--all-sites"}).code == 2);  // --conf names one
}

TEST_CASE("status without a registry says that nobody has logged in") {
  const Sandbox sandbox;
  CHECK_THAT(sandbox.tool({"status"}).out, Catch::Contains("none yet: nobody has logged in"));
  CHECK(sandbox.tool({"status", "--json"}).json()["registry_exists"] == false);
}

TEST_CASE("purge drops what is dead and says how many of each") {
  Sandbox sandbox;
  const Process stays(sleeps);
  sandbox.admit(login_of("stays", stays));
  {
    const Process first(sleeps), second(sleeps);
    sandbox.admit(login_of("alice", first));
    sandbox.admit(login_of("bob", second));
    Login login = login_of("carol", second);
    login.parent = first.id();  // else it has a grace of 10 s
    sandbox.reserve(login);
  }
  CHECK(sandbox.tool({"purge"}).out ==
        "dropped 2 dead sessions, 1 abandoned reservation, 0 unfinished logins\n");
  CHECK(sandbox.tool({"purge", "--json"}).json() ==
        parse_json(R"({"site":"default","sessions":0,"reservations":0,"claims":0,
                                  "ended":0,"survived":0,"replaced":null})"));
  CHECK(sandbox.registry().count() == 1);
}

TEST_CASE("rebuild keeps a registry that can be used") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  const ToolResult result = sandbox.tool({"purge", "--rebuild"});
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::Contains("can be used: it was not replaced"));
  CHECK(sandbox.tool({"list", "--json"}).json()["active"] == 1);
}

TEST_CASE("rebuild replaces a damaged registry and names who goes on without a seat") {
  Sandbox sandbox;
  const Process process(sleeps);
  const std::string id = id_of(sandbox.admit(login_of("alice", process)));
  {
    const Process dead(sleeps);
    sandbox.admit(login_of("bob", dead));
  }
  std::fstream file(sandbox.registry_path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(40);
  file << "damage";
  file.close();
  REQUIRE(sandbox.tool({"list"}).code == 5);

  SECTION("as text") {
    const ToolResult result = sandbox.tool({"purge", "--rebuild"});
    CHECK(result.code == 0);
    CHECK_THAT(result.out, Catch::Contains("the records of 1 session that goes on") &&
                               Catch::Contains(id + "  alice  sshd  pid ") &&
                               !Catch::Contains("bob"));
  }
  SECTION("as JSON") {
    const nlohmann::json replaced =
        sandbox.tool({"purge", "--rebuild", "--json"}).json()["replaced"];
    CHECK(replaced["why"] == "corrupt session registry");
    CHECK(access(replaced["aside"].get<std::string>().c_str(), F_OK) == 0);
    REQUIRE(replaced["lost_sessions"].size() == 1);
    CHECK(replaced["lost_sessions"][0]["user"] == "alice");
    CHECK(replaced["lost_sessions_complete"] == true);
  }
  CHECK(sandbox.tool({"list"}).code == 0);
  CHECK(process.is_running());
}

TEST_CASE("rebuild of a file that is cut short does not claim to know all that is lost") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  struct stat st {};
  REQUIRE(stat(sandbox.registry_path().c_str(), &st) == 0);
  SECTION("some can be read, as text") {
    REQUIRE(truncate(sandbox.registry_path().c_str(), st.st_size - 1) == 0);
    CHECK_THAT(sandbox.tool({"purge", "--rebuild"}).out,
               Catch::Contains("the records of at least 1 session that goes on, without a seat; "
                               "the rest cannot be read\n"));
  }
  SECTION("as JSON") {
    REQUIRE(truncate(sandbox.registry_path().c_str(), kHeaderBytes) == 0);
    const nlohmann::json replaced =
        sandbox.tool({"purge", "--rebuild", "--json"}).json()["replaced"];
    CHECK(replaced["lost_sessions"].empty());
    CHECK(replaced["lost_sessions"].is_array());
    CHECK(replaced["lost_sessions_complete"] == false);
  }
}

TEST_CASE("a purge that drops something is noted in the authentication log") {
  Sandbox sandbox;
  {
    const Process dies(sleeps);
    sandbox.admit(login_of("alice", dies));
  }
  AuthLog log(sandbox);
  const int code = sandbox.tool({"purge"}, log.options()).code;
  if (code == AuthLog::kNoMounts) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  CHECK(code == 0);
  CHECK_THAT(log.line(),
             Catch::Contains("event=purge site=default sessions=1 reservations=0 claims=0 ended=0 "
                             "survived=0 by_uid="));
}

TEST_CASE("rebuild replaces a file that is no registry at all") {
  const Sandbox sandbox;
  std::ofstream(sandbox.registry_path()) << "not a registry";
  const ToolResult result = sandbox.tool({"purge", "--rebuild"});
  CHECK(result.code == 0);
  CHECK(sandbox.tool({"list"}).code == 0);
}
