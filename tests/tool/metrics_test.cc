// sessreg metrics: the text format of Prometheus, to the letter, and the right numbers in it.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "../support/catch.h"
#include "support.h"

using namespace sessreg;

namespace {

using Samples = std::map<std::string, std::string>;  // value by name and labels

// Reads the exposition format 0.0.4 and what `promtool check metrics` asks of names; fails the test
// where something else stands.
Samples read_strictly(const std::string& text) {
  static const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ([^\\\\\n]+[.])");
  static const std::regex type("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)");
  static const std::regex sample(
      "([a-zA-Z_:][a-zA-Z0-9_:]*)"
      "([{][a-z_]+=\"[^\"\\\\\n]*\"(,[a-z_]+=\"[^\"\\\\\n]*\")*[}])? "
      "([0-9]+([.][0-9]+)?|[+]Inf)");
  REQUIRE(!text.empty());
  REQUIRE(text.back() == '\n');
  Samples samples;
  std::set<std::string> names;
  std::string helped, name, kind;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      helped = match[1];
      REQUIRE(names.insert(helped).second);  // one group of lines a metric
    } else if (std::regex_match(line, match, type)) {
      name = match[1];
      kind = match[2];
      REQUIRE(name == helped);
      CHECK_THAT(name, Catch::StartsWith("sessreg_"));
      const auto ends_with = [&](const std::string& end) { return name.ends_with(end); };
      CHECK(ends_with("_total") == (kind == "counter"));
      for (const char* reserved : {"_count", "_sum", "_bucket", "_ms", "_gauge", "_counter"})
        CHECK_FALSE(ends_with(reserved));
    } else {
      REQUIRE(std::regex_match(line, match, sample));
      REQUIRE(match[1] == name);
      REQUIRE(samples.emplace(match[1].str() + match[2].str(), match[4]).second);
      if (kind == "counter")
        CHECK(match[4].str().find_first_not_of("0123456789") == std::string::npos);
    }
  }
  return samples;
}

}  // namespace

TEST_CASE("metrics of a site without a registry are all there, and zero") {
  const Sandbox sandbox;
  const ToolResult result = sandbox.tool({"metrics"});
  CHECK(result.code == 0);
  CHECK(result.err == "");
  Samples samples = read_strictly(result.out);
  CHECK(samples["sessreg_up{site=\"default\"}"] == "1");
  CHECK(samples["sessreg_seats_taken{site=\"default\"}"] == "0");
  CHECK(samples["sessreg_sessions_limit{site=\"default\"}"] == "7");
  CHECK(samples["sessreg_capacity_slots{site=\"default\"}"] == "4096");
  CHECK(samples["sessreg_refusals_total{site=\"default\",reason=\"site_full\"}"] == "0");
  CHECK(samples["sessreg_daemon_up{site=\"default\"}"] == "0");
}

TEST_CASE("metrics tell what happened, and nobody's name") {
  Sandbox sandbox("sessions_limit = 2\n");
  const Process first(sleeps), second(sleeps), third(sleeps);
  const Terms terms = sandbox.terms();
  const Admission session = sandbox.admit(login_of("alice", first, "sshd", "host.example"));
  sandbox.reserve(login_of("alice", second, "sshd", "host.example"));
  for (int i = 0; i < 3; ++i)
    CHECK(sandbox.registry().admit(login_of("bob", third), terms, SystemProcesses()).refusal ==
          Refusal::site_full);
  sandbox.registry().mark_revoked(session.ref, "");
  const ToolResult result = sandbox.tool({"metrics"});
  Samples samples = read_strictly(result.out);
  const auto of_site = [&](const std::string& name, const std::string& label = "") {
    return samples.at("sessreg_" + name + "{site=\"default\"" + label + "}");
  };
  CHECK(of_site("sessions", ",state=\"ending\"") == "1");
  CHECK(of_site("sessions", ",state=\"reserved\"") == "1");
  CHECK(of_site("sessions", ",state=\"active\"") == "0");
  CHECK(of_site("seats_taken") == "2");
  CHECK(of_site("seats_high_water") == "2");
  CHECK(of_site("admissions_total") == "2");
  CHECK(of_site("refusals_total", ",reason=\"site_full\"") == "3");
  CHECK(of_site("refusals_total", ",reason=\"drain\"") == "0");
  CHECK(std::stod(of_site("registry_created_timestamp_seconds")) > 1e9);
  for (const char* name : {"alice", "bob", "host.example"})
    CHECK_THAT(result.out, !Catch::Contains(name));

  sandbox.registry().count(kWouldRefuseUserFull);
  samples = read_strictly(sandbox.tool({"metrics"}).out);
  CHECK(of_site("would_refuse_total", ",reason=\"user_full\"") == "1");

  // They agree with status.
  const nlohmann::json status = sandbox.tool({"status", "--json"}).json();
  CHECK(of_site("admissions_total") == status["admissions"].dump());
  for (const auto& [reason, number] : status["refusals"].items())
    CHECK(of_site("refusals_total", ",reason=\"" + reason + "\"") == number.dump());
  for (const auto& [reason, number] : status["would_refuse"].items())
    CHECK(of_site("would_refuse_total", ",reason=\"" + reason + "\"") == number.dump());
}

TEST_CASE("sessions without a process are told apart, and are among all") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  Login browser = login_of("anna", process, "shop");
  browser.no_process = true;
  for (const char* device : {"x", "y", "stolen"}) {
    browser.device = device;
    sandbox.admit(browser);
  }
  CHECK(sandbox.tool({"revoke", "--device", "stolen", "--yes"}).code == 0);
  Samples samples = read_strictly(sandbox.tool({"metrics"}).out);
  const auto sessions = [&](const std::string& name, const std::string& state) {
    return samples.at("sessreg_" + name + "{site=\"default\",state=\"" + state + "\"}");
  };
  CHECK(sessions("device_sessions", "active") == "2");
  CHECK(sessions("device_sessions", "ending") == "1");
  for (const char* state : {"parked", "reserved", "exempt"})
    CHECK(sessions("device_sessions", state) == "0");
  CHECK(sessions("sessions", "active") == "3");
  CHECK(sessions("sessions", "ending") == "1");
  CHECK(samples.at("sessreg_seats_taken{site=\"default\"}") == "3");
}

TEST_CASE("no limit is infinity, and a changed limit stands beside the configured one") {
  Sandbox sandbox("sessions_limit = -1\n");
  sandbox.registry();
  const std::string in_force = "sessreg_sessions_limit{site=\"default\"}";
  const std::string configured = "sessreg_configured_sessions_limit{site=\"default\"}";
  CHECK(read_strictly(sandbox.tool({"metrics"}).out)[in_force] == "+Inf");
  CHECK(sandbox.tool({"limit", "3"}).code == 0);
  Samples samples = read_strictly(sandbox.tool({"metrics"}).out);
  CHECK(samples[in_force] == "3");
  CHECK(samples[configured] == "+Inf");
}

TEST_CASE("metrics of all sites: one that cannot be read is down, and the others are told") {
  Sandbox sandbox;
  const std::string etc = sandbox.directory() + "/etc";
  REQUIRE(mkdir(etc.c_str(), 0755) == 0);
  REQUIRE(mkdir((etc + "/sessreg.d").c_str(), 0755) == 0);
  std::ofstream(etc + "/sessreg.conf") << "registry = " << sandbox.registry_path() << "\n";
  std::ofstream(etc + "/sessreg.d/bad.conf") << "no such key\n";
  ToolOptions options;
  options.before_exec = [&] {
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(etc.c_str(), "/etc/security", nullptr, MS_BIND, nullptr) != 0)
      _exit(77);
  };
  const ToolResult result = run_tool({"metrics", "--all-sites"}, options);
  if (result.code == 77) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  CHECK(result.code == 5);
  CHECK_THAT(result.err, Catch::Contains("bad.conf:1: "));
  Samples samples = read_strictly(result.out);
  CHECK(samples["sessreg_up{site=\"bad\"}"] == "0");
  CHECK(samples["sessreg_up{site=\"default\"}"] == "1");
  CHECK(samples.count("sessreg_seats_taken{site=\"default\"}") == 1);
  CHECK(samples.count("sessreg_seats_taken{site=\"bad\"}") == 0);
}

TEST_CASE("metrics have one form and one choice of sites") {
  const Sandbox sandbox;
  CHECK(sandbox.tool({"metrics", "--json"}).code == 2);
  CHECK(sandbox.tool({"metrics", "--all-sites"}).code == 2);
}

TEST_CASE("promtool finds nothing to mend in the metrics", "[.promtool]") {
  const char* promtool = getenv("PROMTOOL");
  const std::string program = promtool != nullptr ? promtool : "promtool";
  if (system((program + " --version >/dev/null 2>&1").c_str()) != 0) {
    puts("SKIP: no promtool here (Debian package prometheus)");
    exit(77);
  }
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  const std::string file = sandbox.directory() + "/metrics";
  std::ofstream(file) << sandbox.tool({"metrics"}).out;
  const std::string command = program + " check metrics <" + file + " >" + file + ".said 2>&1";
  const int status = system(command.c_str());
  std::ostringstream said;
  said << std::ifstream(file + ".said").rdbuf();
  INFO(said.str());
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(said.str() == "");
}
