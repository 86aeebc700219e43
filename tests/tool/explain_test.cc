// sessreg explain.
#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../support/catch.h"
#include "base/clock.h"
#include "config/remote_host.h"
#include "support.h"

using namespace sessreg;

namespace {

nlohmann::json rule(const nlohmann::json& json, const std::string& key,
                    const std::string& from = {}) {
  for (const auto& each : json["rules"])
    if (each["key"] == key && (from.empty() || each["from"] == from)) return each;
  return nullptr;
}

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of('\n');
  return text.substr(text.rfind('\n', end) + 1);
}

}  // namespace

TEST_CASE("a service that no stack leads to the module is said to be one") {
  const Sandbox sandbox;
  const std::string pam = sandbox.directory() + "/pam.d";
  std::filesystem::create_directory(pam);
  const auto stack = [&](const std::string& name, const std::string& text) {
    std::ofstream(pam + "/" + name) << text;
  };
  stack("common", "account required pam_sessreg.so\n");
  stack("sshd", "@include common\n");
  stack("login", "account required pam_unix.so\n#account required pam_sessreg.so\n");
  stack("failing", "auth required pam_sessreg.so preauth\n");
  const auto explained = [&](const std::string& service) {
    return sandbox.tool({"explain", "nobody", "--service", service, "--pam-dir", pam});
  };
  const auto in_stack = [&](const std::string& service) {
    return sandbox.tool({"explain", "nobody", "--service", service, "--pam-dir", pam, "--json"})
        .json()["in_stack"];
  };
  CHECK_THAT(explained("nosuch").out,
             Catch::Contains("\nstack    no stack of nosuch names pam_sessreg.so: its logins are "
                             "neither counted nor refused\n"));
  CHECK(in_stack("nosuch") == false);
  CHECK(in_stack("login") == false);
  CHECK(in_stack("failing") == false);
  CHECK(in_stack("sshd") == true);
  CHECK_THAT(explained("sshd").out, !Catch::Contains("stack"));
  // libpam takes that for who has none.
  stack("other", "session required pam_sessreg.so\n");
  CHECK(in_stack("nosuch") == true);
  CHECK(in_stack("login") == false);
  std::filesystem::remove_all(pam);
  CHECK(in_stack("nosuch").is_null());
  CHECK(sandbox.tool({"explain", "nobody", "--json"}).json()["in_stack"].is_null());
}

TEST_CASE("each rule is explained with its value and where it comes from") {
  const Sandbox sandbox(
      "sessions_limit = 7\nuser_lock = 5m\nsession_ttl = 90s\n"
      "[user nobody]\nuser_sessions_limit = 2\n"
      "[service sshd]\nuser_sessions_limit = 3\nuser_limit_policy = evict\n"
      "[group nogroup]\nidle_after = 1h\nuser_limit_policy = deny\nsessions_limit = 5\n");
  const ToolResult result = sandbox.tool({"explain", "nobody"});
  CHECK(result.code == 0);
  CHECK(result.out ==
        "user     nobody (uid 65534)\n"
        "service  sshd\n"
        "from     -\n"
        "site     default (" +
            sandbox.conf_path() +
            ")\n"
            "\n"
            "rule                      value              from             now\n"
            "sessions_limit            7                  top              0 taken\n"
            "sessions_limit            5                  [group nogroup]  0 held\n"
            "user_sessions_limit       2                  [user nobody]    0 held\n"
            "user_limit_policy         evict              [service sshd]   -\n"
            "user_lock                 5m                 top              -\n"
            "session_lifetime          unlimited          default          -\n"
            "session_ttl               90s                top              -\n"
            "idle_after                1h                 [group nogroup]  -\n"
            "count_leftovers           no                 default          -\n"
            "reserved_sessions         0                  default          -\n"
            "reserved_for              root @sudo @wheel  default          -\n"
            "max_failed_auth_per_host  off                default          -\n"
            "blacklist_time            1m                 default          -\n"
            "\n"
            "nobody would be admitted\n");
  const nlohmann::json json = sandbox.tool({"explain", "nobody", "--json"}).json();
  CHECK(json["verdict"] == "admitted");
  CHECK(json["uid"] == 65534);
  CHECK(json["registry_exists"] == false);
  CHECK(rule(json, "session_ttl") ==
        parse_json(R"({"key":"session_ttl","value":90,"from":"top"})"));
  CHECK(rule(json, "sessions_limit", "[group nogroup]")["value"] == 5);
  // Another service has no section.
  const nlohmann::json other =
      sandbox.tool({"explain", "nobody", "--service", "login", "--json"}).json();
  CHECK(rule(other, "user_limit_policy")["from"] == "[group nogroup]");
}

TEST_CASE("an explanation makes no registry, and leaves nothing behind") {
  const Sandbox sandbox("sessions_limit = 0\n");
  const ToolResult result = sandbox.tool({"explain", "nobody"});
  CHECK(result.code == 6);
  CHECK(last_line(result.out) ==
        "nobody would be refused: drain: No new logins are admitted at the moment. Please try "
        "again later.\n");
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
}

TEST_CASE("who would be refused is told the message of the user, exit code 6") {
  Sandbox sandbox("sessions_limit = 1\nmessage_site_full = {user}: {count} of {limit}\n");
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  const ToolResult result = sandbox.tool({"explain", "nobody"});
  CHECK(result.code == 6);
  CHECK(last_line(result.out) == "nobody would be refused: site_full: nobody: 1 of 1\n");
  CHECK_THAT(result.out, !Catch::Contains("seats of nobody"));
  const ToolResult as_json = sandbox.tool({"explain", "nobody", "--json"});
  CHECK(as_json.code == 6);
  CHECK(as_json.json()["verdict"] == "refused");
  CHECK(as_json.json()["refusal"] == "site_full");
  CHECK(as_json.json()["message"] == "nobody: 1 of 1");
  CHECK(as_json.json()["active"] == 1);
}

TEST_CASE("the user's own sessions are named, and the one that would give way") {
  Sandbox sandbox("user_sessions_limit = 1\nuser_limit_policy = evict\n");
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  terms.user_limit = 1;
  const std::string id = id_of(sandbox.admit(login_of("nobody", process), terms));
  ToolResult result = sandbox.tool({"explain", "nobody"});
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::Contains("\nseats of nobody:\nid "));
  CHECK_THAT(result.out, Catch::Contains("\nwould give way:\n"));
  CHECK_THAT(result.out, Catch::Matches("(.|\n)*\n" + id +
                                        " +nobody +(now|[0-9]+s ago) +(now|[0-9]+s ago) "
                                        "+ended\n\nnobody would be admitted\n"));
  const nlohmann::json json = sandbox.tool({"explain", "nobody", "--json"}).json();
  CHECK(json["sessions"][0]["id"] == id);
  CHECK(json["gives_way"][0]["id"] == id);
  CHECK(json["gives_way"][0]["fate"] == "ended");
  // Nothing came of it.
  CHECK(sandbox.tool({"list", "--json"}).json()["active"] == 1);
  CHECK(process.is_running());

  sandbox.configure("user_sessions_limit = 1\nuser_limit_policy = lock_then_evict\n");
  result = sandbox.tool({"explain", "nobody"});
  CHECK(result.code == 6);
  CHECK_THAT(last_line(result.out),
             Catch::StartsWith("nobody would be refused: locked: You are already logged in "
                               "elsewhere. Please end that session, or try again in "));
}

TEST_CASE("who may come back to an open session is told apart from a new one's verdict") {
  Sandbox sandbox("user_sessions_limit = 1\n");
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  terms.user_limit = 1;
  Login login = login_of("nobody", process);
  login.service = "lightdm";
  sandbox.admit(login, terms);
  const ToolResult result = sandbox.tool({"explain", "nobody", "--service", "lightdm"});
  CHECK(result.code == 6);
  CHECK_THAT(result.out,
             Catch::Contains("\n\nnobody may come back to an open session, which takes no seat. "
                             "As for a new one:\nnobody would be refused: user_full: "));
  CHECK(sandbox.tool({"explain", "nobody", "--service", "lightdm", "--json"})
            .json()["may_reattach"] == true);
  const ToolResult other = sandbox.tool({"explain", "nobody"});
  CHECK_THAT(other.out, !Catch::Contains("come back"));
  CHECK(sandbox.tool({"explain", "nobody", "--json"}).json()["may_reattach"] == false);
}

TEST_CASE("of an application's service its clients, seats and devices are told, and no process") {
  Sandbox sandbox(
      "exempt = root nobody\nreserved_sessions = 1\nreserved_for = nobody\nsessions_limit = 3\n"
      "count_leftovers = any\n"
      "[service shop]\nclients = www-data @games\nsessions_limit = 5\nsession_ttl = 3h\n"
      "[service wiki]\nclients =\n"
      "[group nogroup]\nuser_sessions_limit = 0\n");
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  terms.groups.push_back({*sandbox.registry().group_index("service\nshop", 5), 5});
  Login browser = login_of("nobody", process, "shop", "192.0.2.9", "Firefox Linux");
  browser.no_process = true;
  std::string id;
  for (const char* device : {"stolen", "x"}) {
    browser.device = device;
    id = id_of(sandbox.admit(browser, terms));
  }
  CHECK(sandbox.tool({"revoke", "--device", "stolen", "--yes"}).code == 0);
  browser.user = "otto";
  sandbox.admit(browser, terms);

  // Whoever has that name on this host is somebody else, and is exempt.
  const ToolResult result = sandbox.tool({"explain", "nobody", "--service", "shop"});
  CHECK_THAT(result.out,
             Catch::StartsWith(
                 "user     nobody (a name of the application's own)\n"
                 "service  shop (its sessions have no process)\n"
                 "clients  www-data @games, and root\n"
                 "seats    2 held by the service\n"
                 "devices  1 of nobody; ended, to be told why at the next use: 1\n"
                 "from     -\n"
                 "site     default (" +
                 sandbox.conf_path() +
                 ")\n"
                 "\n"
                 "rule                      value      from            now\n"
                 "sessions_limit            3          top             2 taken\n"
                 "sessions_limit            5          [service shop]  2 held\n"
                 "user_sessions_limit       unlimited  default         1 held\n"
                 "user_limit_policy         deny       default         -\n"
                 "user_lock                 5m         default         -\n"
                 "session_lifetime          unlimited  default         -\n"
                 "session_ttl               3h         [service shop]  its client may say less\n"
                 "idle_after                never      default         -\n"
                 "reserved_sessions         1          top             may not use them\n"
                 "max_failed_auth_per_host  off        default         -\n"
                 "blacklist_time            1m         default         -\n"
                 "\n"
                 "seats of nobody:\n"
                 "id "));
  CHECK_THAT(result.out, Catch::Contains("Firefox Linux"));
  for (const char* word : {"tty", "pid", "terminal", "uid", "leftovers"})
    CHECK_THAT(result.out, !Catch::Contains(word));
  // Two seats of three are taken, and the last is reserved for the host's users.
  CHECK(result.code == 6);
  CHECK_THAT(last_line(result.out), Catch::StartsWith("nobody would be refused: site_full: "));
  const nlohmann::json json =
      sandbox.tool({"explain", "nobody", "--service", "shop", "--json"}).json();
  CHECK(json["devices"] ==
        parse_json(R"({"clients":"www-data @games","seats":2,"sessions":1,"ended":1})"));
  CHECK(json["uid"].is_null());
  REQUIRE(json["sessions"].size() == 1);
  CHECK(json["sessions"][0]["id"] == id);

  CHECK_THAT(sandbox.tool({"explain", "anna", "--service", "wiki"}).out,
             Catch::Contains("clients  root alone\n"
                             "seats    0 held by the service, which has no limit of its own\n"
                             "devices  0 of anna\n"));
  CHECK(sandbox.tool({"explain", "nobody", "--json"}).json()["devices"].is_null());
  CHECK(sandbox.tool({"explain", "nobody", "--json"}).json()["verdict"] == "exempt");
}

TEST_CASE("of a service that is kept the device is explained that the host is") {
  Sandbox sandbox("sessions_limit = 1\n[service web]\nkeep = 10m\nclients = www-data\n");
  const auto explain = [&](const char* user, const char* host) {
    return sandbox.tool({"explain", user, "--service", "web", "--host", host});
  };
  const ToolResult before = explain("daemon", "192.0.2.1");
  CHECK(before.code == 0);
  CHECK_THAT(before.out, Catch::Contains("user     daemon (uid 1)") && Catch::Contains("keep") &&
                             Catch::Contains("10m") && !Catch::Contains("session_ttl") &&
                             Catch::Contains("daemon would be admitted"));
  const Process process(sleeps);
  Login login = login_of("daemon", process, "web", "192.0.2.1", "");
  login.no_process = true;
  login.device = "192.0.2.1";
  const Admission admission = sandbox.admit(login, sandbox.terms());
  // Its device has the seat; another one needs one.
  CHECK_THAT(explain("daemon", "192.0.2.1").out, Catch::Contains("daemon would be admitted"));
  CHECK_THAT(explain("daemon", "192.0.2.2").out, Catch::Contains("would be refused: site_full"));
  REQUIRE(sandbox.registry().mark_revoked(admission.ref, "go home"));
  REQUIRE(sandbox.registry().vacate(admission.ref));
  const ToolResult revoked = explain("daemon", "192.0.2.1");
  CHECK(revoked.code == 6);
  CHECK_THAT(revoked.out,
             Catch::Contains("would be refused: revoked: ") && Catch::Contains("(go home)"));
  CHECK_THAT(explain("daemon", "192.0.2.2").out, Catch::Contains("daemon would be admitted"));
}

TEST_CASE("a service without clients is seen by its user's sessions to need no process") {
  Sandbox sandbox;
  const Process process(sleeps);
  Login browser = login_of("anna", process, "web");
  browser.no_process = true;
  browser.device = "x";
  sandbox.admit(browser);
  const std::string anna = sandbox.tool({"explain", "anna", "--service", "web"}).out;
  CHECK_THAT(anna, Catch::Contains("service  web (its sessions have no process)\n"
                                   "clients  root alone\n"
                                   "seats    1 held by the service, which has no limit of its own\n"
                                   "devices  1 of anna\n"));
  CHECK_THAT(anna, Catch::Contains("reserved_for") && !Catch::Contains("leftovers"));
  CHECK_THAT(sandbox.tool({"explain", "otto", "--service", "web"}).out,
             Catch::Contains("leftovers") && !Catch::Contains("devices"));
}

TEST_CASE("a login by an application ends no session of services that its clients have not") {
  Sandbox sandbox(
      "user_sessions_limit = 1\nuser_limit_policy = evict\n"
      "[service shop]\nclients = www-data\n[service cart]\nclients = www-data @games\n"
      "[service wiki]\nclients = news\n");
  const Process process(sleeps);
  Terms terms = sandbox.terms();
  terms.user_limit = 1;
  Login browser = login_of("anna", process);
  browser.no_process = true;
  browser.device = "x";
  browser.service = "cart";
  const std::string id = id_of(sandbox.admit(browser, terms));
  const auto explained = [&](const char* service) {
    return sandbox.tool({"explain", "anna", "--service", service, "--json"}).json();
  };
  CHECK(explained("shop")["verdict"] == "admitted");
  CHECK(explained("shop")["gives_way"][0]["id"] == id);
  CHECK(explained("wiki")["refusal"] == "user_full");
}

TEST_CASE("failures of an application's users are explained for it alone") {
  Sandbox sandbox(
      "max_failed_auth_per_host = 1\nblacklist_time = 1h\n[service shop]\nclients = www-data\n");
  const RemoteHost host = RemoteHost::from_rhost("192.0.2.1");
  sandbox.registry().failures({1, 3600 * 1000}, "shop").failed(host, "anna", boottime_ms());
  const auto refusal = [&](const char* service) {
    return sandbox.tool({"explain", "anna", "--service", service, "--host", "192.0.2.1", "--json"})
        .json()["refusal"];
  };
  CHECK(refusal("shop") == "blacklisted");
  CHECK(refusal("sshd").is_null());
}

TEST_CASE("an explanation publishes no limit") {
  Sandbox sandbox("sessions_limit = 7\n");
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  sandbox.configure("sessions_limit = 1\n");
  CHECK(sandbox.tool({"explain", "nobody"}).code == 6);
  CHECK(sandbox.tool({"limit", "--json"}).json()["limit"] == 7);
}

TEST_CASE("a limit that was set is the one that is explained") {
  Sandbox sandbox("sessions_limit = 7\n");
  CHECK(sandbox.tool({"limit", "0"}).code == 0);
  const ToolResult result = sandbox.tool({"explain", "nobody", "--json"});
  CHECK(result.code == 6);
  CHECK(rule(result.json(), "sessions_limit")["value"] == 0);
  CHECK(rule(result.json(), "sessions_limit")["from"] ==
        "'sessreg --conf " + sandbox.conf_path() + " limit'");
}

TEST_CASE("exempt users and ignored services have no rules") {
  const Sandbox sandbox("sessions_limit = 0\nexempt = root @nogroup\n");
  ToolResult result = sandbox.tool({"explain", "root"});
  CHECK(result.code == 0);
  CHECK(last_line(result.out) ==
        "root is exempt: neither counted nor refused ('exempt' names the user)\n");
  CHECK(last_line(sandbox.tool({"explain", "nobody"}).out) ==
        "nobody is exempt: neither counted nor refused ('exempt' names @nogroup)\n");
  result = sandbox.tool({"explain", "nobody", "--service", "cron"});
  CHECK(result.code == 0);
  CHECK(last_line(result.out) == "ignored service: 'ignore_services' names it\n");
  const nlohmann::json json =
      sandbox.tool({"explain", "nobody", "--service", "cron", "--json"}).json();
  CHECK(json["verdict"] == "ignored");
  CHECK(json["rules"].empty());
}

TEST_CASE("a blacklisted host is refused, and its time does not start anew") {
  Sandbox sandbox("max_failed_auth_per_host = 2\nblacklist_time = 1h\n");
  auto failures = sandbox.registry().failures({2, 3600 * 1000});
  const RemoteHost host = RemoteHost::from_rhost("192.0.2.1");
  const std::uint64_t failed_ms = boottime_ms() - 60'000;
  for (int i = 0; i < 2; ++i)
    failures.failed(host, "alice", failed_ms);
  const ToolResult result = sandbox.tool({"explain", "nobody", "--host", "192.0.2.1"});
  CHECK(result.code == 6);
  CHECK_THAT(result.out, Catch::Contains("from     192.0.2.1 (2 failed authentications, "
                                         "blacklisted)\n"));
  CHECK_THAT(last_line(result.out), Catch::StartsWith("nobody would be refused: blacklisted: Too "
                                                      "many failed logins from your address."));
  CHECK(failures.status(host, boottime_ms()).until_ms == failed_ms + 3600 * 1000);
  const nlohmann::json json =
      sandbox.tool({"explain", "nobody", "--host", "192.0.2.2", "--json"}).json();
  CHECK(json["verdict"] == "admitted");
  CHECK(json["failures"] == 0);
  CHECK(json["blacklisted"] == false);
  CHECK_THAT(sandbox.tool({"explain", "nobody", "--host", "127.0.0.1"}).out,
             Catch::Contains("from     127.0.0.1 (its failures are not counted)\n"));
}

TEST_CASE("a user whom this host does not know is in no group, not in root's either") {
  const Sandbox sandbox("[group root]\nuser_sessions_limit = 0\n");
  const ToolResult result = sandbox.tool({"--json", "explain", "no-such-user"});
  CHECK(result.code == 0);
  const auto limit = rule(parse_json(result.out), "user_sessions_limit");
  REQUIRE(limit.is_object());
  CHECK(limit["from"] == "default");
}

TEST_CASE("a user that this host does not know is explained by name") {
  const Sandbox sandbox("[user no-such-user]\nuser_sessions_limit = 0\n");
  const ToolResult result = sandbox.tool({"explain", "no-such-user"});
  CHECK(result.code == 6);
  CHECK_THAT(result.out, Catch::StartsWith(
                             "user     no-such-user (no such user on this host: explained by name "
                             "only)\n"));
  CHECK_THAT(last_line(result.out),
             Catch::StartsWith("no-such-user would be refused: user_full: "));
  CHECK(sandbox.tool({"explain", "no-such-user", "--json"}).json()["uid"].is_null());
}

TEST_CASE("explain fails as other commands do") {
  Sandbox sandbox;
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"explain"},
                                             {"explain", ""},
                                             {"explain", "a", "b"},
                                             {"explain", "a", "--service", ""},
                                             {"explain", "a", "--host", ""}}) {
    CAPTURE(arguments);
    CHECK(sandbox.tool(arguments).code == 2);
  }
  sandbox.registry();
  REQUIRE(truncate(sandbox.registry_path().c_str(), 4096) == 0);
  CHECK(sandbox.tool({"explain", "nobody"}).code == 5);
  sandbox.configure("sessions_limit = many\n");
  CHECK(sandbox.tool({"explain", "nobody"}).code == 5);
  CHECK_THAT(sandbox.tool({"explain", "x\x1b[2J", "--conf", "/none"}).err,
             !Catch::Contains("\x1b"));
}
