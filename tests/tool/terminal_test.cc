// What a terminal is shown: golden output at a few widths, and names that mean harm.
#include <unistd.h>

#include <algorithm>
#include <regex>

#include "../support/catch.h"
#include "support.h"

using namespace sessreg;

namespace {

// Times, ids and pids differ from run to run, their widths do not (but the pid's, which is last).
std::string normalised(std::string text) {
  text = std::regex_replace(text, std::regex(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"),
                            "YYYY-MM-DD hh:mm:ss");
  text = std::regex_replace(text, std::regex(R"(\ds ago)"), "Ns ago");
  text = std::regex_replace(text, std::regex("(^|\n)[0-9a-f]{8}  "), "$1IIIIIIII  ");
  return std::regex_replace(text, std::regex("  [0-9]+\n"), "  PID\n");
}

ToolOptions environment(std::vector<std::string> variables) {
  ToolOptions options;
  options.environment = std::move(variables);
  return options;
}

const ToolOptions& utf8() {
  static const ToolOptions options = environment({"LC_ALL=C.UTF-8", "TERM=xterm", "NO_COLOR=1"});
  return options;
}

}  // namespace

TEST_CASE("the table fits the terminal") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  const Admission ending =
      sandbox.admit(login_of("zo\xc3\xab", first, "sshd", "2001:db8:1234:5678::9abc"));
  sandbox.registry().mark_revoked(ending.ref, "");
  usleep(150'000);
  sandbox.admit(login_of("\xe6\x97\xa5\xe6\x9c\xac", second, "login", "", "/dev/tty1"));
  usleep(1'100'000);  // "1s ago" and not yet "10s ago": all of one width
  const std::size_t pid_digits = std::max(
      {std::size_t{3}, std::to_string(first.pid()).size(), std::to_string(second.pid()).size()});
  // `columns` without the last one.
  const auto list = [&](std::size_t columns, const ToolOptions& options) {
    const ToolResult result = sandbox.tool_on_terminal(
        static_cast<unsigned short>(columns + pid_digits), {"list"}, options);
    CHECK(result.code == 0);
    return normalised(result.out);
  };

  SECTION("wide enough for all") {
    CHECK(
        list(160, utf8()) ==
        R"(id        user  service  from                      tty        state   opened                        last activity                 expires  pid
IIIIIIII  zoë   sshd     2001:db8:1234:5678::9abc  ssh        ending  YYYY-MM-DD hh:mm:ss (Ns ago)  YYYY-MM-DD hh:mm:ss (Ns ago)  -        PID
IIIIIIII  日本  login    -                         /dev/tty1  active  YYYY-MM-DD hh:mm:ss (Ns ago)  YYYY-MM-DD hh:mm:ss (Ns ago)  -        PID
2 of 7 seats
)");
  }
  SECTION("times become relative") {
    CHECK(
        list(100, utf8()) ==
        R"(id        user  service  from                      tty        state   opened  used    expires  pid
IIIIIIII  zoë   sshd     2001:db8:1234:5678::9abc  ssh        ending  Ns ago  Ns ago  -        PID
IIIIIIII  日本  login    -                         /dev/tty1  active  Ns ago  Ns ago  -        PID
2 of 7 seats
)");
  }
  SECTION("the end is left out, so that nothing else is cut") {
    CHECK(
        list(86, utf8()) ==
        R"(id        user  service  from                      tty        state   opened  used    pid
IIIIIIII  zoë   sshd     2001:db8:1234:5678::9abc  ssh        ending  Ns ago  Ns ago  PID
IIIIIIII  日本  login    -                         /dev/tty1  active  Ns ago  Ns ago  PID
2 of 7 seats
)");
  }
  SECTION("texts are shortened, the widest first") {
    CHECK(list(75, utf8()) ==
          R"(id        user  service  from           tty        state   opened  used    pid
IIIIIIII  zoë   sshd     2001:db8:123…  ssh        ending  Ns ago  Ns ago  PID
IIIIIIII  日本  login    -              /dev/tty1  active  Ns ago  Ns ago  PID
2 of 7 seats
)");
  }
  SECTION("lines are cut at last") {
    CHECK(list(50 - pid_digits, utf8()) ==
          R"(id        user  ser…  from  tty   state   opened
IIIIIIII  zoë   sshd  200…  ssh   ending  Ns ago
IIIIIIII  日本  log…  -     /de…  active  Ns ago
2 of 7 seats
)");
  }
  SECTION("nor is an escape cut in two") {
    CHECK(list(70, environment({"LC_ALL=C", "TERM=xterm", "NO_COLOR=1"})) ==
          R"(id        user     service  from     tty      state   opened  used    pid
IIIIIIII  zo\xc3~  sshd     2001:d~  ssh      ending  Ns ago  Ns ago  PID
IIIIIIII  \xe6~    login    -        /dev/t~  active  Ns ago  Ns ago  PID
2 of 7 seats
)");
  }
  SECTION("without a UTF-8 locale only ASCII is shown") {
    CHECK(
        list(180, environment({"LC_ALL=C", "TERM=xterm", "NO_COLOR=1"})) ==
        R"(id        user                      service  from                      tty        state   opened                        last activity                 expires  pid
IIIIIIII  zo\xc3\xab                sshd     2001:db8:1234:5678::9abc  ssh        ending  YYYY-MM-DD hh:mm:ss (Ns ago)  YYYY-MM-DD hh:mm:ss (Ns ago)  -        PID
IIIIIIII  \xe6\x97\xa5\xe6\x9c\xac  login    -                         /dev/tty1  active  YYYY-MM-DD hh:mm:ss (Ns ago)  YYYY-MM-DD hh:mm:ss (Ns ago)  -        PID
2 of 7 seats
)");
  }
}

TEST_CASE("colour is for terminals that take it and people who want it") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.registry().mark_revoked(sandbox.admit(login_of("alice", process)).ref, "");
  const std::string red = "\033[31mending\033[0m";
  const auto shown = [&](std::vector<std::string> variables) {
    return sandbox.tool_on_terminal(200, {"list"}, environment(std::move(variables))).out;
  };
  CHECK_THAT(shown({"TERM=xterm", "NO_COLOR="}), Catch::Contains(red));
  CHECK_THAT(shown({"TERM=xterm", "NO_COLOR=1"}), !Catch::Contains("\033"));
  CHECK_THAT(shown({"TERM=dumb", "NO_COLOR="}), !Catch::Contains("\033"));
  CHECK_THAT(sandbox.tool({"list"}, environment({"TERM=xterm", "NO_COLOR="})).out,
             !Catch::Contains("\033"));
}

TEST_CASE("a pipe gets whole ids, whole texts, and no line with the seats") {
  Sandbox sandbox;
  const Process process(sleeps);
  const std::string host = "a-rather-long-name-of-a-host.in-some.example.org";
  const std::string id = id_of(sandbox.admit(login_of("alice", process, "sshd", host)));
  const std::string out = sandbox.tool({"list"}).out;
  CHECK(std::count(out.begin(), out.end(), '\n') == 2);
  CHECK_THAT(out, Catch::Contains("\n" + id + "  alice  sshd     " + host + "  ssh  active  "));
}

TEST_CASE("a name with a backslash is shown so that it can be pasted back") {
  Sandbox sandbox;
  const Process process(sleeps);
  sandbox.admit(login_of("DOM\\bob", process));
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"list"}, {"list", "--by-user"}, {"list", "--csv"}, {"revoke", "--all", "--dry-run"}})
    CHECK_THAT(sandbox.tool(arguments).out, Catch::Contains("DOM\\bob"));
}

TEST_CASE("no name that was recorded can drive the terminal, and JSON keeps it") {
  Sandbox sandbox;
  const Process process(sleeps);
  const std::string user =
      "a\x1b]0;evil\x07\n\xe2\x80\xae"
      "b\xff"
      "c\x9b";
  const std::string host = "h\r\x1b[2J\\\xc2\x9b";
  const std::string id =
      id_of(sandbox.admit(login_of(user, process, "s\tx", host, "\xf0\x9f\x92\xa9")));
  const auto is_harmless = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) {
                         const auto byte = static_cast<unsigned char>(c);
                         return byte == '\n' || (byte >= 0x20 && byte != 0x7f);
                       }) &&
           text.find("\xe2\x80\xae") == std::string::npos &&
           text.find("\xc2\x9b") == std::string::npos;
  };
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"list"}, {"list", "--by-user"}, {"show", id}, {"revoke", "--all", "--dry-run"}}) {
    const ToolResult piped = sandbox.tool(arguments);
    CHECK(piped.code == 0);
    CHECK(is_harmless(piped.out));
    CHECK_THAT(piped.out, Catch::Contains(R"(a\x1b]0;evil\x07\x0a\xe2\x80\xaeb\xffc\x9b)"));
    const ToolResult shown = sandbox.tool_on_terminal(200, arguments, utf8());
    CHECK(is_harmless(shown.out));
  }
  std::string csv = sandbox.tool({"list", "--csv"}).out;
  std::erase(csv, '\r');
  CHECK(is_harmless(csv));

  const ToolResult json = sandbox.tool({"list", "--json"});
  CHECK(is_harmless(json.out));
  const nlohmann::json session = json.json()["sessions"][0];
  CHECK(session["user"] ==
        "a\x1b]0;evil\x07\n\xe2\x80\xae"
        "b\xef\xbf\xbd"
        "c\xef\xbf\xbd");
  CHECK(session["host"] == host);

  // As arguments, too.
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"show", "\x1b[2J"},
                                             {"\x1b[2J"},
                                             {"list", "\x1b[2J\xff"},
                                             {"list", "--idle", "\x1b"},
                                             {"list", "--state", "\xe2\x80\xae"},
                                             {"limit", "\x1b"},
                                             {"--site", "\x1b", "list"},
                                             {"list", "--x\x1b"}}) {
    const ToolResult refused = sandbox.tool(arguments);
    CHECK(refused.code == 2);
    CHECK(is_harmless(refused.err));
    CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
  }
  CHECK(is_harmless(run_tool({"--conf", "/nowhere/\x1b[2J\n", "list"}).err));
}
