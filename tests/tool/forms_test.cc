// sessreg list for programs and for looking over many sessions: its forms, orders, sums by user and
// the line with the seats.
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "../support/catch.h"
#include "support.h"

using namespace sessreg;
using namespace std::string_literals;

namespace {

using Fields = std::vector<std::string>;

std::vector<Fields> split_tsv(const std::string& text) {
  std::vector<Fields> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    Fields& fields = lines.emplace_back();
    std::size_t start = 0;
    for (std::size_t tab; (tab = line.find('\t', start)) != std::string::npos; start = tab + 1)
      fields.push_back(line.substr(start, tab - start));
    fields.push_back(line.substr(start));
  }
  return lines;
}

// A reader of RFC 4180 that takes nothing it does not allow.
std::vector<Fields> read_csv(const std::string& text) {
  std::vector<Fields> records;
  std::size_t at = 0;
  while (at < text.size()) {
    Fields& record = records.emplace_back();
    for (;;) {
      std::string field;
      if (text.at(at) == '"') {
        for (++at;; ++at) {
          if (text.at(at) != '"') {
            field += text[at];
          } else if (at + 1 < text.size() && text[at + 1] == '"') {
            field += text[at++];
          } else {
            break;
          }
        }
        ++at;
      } else {
        while (text.at(at) != ',' && text.at(at) != '\r') {
          REQUIRE(text[at] != '"');
          REQUIRE(text[at] != '\n');
          field += text[at++];
        }
      }
      record.push_back(field);
      if (text.at(at) == ',') {
        ++at;
        continue;
      }
      REQUIRE(text.substr(at, 2) == "\r\n");
      at += 2;
      break;
    }
  }
  return records;
}

Fields users_in(const ToolResult& result) {
  Fields users;
  for (const Fields& line : split_tsv(result.out))
    users.push_back(line.at(2));
  return users;
}

ToolOptions plain_terminal() {
  ToolOptions options;
  options.environment = {"LC_ALL=C.UTF-8", "TERM=xterm", "NO_COLOR=1"};
  return options;
}

Login owned_by_us(Login login) {
  login.uid = geteuid();
  return login;
}

}  // namespace

TEST_CASE("tab-separated fields are those of the JSON, in its order, and never collapse") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps), third(sleeps);
  const Admission ending = sandbox.admit(login_of("a\tb\n", first, "s\tx", "h\\x", "pts/1"));
  sandbox.registry().mark_revoked(ending.ref, "lunch\ttime");
  sandbox.admit(login_of("-", second, "login", "", ""));
  sandbox.admit(login_of("bob", third));
  const ToolResult result = sandbox.tool({"list", "--tsv", "--sort", "user"});
  CHECK(result.code == 0);
  CHECK(result.err == "");
  CHECK(result.out.find('\r') == std::string::npos);
  const auto lines = split_tsv(result.out);
  REQUIRE(lines.size() == 3);
  const nlohmann::json sessions =
      sandbox.tool({"list", "--json", "--sort", "user"}).json()["sessions"];
  const Fields keys = {"id",      "site",         "user",    "uid",    "service",
                       "host",    "tty",          "state",   "opened", "last_activity",
                       "expires", "idle_seconds", "pid",     "seat",   "reason",
                       "process", "terminal",     "command", "here"};
  CHECK(sessions[0].size() == keys.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    REQUIRE(lines[i].size() == keys.size());
    for (std::size_t k = 0; k < keys.size(); ++k) {
      const nlohmann::json& value = sessions[i].at(keys[k]);
      CAPTURE(keys[k], lines[i][k]);
      CHECK(lines[i][k] != "");
      if (value.is_null()) CHECK(lines[i][k] == "-");
      if (value.is_number() || value.is_boolean()) {
        if (keys[k] != "idle_seconds") CHECK(lines[i][k] == value.dump());
      }
    }
  }
  // Sorted by the bytes of the name: '-' before 'a' before 'b'.
  CHECK(lines[0][2] == "\\x2d");
  CHECK(lines[1][2] == "a\\x09b\\x0a");
  CHECK(lines[1][4] == "s\\x09x");
  CHECK(lines[1][5] == "h\\\\x");
  CHECK(lines[1][14] == "lunch\\x09time");
  CHECK(lines[2][2] == "bob");
}

TEST_CASE("CSV can be read back by any reader of RFC 4180") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  sandbox.admit(login_of("a,\"b\"", first, "x\r\ny", "\"", ","));
  sandbox.admit(login_of("zo\xc3\xab", second, "login", "", ""));
  const auto records = read_csv(sandbox.tool({"list", "--csv", "--sort", "user"}).out);
  REQUIRE(records.size() == 3);
  for (const Fields& record : records)
    CHECK(record.size() == 19);
  CHECK(records[0][2] == "user");
  CHECK(records[1][2] == "a,\"b\"");
  CHECK(records[1][4] == "x\\x0d\\x0ay");
  CHECK(records[1][5] == "\"");
  CHECK(records[1][6] == ",");
  CHECK(records[2][2] == "zo\xc3\xab");
  CHECK(records[2][5] == "");
  CHECK(read_csv(sandbox.tool({"list", "--csv", "--user", "nobody"}).out).size() == 1);
}

TEST_CASE("list --json holds of each session what show --json prints") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps);
  const std::string odd = "q\"\\\x01\xff\xc3\xa9";
  sandbox.registry().mark_revoked(sandbox.admit(login_of(odd, first, odd, odd, odd)).ref, odd);
  sandbox.admit(login_of("bob", second, "login", "", ""));
  const auto listed = sandbox.tool({"list", "--json"}).json();
  for (auto session : listed["sessions"]) {
    auto shown = sandbox.tool({"show", session["id"], "--json"}).json();
    session.erase("idle_seconds");
    shown.erase("idle_seconds");
    CHECK(session == shown);
  }
  // And it is laid out like every other object of the tool.
  const std::string text = sandbox.tool({"list", "--json"}).out;
  CHECK(text == nlohmann::ordered_json::parse(text).dump(2, ' ', true) + "\n");
  const std::string empty = sandbox.tool({"list", "--json", "--user", "nobody"}).out;
  CHECK(empty == nlohmann::ordered_json::parse(empty).dump(2, ' ', true) + "\n");
  const std::string users = sandbox.tool({"list", "--json", "--by-user"}).out;
  CHECK(users == nlohmann::ordered_json::parse(users).dump(2, ' ', true) + "\n");
}

TEST_CASE("every order can be asked for, and turned round") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps), third(sleeps);
  sandbox.admit(login_of("bob", first, "vsftpd", "192.0.2.3"));
  usleep(250'000);  // activity is kept in fifths of a second
  const Admission ending = sandbox.admit(login_of("alice", second, "sshd", "192.0.2.2"));
  sandbox.registry().mark_revoked(ending.ref, "");
  usleep(250'000);
  sandbox.admit(login_of("carol", third, "login", "192.0.2.1"));
  const auto order = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"list", "--tsv"});
    return users_in(sandbox.tool(arguments));
  };
  CHECK(order({}) == Fields{"bob", "alice", "carol"});
  CHECK(order({"--reverse"}) == Fields{"carol", "alice", "bob"});
  CHECK(order({"--sort", "opened"}) == Fields{"bob", "alice", "carol"});
  CHECK(order({"--sort", "user"}) == Fields{"alice", "bob", "carol"});
  CHECK(order({"--sort", "user", "--reverse"}) == Fields{"carol", "bob", "alice"});
  CHECK(order({"--sort", "host"}) == Fields{"carol", "alice", "bob"});
  CHECK(order({"--sort", "service"}) == Fields{"carol", "alice", "bob"});
  CHECK(order({"--sort", "state"}) == Fields{"bob", "carol", "alice"});
  CHECK(sandbox.tool({"list", "--sort", "dangling"}).code == 2);
  CHECK(sandbox.tool({"list", "--sort", ""}).code == 2);
}

TEST_CASE("filters combine: a session is shown if it fits all of them") {
  Sandbox sandbox;
  const Process first(sleeps), second(sleeps), third(sleeps), fourth(sleeps);
  sandbox.admit(login_of("bob", first, "sshd", "192.0.2.1"));
  sandbox.admit(login_of("bob", second, "sshd", "192.0.2.2"));
  sandbox.reserve(login_of("bob", third, "sshd", "192.0.2.1"));
  sandbox.admit(login_of("alice", fourth, "sshd", "192.0.2.1"));
  const std::vector<std::string> filter = {"list", "--tsv",  "--user",    "bob",     "--service",
                                           "sshd", "--host", "192.0.2.1", "--state", "active"};
  CHECK(users_in(sandbox.tool(filter)) == Fields{"bob"});
  for (const auto& [option, value] :
       {std::pair{"--user", "zoe"}, std::pair{"--service", "ftp"}, std::pair{"--host", "192.0.2.9"},
        std::pair{"--state", "parked"}}) {
    auto other = filter;
    *(std::find(other.begin(), other.end(), option) + 1) = value;
    CAPTURE(option);
    CHECK(sandbox.tool(other).out == "");
  }
  CHECK(sandbox.tool({"list", "--tsv", "--user", "bob", "--idle", "0s"}).out == "");
}

TEST_CASE("by user the dangling sessions are counted, and who has most comes first") {
  Sandbox sandbox("sessions_limit = 7\ndangling_after = 1s\n");
  int terminals[3] = {-1, -1, -1};
  const Process one(sleeps, &terminals[0]), two(sleeps, &terminals[1]),
      three(sleeps, &terminals[2]);
  const Process tunnel(sleeps), other_tunnel(sleeps), last(sleeps);
  sandbox.admit(owned_by_us(login_of("zoe", one)));
  sandbox.admit(owned_by_us(login_of("zoe", two)));
  sandbox.admit(owned_by_us(login_of("bob", three)));
  sandbox.admit(login_of("alice", tunnel));
  sandbox.admit(login_of("alice", other_tunnel));
  sandbox.admit(login_of("carol", last));
  usleep(1'300'000);
  const auto summary = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"list", "--by-user", "--tsv"});
    Fields lines;
    for (const Fields& line : split_tsv(sandbox.tool(arguments).out)) {
      REQUIRE(line.size() == 8);
      lines.push_back(line[1] + " " + line[3] + " " + line[4] + " " + line[5]);
    }
    return lines;
  };
  CHECK(summary({}) == Fields{"zoe 2 2 2", "bob 1 1 1", "alice 2 2 0", "carol 1 1 0"});
  CHECK(summary({"--sort", "sessions"}) ==
        Fields{"alice 2 2 0", "zoe 2 2 2", "bob 1 1 1", "carol 1 1 0"});
  CHECK(summary({"--sort", "user"}) ==
        Fields{"alice 2 2 0", "bob 1 1 1", "carol 1 1 0", "zoe 2 2 2"});
  CHECK(summary({"--dangling"}) == Fields{"zoe 2 2 2", "bob 1 1 1"});
  CHECK(sandbox.tool({"list", "--by-user", "--sort", "host"}).code == 2);
  const nlohmann::json users = sandbox.tool({"list", "--by-user", "--json"}).json()["users"];
  CHECK(users[0]["user"] == "zoe");
  CHECK(users[0]["dangling"] == 2);
  CHECK_THAT(sandbox.tool({"list", "--by-user"}).out,
             Catch::StartsWith("user   sessions  seats  dangling  last activity\n"
                               "zoe    2         2      2         "));
}

TEST_CASE("the last line tells how full the site is") {
  Sandbox sandbox("sessions_limit = 2\nidle_after = 1s\n");
  int terminal = -1;
  const Process idle(sleeps, &terminal), newcomer(sleeps), third(sleeps);
  const auto last_line = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "list");
    std::string out = sandbox.tool_on_terminal(200, arguments, plain_terminal()).out;
    out.pop_back();
    return out.substr(out.rfind('\n') + 1);
  };
  Terms terms = sandbox.terms();
  terms.idle_after_s = terms.shortest_idle_s = 1;
  sandbox.admit(owned_by_us(login_of("alice", idle)), terms);
  CHECK(last_line({}) == "1 of 2 seats");
  sandbox.reserve(login_of("bob", newcomer));
  CHECK(last_line({}) == "2 of 2 seats, 1 reserved");
  usleep(1'300'000);
  sandbox.admit(login_of("carol", third), terms);
  CHECK(last_line({}) == "2 of 2 seats, 1 parked, 1 reserved");
  CHECK(last_line({"--user", "carol"}) ==
        "2 of 2 seats, 1 parked, 1 reserved; 1 of 3 sessions shown");
  CHECK(last_line({"--user", "nobody"}) ==
        "2 of 2 seats, 1 parked, 1 reserved; 0 of 3 sessions shown");
  CHECK(sandbox.tool({"limit", "-1"}).code == 0);
  CHECK(last_line({}) == "2 seats, no limit, 1 parked, 1 reserved");
  CHECK(sandbox.tool({"limit", "1"}).code == 0);
  CHECK(last_line({}) == "2 of 1 seat, 1 parked, 1 reserved");
}
