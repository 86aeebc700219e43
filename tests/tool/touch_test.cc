// sessreg touch where the registry can be opened; remote_test.cc has it through the daemon.
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "../support/catch.h"
#include "session/activity.h"
#include "support.h"
#include "token/token_key.h"

using namespace sessreg;

namespace {

// A site whose sessions get tokens.
struct Site {
  Sandbox sandbox;
  Process process{sleeps};

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
  }
  ToolResult touch(const std::string& token, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "touch");
    ToolOptions options;
    options.environment = {"SESSREG_TOKEN=" + token};
    return sandbox.tool(std::move(more), options);
  }
  // One that the site's key signed, of a session that is not there.
  std::string token_of_nobody(std::int64_t issued_s, std::int64_t expires_s,
                              const std::string& site = "default") const {
    const auto key = load_or_make_key(sandbox.key_path());
    REQUIRE(key);
    const auto token = issue_token(*key, {site, "alice", {1, 2, 3}, issued_s, expires_s, 3});
    REQUIRE(token);
    return *token;
  }
};

std::string error_name(const ToolResult& result) {
  return parse_json(result.err)["error"].get<std::string>();
}

}  // namespace

TEST_CASE("touch marks the token's session as used, and prints nothing") {
  Site site;
  Terms terms = site.sandbox.terms();
  const Admission session = site.sandbox.admit(login_of("alice", site.process), terms);
  REQUIRE(!session.token.empty());
  Snapshot held;
  REQUIRE(site.sandbox.registry().snapshot(session.ref, held));
  CHECK(!held.use_is_told);

  const ToolResult result = site.touch(session.token);
  CHECK(result.code == 0);
  CHECK(result.out.empty());
  CHECK(result.err.empty());
  REQUIRE(site.sandbox.registry().snapshot(session.ref, held));
  CHECK(held.use_is_told);
}

TEST_CASE("touch takes the token from the environment, standard input or the command line") {
  Site site;
  const Admission session = site.sandbox.admit(login_of("alice", site.process));
  ToolOptions piped;
  piped.input = session.token + "\n";
  piped.environment = {"SESSREG_TOKEN="};
  CHECK(site.sandbox.tool({"touch", "-"}, piped).code == 0);
  CHECK(site.sandbox.tool({"touch", session.token}).code == 0);
  const ToolResult none = site.touch("");
  CHECK(none.code == 2);
  CHECK_THAT(none.err, Catch::Contains("$SESSREG_TOKEN is not set"));
}

TEST_CASE("touch --json names the session") {
  Site site;
  const Admission session = site.sandbox.admit(login_of("alice", site.process));
  CHECK(site.touch(session.token, {"--json"}).json() ==
        nlohmann::json{{"marked", true}, {"site", "default"}, {"id", id_of(session)}});
}

TEST_CASE("a token that is not valid is refused") {
  Site site;
  const Admission session = site.sandbox.admit(login_of("alice", site.process));
  std::string forged = session.token;
  forged[60] = forged[60] == 'A' ? 'B' : 'A';
  const std::int64_t now_s = now().realtime_ms / 1000;
  for (const std::string& bad :
       {std::string("hello"), forged, site.token_of_nobody(now_s + 600, now_s + 900)}) {
    const ToolResult result = site.touch(bad, {"--json"});
    CHECK(result.code == 6);
    CHECK(error_name(result) == "token_invalid");
  }
  const ToolResult elsewhere =
      site.touch(site.token_of_nobody(now_s, now_s + 900, "lab"), {"--site", "default"});
  CHECK(elsewhere.code == 6);
  CHECK(elsewhere.err == "sessreg: the token is for the site 'lab', not 'default'\n");
}

TEST_CASE("a token of a site that this host does not have is refused") {
  const Site site;
  const std::int64_t now_s = now().realtime_ms / 1000;
  ToolOptions options;
  options.environment = {"SESSREG_TOKEN=" + site.token_of_nobody(now_s, now_s + 900, "no-such-1")};
  const ToolResult result = run_tool({"touch"}, options);
  CHECK(result.code == 6);
  CHECK_THAT(result.err, Catch::Contains("'no-such-1', which this host does not have"));
}

TEST_CASE("a good token of a session that is over finds no session") {
  Site site;
  const Admission session = site.sandbox.admit(login_of("alice", site.process));
  CHECK(site.touch(session.token).code == 0);
  REQUIRE(site.sandbox.registry().release(session.ref));
  const ToolResult result = site.touch(session.token);
  CHECK(result.code == 3);
  CHECK(result.err == "sessreg: the token is good, but its session is over\n");
}

TEST_CASE("before the first login no token has a session") {
  const Sandbox sandbox;
  const auto key = load_or_make_key(sandbox.key_path());
  REQUIRE(key);
  const std::int64_t now_s = now().realtime_ms / 1000;
  const auto token = issue_token(*key, {"default", "alice", {1}, now_s, now_s + 900, 3});
  REQUIRE(token);
  CHECK(sandbox.tool({"touch", *token}).code == 3);
  std::ofstream(sandbox.directory() + "/test.pub") << "nonsense\n";
  CHECK(sandbox.tool({"touch", *token}).code == 5);
  unlink((sandbox.directory() + "/test.pub").c_str());
  CHECK(sandbox.tool({"touch", *token}).code == 6);
}

TEST_CASE("an expired token is refused as that") {
  Site site;
  const std::int64_t now_s = now().realtime_ms / 1000;
  const ToolResult result = site.touch(site.token_of_nobody(now_s - 900, now_s - 1), {"--json"});
  CHECK(result.code == 6);
  CHECK(error_name(result) == "session_expired");
}

TEST_CASE("the token of a session out of its time is refused") {
  Site site;
  Terms terms = site.sandbox.terms();
  terms.lifetime_ms = 1000;
  const Admission session = site.sandbox.admit(login_of("alice", site.process), terms);
  CHECK(wait_until([&] { return site.touch(session.token).code == 6; }));
  CHECK(error_name(site.touch(session.token, {"--json"})) == "session_expired");
}

TEST_CASE("a revoked session's token is refused with the reason") {
  Site site;
  const Admission session = site.sandbox.admit(login_of("alice", site.process));
  REQUIRE(site.sandbox.registry().mark_revoked(session.ref, "lunch\x1b[2J"));
  const ToolResult result = site.touch(session.token);
  CHECK(result.code == 6);
  CHECK(result.err == "sessreg: the session was revoked: lunch\\x1b[2J\n");
}

TEST_CASE("a parked session takes a seat again by its token, or gets the site's message") {
  Site site(
      "sessions_limit = 1\nidle_after = 1s\nmessage_site_full = {count} of {limit}, {user}\n"
      "message_drain = closed to {user}\n");
  Terms terms = site.sandbox.terms();
  terms.idle_after_s = terms.shortest_idle_s = 1;
  const Process second(sleeps);
  const Admission first = site.sandbox.admit(login_of("alice", site.process), terms);
  REQUIRE(site.touch(first.token).code == 0);
  Admission newcomer;
  REQUIRE(wait_until([&] {
    newcomer = site.sandbox.registry().admit(login_of("bob", second), terms, SystemProcesses());
    return newcomer.admitted();
  }));

  const ToolResult full = site.touch(first.token);
  CHECK(full.code == 6);
  CHECK(full.err == "sessreg: 1 of 1, alice\n");
  CHECK(error_name(site.touch(first.token, {"--json"})) == "site_full");
  REQUIRE(site.sandbox.tool({"limit", "0"}).code == 0);
  CHECK(site.touch(first.token).err == "sessreg: closed to alice\n");
  REQUIRE(site.sandbox.tool({"limit", "--configured"}).code == 0);

  REQUIRE(site.sandbox.registry().release(newcomer.ref));
  CHECK(site.touch(first.token).code == 0);
  CHECK(site.sandbox.registry().count() == 1);
}

TEST_CASE("touch --quiet only exits") {
  Site site;
  const ToolResult refused = site.touch("hello", {"--quiet", "--json"});
  CHECK(refused.code == 6);
  CHECK(refused.out.empty());
  CHECK(refused.err.empty());
}
