// sessreg failures.
#include <unistd.h>

#include <filesystem>

#include "../support/catch.h"
#include "base/clock.h"
#include "config/remote_host.h"
#include "support.h"

using namespace sessreg;

namespace {

constexpr const char* kConfiguration = "max_failed_auth_per_host = 3\nblacklist_time = 2h\n";

// `minutes_ago` is the time of the last one.
void fail(Sandbox& sandbox, const std::string& host, int times, unsigned minutes_ago = 0) {
  auto failures = sandbox.registry().failures({3, 2 * 3600 * 1000});
  for (int i = 0; i < times; ++i)
    failures.failed(RemoteHost::from_rhost(host), "alice", boottime_ms() - minutes_ago * 60'000u);
}

std::vector<std::string> hosts_of(const nlohmann::json& json) {
  std::vector<std::string> hosts;
  for (const auto& host : json["hosts"])
    hosts.push_back(host["host"]);
  return hosts;
}

}  // namespace

TEST_CASE("without a registry no host has failed, and none is made") {
  const Sandbox sandbox(kConfiguration);
  const ToolResult result = sandbox.tool({"failures"});
  CHECK(result.code == 0);
  CHECK(result.out == "host  failures  last failure  blacklisted until\n");
  CHECK(sandbox.tool({"failures", "--json"}).json() ==
        parse_json(R"({"site":"default","max":3,"hosts":[]})"));
  CHECK(sandbox.tool({"failures", "--reset-all"}).out == "forgot the failures of 0 hosts\n");
  CHECK(access(sandbox.registry_path().c_str(), F_OK) != 0);
}

TEST_CASE("blacklisted hosts come first, then the latest failure") {
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.1", 1, 5);
  fail(sandbox, "2001:db8::7", 2, 1);
  fail(sandbox, "192.0.2.3", 3, 10);
  const nlohmann::json json = sandbox.tool({"failures", "--json"}).json();
  CHECK(hosts_of(json) == std::vector<std::string>{"192.0.2.3", "2001:db8::/64", "192.0.2.1"});
  CHECK(json["hosts"][0]["failures"] == 3);
  CHECK(json["hosts"][0]["blacklisted"] == true);
  CHECK(json["hosts"][0]["until"].is_string());
  CHECK(json["hosts"][1]["blacklisted"] == false);
  CHECK(json["hosts"][1]["until"].is_null());
  CHECK(json["hosts"][1]["last_failure"].is_string());

  const std::string text = sandbox.tool({"failures"}).out;
  CHECK_THAT(text, Catch::Matches("host +failures +last failure +blacklisted until\n"
                                  "192\\.0\\.2\\.3 +3 +10m ago +[0-9: -]+ \\(in 1h\\)\n"
                                  "2001:db8::/64 +2 +1m ago +-\n"
                                  "192\\.0\\.2\\.1 +1 +5m ago +-\n"));
  CHECK_THAT(sandbox.tool_on_terminal(200, {"failures"}).out,
             Catch::EndsWith("\n3 hosts, 1 blacklisted; 3 failures blacklist a host for 2h\n"));
}

TEST_CASE("where nothing is counted the table says so, and nobody is blacklisted") {
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.3", 3);
  sandbox.configure("blacklist_time = 2h\n");
  const ToolResult result = sandbox.tool({"failures"});
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::EndsWith("nothing is counted: 'max_failed_auth_per_host' is 0 in " +
                                         sandbox.conf_path() + "\n"));
  const nlohmann::json json = sandbox.tool({"failures", "--json"}).json();
  CHECK(json["max"] == 0);
  CHECK(json["hosts"][0]["blacklisted"] == false);
}

TEST_CASE("a host is forgotten by its address or as it is listed") {
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.1", 3);
  fail(sandbox, "2001:db8::7", 1);
  fail(sandbox, "192.0.2.3", 1);
  const ToolResult result = sandbox.tool({"failures", "--reset", "192.0.2.1"});
  CHECK(result.code == 0);
  CHECK(result.out == "forgot the failures of 192.0.2.1\n");
  CHECK(sandbox.tool({"failures", "--reset", "2001:db8::/64", "--json"}).json() ==
        parse_json(R"({"site":"default","reset":1})"));
  CHECK(hosts_of(sandbox.tool({"failures", "--json"}).json()) ==
        std::vector<std::string>{"192.0.2.3"});
}

TEST_CASE("a host that is counted as a network is forgotten with it, and the answer says so") {
  Sandbox sandbox(kConfiguration);
  for (int i = 0; i < 8; ++i)
    fail(sandbox, "2001:db8:0:" + std::to_string(i) + "::1", 1);
  for (int i = 0; i < 1017; ++i)
    fail(sandbox, "host" + std::to_string(i) + ".example", 1);
  const auto hosts = hosts_of(sandbox.tool({"failures", "--json"}).json());
  CHECK(hosts.at(0) == "2001:db8::/56");
  CHECK(sandbox.tool({"failures", "--reset", "2001:db8:0:7::1"}).out ==
        "forgot the failures of 2001:db8::/56, as which 2001:db8:0:7::1 was counted\n");
  CHECK(sandbox.tool({"failures", "--reset", "2001:db8::/56"}).code == 1);
}

TEST_CASE("a name is forgotten also where it is listed cut or escaped") {
  Sandbox sandbox(kConfiguration);
  const std::string longer = std::string(80, 'a') + ".example";
  fail(sandbox, longer, 1);
  fail(sandbox, "evil\x1b[2J.example", 1);
  const auto hosts = hosts_of(sandbox.tool({"failures", "--json"}).json());
  REQUIRE(hosts.size() == 2);
  CHECK_THAT(sandbox.tool({"failures"}).out, Catch::Contains("evil\\x1b[2j.example"));
  CHECK(sandbox.tool({"failures", "--reset", "evil\\x1b[2j.example"}).code == 0);
  const std::string cut = hosts_of(sandbox.tool({"failures", "--json"}).json()).at(0);
  CHECK(cut.size() < longer.size());
  CHECK(sandbox.tool({"failures", "--reset", cut}).code == 0);
  CHECK(hosts_of(sandbox.tool({"failures", "--json"}).json()).empty());
}

TEST_CASE("a host that is not known is exit code 1, and the mend is for this site") {
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.1", 1);
  const ToolResult result = sandbox.tool({"failures", "--reset", "192.0.2.9"});
  CHECK(result.code == 1);
  CHECK(result.out.empty());
  CHECK(result.err == "sessreg: no failures of 192.0.2.9 are known; 'sessreg --conf " +
                          sandbox.conf_path() + " failures' lists the hosts\n");
  CHECK(parse_json(sandbox.tool({"failures", "--reset", "x", "--json"}).err)["error"] ==
        "no_such_host");
  CHECK(hosts_of(sandbox.tool({"failures", "--json"}).json()).size() == 1);
}

TEST_CASE("all hosts are forgotten at once") {
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.1", 3);
  fail(sandbox, "192.0.2.2", 1);
  CHECK(sandbox.tool({"failures", "--reset-all"}).out == "forgot the failures of 2 hosts\n");
  CHECK(hosts_of(sandbox.tool({"failures", "--json"}).json()).empty());
}

TEST_CASE("wrong usage of failures is exit code 2") {
  const Sandbox sandbox(kConfiguration);
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"failures", "--reset"},
                                             {"failures", "--reset", ""},
                                             {"failures", "--reset", "a", "--reset-all"},
                                             {"failures", "192.0.2.1"}}) {
    CAPTURE(arguments);
    CHECK(sandbox.tool(arguments).code == 2);
  }
}

TEST_CASE("who is not root may neither see nor forget failures") {
  if (geteuid() != 0) {
    WARN("skipped: only root can become somebody else");
    return;
  }
  Sandbox sandbox(kConfiguration);
  fail(sandbox, "192.0.2.1", 1);
  const std::string tool = sandbox.directory() + "/tool";
  std::filesystem::copy_file(getenv("SESSREG_TOOL"), tool);
  for (const char* option : {"--json", "--reset-all"}) {
    ToolOptions options;
    options.before_exec = [&] {
      constexpr uid_t kNobody = 65534;
      if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
      execl(tool.c_str(), tool.c_str(), "--conf", sandbox.conf_path().c_str(), "failures", option,
            nullptr);
      _exit(127);
    };
    CHECK(sandbox.tool({}, options).code == 4);
  }
  CHECK(hosts_of(sandbox.tool({"failures", "--json"}).json()).size() == 1);
}
