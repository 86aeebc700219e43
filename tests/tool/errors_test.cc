// How commands fail: exit codes, the one line, and its JSON.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "../support/catch.h"
#include "support.h"

using namespace sessreg;

namespace {

const std::vector<std::vector<std::string>> kCommands = {{"list"},
                                                         {"status"},
                                                         {"limit"},
                                                         {"limit", "5"},
                                                         {"purge"},
                                                         {"revoke", "--all"},
                                                         {"show", "0000"},
                                                         {"message", "--all", "x"},
                                                         {"reload"},
                                                         {"failures"},
                                                         {"explain", "nobody"},
                                                         {"metrics"}};

void check_one_line(const ToolResult& result) {
  CHECK(result.out == "");
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK_THAT(result.err, Catch::Matches("[a-z-]+: [^\n]+\n"));
}

}  // namespace

TEST_CASE("a wrong command line is exit code 2 and one line") {
  const Sandbox sandbox;
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"list", "nonsense"},
                                             {"list", "--nonsense"},
                                             {"show"},
                                             {"show", "xyz"},
                                             {"show", "123"},
                                             {"show", "123g"},
                                             {"show", std::string(33, '0')},
                                             {"list", "--sort", "name"},
                                             {"list", "--state", "gone"},
                                             {"list", "--idle", "-1"},
                                             {"list", "--idle", "1.5h"},
                                             {"list", "--csv", "--json"},
                                             {"list", "--user"},
                                             {"list", "--all-sites"},
                                             {"list", "--watch=3"},
                                             {"list", "--json=maybe"},
                                             {"revoke", "--all", "--dry-run=no"},
                                             {"nonsense", "--help"},
                                             {"list", "status"},
                                             {"limit", "many"},
                                             {"limit", ""},
                                             {"list", "--", "--json"},
                                             {"list", "--", "-h"},
                                             {"limit", "-2"},
                                             {"limit", "5", "--configured"},
                                             {"limit", "99999999999"},
                                             {"--site", "../x", "list"},
                                             {"--site", "", "list"},
                                             {"revoke", "--all", "--grace", "x"}}) {
    CAPTURE(arguments);
    CHECK(sandbox.tool(arguments).code == 2);
  }
  check_one_line(sandbox.tool({"nonsense"}));
  // What people type who know other tools.
  CHECK(run_tool({"help", "list"}).out == run_tool({"list", "--help"}).out);
  CHECK(run_tool({"help"}).out == run_tool({"--help"}).out);
  CHECK(run_tool({"help", "list"}).code == 0);
  CHECK_THAT(sandbox.tool({"nonsense"}).err, Catch::Contains("there is no command 'nonsense'"));
  CHECK_THAT(sandbox.tool({"lsit"}).err,
             Catch::Contains("there is no command 'lsit'; did you mean list?"));
  CHECK_THAT(sandbox.tool({"list", "--usr", "anna"}).err,
             Catch::Contains("unexpected argument '--usr'; did you mean --user?"));
  CHECK_THAT(sandbox.tool({"revoke", "--grase=3"}).err, Catch::Contains("did you mean --grace?"));
  CHECK(run_tool({"list", "--all-sites", "--site", "default"}).code == 2);
}

TEST_CASE("a wrong command line names the help that explains it") {
  const Sandbox sandbox;
  CHECK_THAT(sandbox.tool({"show"}).err, Catch::Contains("see 'sessreg show --help'\n"));
  CHECK_THAT(sandbox.tool({"list", "more"}).err, Catch::Contains("see 'sessreg list --help'\n"));
  CHECK_THAT(sandbox.tool({"--nonsense"}).err, Catch::Contains("see 'sessreg --help'\n"));
}

TEST_CASE("called by the name that users have for it, the tool answers by that name") {
  const Sandbox sandbox;
  for (const std::string path : {"sessregctl", "/usr/bin/sessregctl"}) {
    CAPTURE(path);
    ToolOptions options;
    options.called_as = path;
    CHECK(sandbox.tool({"show"}, options).err ==
          "sessregctl: ID is required; see 'sessregctl show --help'\n");
    CHECK_THAT(run_tool({"--help"}, options).out,
               Catch::Contains("'sessregctl COMMAND --help' explains a command.") &&
                   Catch::Contains("sessregctl [") && !Catch::Contains("sessreg ["));
    CHECK_THAT(run_tool({"list", "--help"}, options).out, Catch::Contains("  sessregctl list "));
    CHECK_THAT(run_tool({"--version"}, options).out, Catch::StartsWith("sessregctl "));
  }
  // What somebody else's link says is not repeated.
  ToolOptions options;
  options.called_as = "/tmp/\033[31mx";
  CHECK_THAT(sandbox.tool({"show"}, options).err, Catch::StartsWith("sessreg: "));
}

TEST_CASE("an option that is given twice is named") {
  const Sandbox sandbox;
  CHECK_THAT(run_tool({"--site", "a", "list", "--site", "b"}).err,
             Catch::Contains(": --site given more than once\n"));
  CHECK_THAT(sandbox.tool({"list", "--conf", "/x"}).err,
             Catch::Contains(": --conf given more than once\n"));
  CHECK_THAT(sandbox.tool({"list", "--user", "a", "--user", "b"}).err,
             Catch::Contains(": --user given more than once\n"));
}

TEST_CASE("commands of later versions do not exist") {
  const Sandbox sandbox;
  for (const char* command : {"touch", "token"})
    CHECK(sandbox.tool({command}).code == 2);
}

TEST_CASE("with --json an error is an object on standard error") {
  const Sandbox sandbox;
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--json", "nonsense"}, {"nonsense", "--json"}, {"list", "--sort", "x", "--json"}}) {
    const ToolResult result = sandbox.tool(arguments);
    CHECK(result.code == 2);
    CHECK(result.out == "");
    const nlohmann::json error = parse_json(result.err);
    CHECK(error.size() == 2);
    CHECK(error["error"] == "usage");
    CHECK(error["message"].is_string());
  }
  CHECK_THAT(sandbox.tool({"list", "--json=true", "--sort", "x"}).err, Catch::StartsWith("{"));
  CHECK_THAT(sandbox.tool({"nonsense", "--json=true"}).err, Catch::StartsWith("{"));
  CHECK_THAT(sandbox.tool({"list", "--", "--json"}).err,
             Catch::Contains(": unexpected argument '--json';"));
  CHECK_THAT(sandbox.tool({"--json=false", "list", "--sort", "x"}).err, !Catch::StartsWith("{"));
  const ToolResult unknown = sandbox.tool({"show", "abcd", "--json"});
  CHECK(unknown.code == 3);
  CHECK(parse_json(unknown.err)["error"] == "no_such_session");
}

TEST_CASE("help and version are exit code 0, before and after the command") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--help"},
                                                                     {"list", "--help"},
                                                                     {"--help", "list"},
                                                                     {"--version"},
                                                                     {"list", "--version"}}) {
    const ToolResult result = run_tool(arguments);
    CHECK(result.code == 0);
    CHECK(result.err == "");
    CHECK(result.out != "");
  }
  CHECK_THAT(run_tool({"list", "--help"}).out, Catch::Contains("--dangling"));
}

TEST_CASE("no line of any help is wider than a terminal of 80 columns") {
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"list"},
                                                          {"show"},
                                                          {"status"},
                                                          {"metrics"},
                                                          {"revoke"},
                                                          {"message"},
                                                          {"limit"},
                                                          {"reload"},
                                                          {"purge"},
                                                          {"failures"},
                                                          {"touch"},
                                                          {"token"},
                                                          {"explain"},
                                                          {"check"},
                                                          {"token", "inspect"},
                                                          {"token", "verify"}};
  for (std::vector<std::string> command : commands) {
    CAPTURE(command);
    command.push_back("--help");
    std::istringstream help(run_tool(command).out);
    for (std::string line; std::getline(help, line);) {
      CAPTURE(line);
      CHECK(line.size() <= 80);
    }
  }
}

TEST_CASE("what is printed on a terminal of 80 columns fits it") {
  Sandbox sandbox("sessions_limit = 9\nmax_failed_auth_per_host = 1\n");
  const Process first(sleeps), second(sleeps);
  const std::string host = "2001:db8:1234:5678:9abc:def0:1234:5678";
  const std::string id =
      id_of(sandbox.admit(login_of("a-user-with-a-long-name", first, "cockpit-session", host)));
  sandbox.admit(login_of("bob", second));
  CHECK(sandbox.tool({"limit", "2"}).code == 0);
  ToolOptions ascii;  // one byte a column
  ascii.environment = {"LC_ALL=C", "NO_COLOR=1"};
  for (const std::vector<std::string>& command : {std::vector<std::string>{"list"},
                                                  {"list", "--wide"},
                                                  {"list", "--by-user"},
                                                  {"status"},
                                                  {"failures"},
                                                  {"purge"},
                                                  {"revoke", "--all", "--dry-run"},
                                                  {"message", "--all", "Hello"}}) {
    CAPTURE(command);
    std::istringstream shown(sandbox.tool_on_terminal(80, command, ascii).out);
    for (std::string line; std::getline(shown, line);) {
      CAPTURE(line);
      CHECK((line.size() <= 80 || line.find(sandbox.conf_path()) != line.npos));
    }
  }
}

TEST_CASE("the help of a command has examples, and their command lines are right") {
  const Sandbox sandbox;
  std::vector<std::vector<std::string>> commands;
  for (const char* command : {"list", "show", "status", "metrics", "revoke", "message", "limit",
                              "reload", "purge", "failures", "touch", "token", "explain", "check"})
    commands.push_back({command});
  for (const char* command : {"inspect", "verify", "keygen", "rotate", "public"})
    commands.push_back({"token", command});
  for (std::vector<std::string> command : commands) {
    CAPTURE(command);
    command.push_back("--help");
    const std::string help = run_tool(command).out;
    const std::size_t start = help.find("Examples:\n");
    REQUIRE(start != std::string::npos);
    CHECK_THAT(help.substr(start), Catch::Contains(command[command.size() - 2]));
    // Every option that an example has is one that the help explains, or global.
    for (std::size_t at = start; (at = help.find(" --", at)) != std::string::npos; ++at) {
      const std::size_t end = help.find_first_of(" ,\n", at + 1);
      const std::string option = help.substr(at + 1, end - at - 1);
      CAPTURE(option);
      const bool is_global =
          option == "--site" || option == "--conf" || option == "--json" || option == "--version";
      CHECK((is_global || help.substr(0, start).find("  " + option) != std::string::npos ||
             help.substr(0, start).find("," + option) != std::string::npos));
    }
  }
}

TEST_CASE("global options may stand on either side of the command") {
  const Sandbox sandbox;
  CHECK(run_tool({"list", "--json", "--conf", sandbox.conf_path()}).json()["limit"] == 7);
  CHECK(run_tool({"--json", "--conf=" + sandbox.conf_path(), "list"}).json()["limit"] == 7);
  CHECK(
      run_tool({"--conf", sandbox.conf_path(), "--site", "lab", "list", "--json"}).json()["site"] ==
      "lab");
}

TEST_CASE("a configuration that is missing or wrong is exit code 5 and named") {
  Sandbox sandbox;
  for (const auto& command : kCommands) {
    auto arguments = command;
    arguments.insert(arguments.begin(), {"--conf", sandbox.directory() + "/none.conf"});
    const ToolResult result = run_tool(arguments);
    CHECK(result.code == 5);
    check_one_line(result);
    CHECK_THAT(result.err, Catch::Contains("/none.conf"));
  }
  sandbox.configure("sessions_limit = many\n");
  const ToolResult result = sandbox.tool({"list"});
  CHECK(result.code == 5);
  check_one_line(result);
  CHECK_THAT(result.err, Catch::Contains("test.conf:2: "));
  CHECK(parse_json(sandbox.tool({"list", "--json"}).err)["error"] == "invalid_config");
}

TEST_CASE("an unusable registry is exit code 5 and says how to mend it") {
  Sandbox sandbox;
  sandbox.registry();
  const auto check_all = [&](const std::string& name) {
    for (const auto& command : kCommands) {
      CAPTURE(command);
      const ToolResult result = sandbox.tool(command);
      CHECK(result.code == 5);
      check_one_line(result);
      CHECK_THAT(result.err, Catch::Contains(sandbox.registry_path()));
    }
    CHECK(parse_json(sandbox.tool({"list", "--json"}).err)["error"] == name);
    // The mend is for this site.
    CHECK_THAT(run_tool({"list", "--site", "rv", "--conf", sandbox.conf_path()}).err,
               Catch::EndsWith(" --site rv --conf " + sandbox.conf_path() + " purge --rebuild'\n"));
  };
  SECTION("foreign") {
    std::ofstream(sandbox.registry_path()) << std::string(5000, 'x');
    check_all("foreign_file");
  }
  SECTION("truncated") {
    REQUIRE(truncate(sandbox.registry_path().c_str(), 4096) == 0);
    check_all("truncated");
  }
  SECTION("damaged") {
    std::fstream file(sandbox.registry_path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40);
    file << "damage";
    file.close();
    check_all("corrupt");
  }
  SECTION("readable by others") {
    REQUIRE(chmod(sandbox.registry_path().c_str(), 0644) == 0);
    check_all("insecure_file");
  }
}

TEST_CASE("who is not root is told so, exit code 4") {
  if (geteuid() != 0) {
    WARN("skipped: only root can become somebody else");
    return;
  }
  Sandbox sandbox;
  sandbox.registry();
  // Where the build lies nobody may be allowed to look.
  const std::string tool = sandbox.directory() + "/tool";
  std::filesystem::copy_file(getenv("SESSREG_TOOL"), tool);
  ToolOptions options;
  constexpr uid_t kNobody = 65534;
  options.environment = {"SESSREG_SOCKET=" + sandbox.directory() + "/none.sock"};
  options.before_exec = [&] {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
    execl(tool.c_str(), tool.c_str(), "--conf", sandbox.conf_path().c_str(), "list", nullptr);
    _exit(127);
  };
  const ToolResult result = sandbox.tool({}, options);
  CHECK(result.code == 4);
  check_one_line(result);
  CHECK_THAT(result.err, Catch::Contains("only root may read " + sandbox.registry_path()));
}

TEST_CASE("an ordinary user means the site of the session, root what root says") {
  if (geteuid() != 0) {
    WARN("skipped: only root can become somebody else");
    return;
  }
  const Sandbox sandbox;
  const std::string tool = sandbox.directory() + "/tool";
  std::filesystem::copy_file(getenv("SESSREG_TOOL"), tool);
  const auto said = [&](const std::string& site, uid_t uid) {
    ToolOptions options;
    options.environment = {"SESSREG_SITE=" + site};
    options.before_exec = [&] {
      if (setgid(uid) != 0 || setuid(uid) != 0) _exit(126);
      execl(tool.c_str(), tool.c_str(), "limit", nullptr);
      _exit(127);
    };
    return run_tool({}, options).err;
  };
  CHECK_THAT(said("no-such-site", 65534), Catch::Contains("sessreg.d/no-such-site.conf"));
  CHECK_THAT(said("no-such-site", 0), !Catch::Contains("no-such-site"));
  CHECK_THAT(said("../../x", 65534), !Catch::Contains("x.conf"));
}

TEST_CASE("a result that nobody gets is exit code 1") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  ToolOptions options;
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"list"},
                                                                     {"list", "--json"},
                                                                     {"list", "--csv"},
                                                                     {"status"},
                                                                     {"metrics"},
                                                                     {"limit"},
                                                                     {"purge"},
                                                                     {"failures"},
                                                                     {"explain", "nobody"},
                                                                     {"--help"},
                                                                     {"--version"}}) {
    CAPTURE(arguments);
    options.before_exec = [] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); };
    CHECK(sandbox.tool(arguments, options).code == 1);
    options.before_exec = [] { close(STDOUT_FILENO); };
    CHECK(sandbox.tool(arguments, options).code == 1);
    options.before_exec = [] {
      int ends[2];
      if (pipe(ends) != 0) _exit(126);
      close(ends[0]);
      dup2(ends[1], STDOUT_FILENO);
    };
    const ToolResult broken = sandbox.tool(arguments, options);
    CHECK(broken.code == 1);
    CHECK(broken.err == "");  // as `sessreg list | head`
  }
}

TEST_CASE("with all three streams closed the registry is not written over") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("alice", process));
  ToolOptions options;
  options.before_exec = [] {
    for (const int fd : {0, 1, 2})
      close(fd);
  };
  CHECK(sandbox.tool({"list"}, options).code == 1);
  CHECK(sandbox.tool({"list", "--json"}).json()["sessions"].size() == 1);
}
