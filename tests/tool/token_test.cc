// sessreg token: looking into tokens, verifying them, and their keys.
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "../support/catch.h"
#include "support.h"
#include "token/token_key.h"

using namespace sessreg;

namespace {

struct Keys {
  Sandbox sandbox;
  std::string key_path = sandbox.directory() + "/keys/test.key";
  std::string pub_path = sandbox.directory() + "/keys/test.pub";
  std::int64_t now_s = time(nullptr);
  TokenClaims claims{"default", "alice", {0xab, 0xcd}, now_s - 60, now_s + 3600, 5};

  explicit Keys(const std::string& more = "") { configure(more); }
  void configure(const std::string& more) {
    sandbox.configure("key_file = " + key_path + "\n" + more);
  }
  std::string issue() const {
    const auto key = load_or_make_key(key_path);
    REQUIRE(key);
    const auto token = issue_token(*key, claims);
    REQUIRE(token);
    return *token;
  }
  ToolResult token(std::vector<std::string> arguments, const std::string& environment = "",
                   const std::string& input = "") const {
    arguments.insert(arguments.begin(), "token");
    ToolOptions options;
    options.input = input;
    options.environment = {"SESSREG_TOKEN=" + environment};
    return sandbox.tool(std::move(arguments), options);
  }
};

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void check_one_line(const std::string& err) {
  CHECK_THAT(err, Catch::StartsWith("sessreg: ") && Catch::EndsWith("\n"));
  CHECK(std::count(err.begin(), err.end(), '\n') == 1);
}

}  // namespace

TEST_CASE("a token is taken from the environment, standard input or the command line") {
  const Keys keys;
  const std::string token = keys.issue();
  CHECK(keys.token({"verify"}, token).code == 0);
  CHECK(keys.token({"verify", "-"}, "", token).code == 0);
  CHECK(keys.token({"verify", "-"}, "", token + "\n").code == 0);
  CHECK(keys.token({"verify", token}).code == 0);
  // What is given comes before the environment.
  CHECK(keys.token({"verify", token}, "nonsense").code == 0);
  CHECK(keys.token({"verify", "-"}, token, "nonsense").code == 6);
  for (const ToolResult& none :
       {keys.token({"verify"}), keys.token({"inspect"}), keys.token({"verify", "-"}, token, ""),
        keys.token({"verify", "-"}, token, "\n"), keys.token({"verify", ""}, token)}) {
    CHECK(none.code == 2);
    check_one_line(none.err);
  }
  CHECK_THAT(keys.token({"verify"}).err, Catch::Contains("$SESSREG_TOKEN is not set"));
}

TEST_CASE("verify tells what a good token says") {
  const Keys keys;
  const std::string token = keys.issue();
  const ToolResult text = keys.token({"verify"}, token);
  CHECK_THAT(text.out, Catch::StartsWith("token    verified\n") &&
                           Catch::Contains("\nuser     alice\n") && Catch::Contains("in 5") &&
                           Catch::Contains("\nid       abcd0000000000000000000000000000\n"));
  const nlohmann::json json = keys.token({"verify", "--json"}, token).json();
  const std::string kid = load_key(keys.key_path)->id();
  CHECK(json == nlohmann::json{{"verified", true},
                               {"site", "default"},
                               {"user", "alice"},
                               {"id", "abcd0000000000000000000000000000"},
                               {"issued", *to_rfc3339(keys.now_s - 60)},
                               {"expires", *to_rfc3339(keys.now_s + 3600)},
                               {"slot", 5},
                               {"kid", kid}});
}

TEST_CASE("a token that is not good is refused with the reason, and exit code 6") {
  Keys keys;
  const std::string good = keys.issue();
  const auto reason = [&](const std::string& token) {
    const ToolResult result = keys.token({"verify", "-", "--json"}, "", token);
    CHECK(result.code == 6);
    CHECK(result.out.empty());
    return parse_json(result.err)["error"].get<std::string>();
  };
  CHECK(reason("hello") == "not_a_token");
  CHECK(reason("v3.local.AAAA") == "other_version_or_purpose");
  CHECK(reason(good + "=") == "bad_base64");
  CHECK(reason(good + "\n\n") == "trailing_bytes");
  CHECK(reason(std::string(20'000, 'v')) == "too_long");
  CHECK(reason(good.substr(0, good.rfind('.'))) == "bad_footer");
  std::string flipped = good;
  flipped[20] = flipped[20] == 'A' ? 'B' : 'A';
  CHECK(reason(flipped) == "bad_signature");
  keys.claims.expires_s = keys.now_s - 1;
  CHECK(reason(keys.issue()) == "expired");
  keys.claims.issued_s = keys.now_s + 600;
  keys.claims.expires_s = keys.now_s + 900;
  CHECK(reason(keys.issue()) == "issued_in_future");
  keys.claims.site = "lab";
  CHECK(reason(keys.issue()) == "other_site");
  const Keys elsewhere;
  CHECK(reason(elsewhere.issue()) == "unknown_key");
  const ToolResult text = keys.token({"verify"}, flipped);
  CHECK(text.err == "sessreg: the token's signature is wrong\n");
}

TEST_CASE("verify needs the public key only") {
  const Keys keys;
  const std::string token = keys.issue();
  const std::string paserk = to_paserk(load_key(keys.key_path)->public_key());
  SECTION("the site's file") {
    REQUIRE(unlink(keys.key_path.c_str()) == 0);
    CHECK(keys.token({"verify"}, token).code == 0);
  }
  SECTION("one that is named, with no configuration read") {
    keys.sandbox.tool({"list"});
    std::ofstream(keys.sandbox.conf_path()) << "nonsense";
    CHECK(keys.token({"verify"}, token).code == 5);
    CHECK(keys.token({"verify", "--public-key", keys.pub_path}, token).code == 0);
    CHECK(keys.token({"verify", "--public-key", paserk}, token).code == 0);
  }
  SECTION("another one") {
    const Keys other;
    other.issue();
    const ToolResult result = keys.token({"verify", "--public-key", other.pub_path}, token);
    CHECK(result.code == 6);
    CHECK_THAT(result.err, Catch::Contains("not known here"));
  }
  SECTION("what is none") {
    CHECK(keys.token({"verify", "--public-key", "k4.public.AAAA"}, token).code == 2);
    CHECK(keys.token({"verify", "--public-key", ""}, token).code == 2);
    const ToolResult secret = keys.token({"verify", "--public-key", keys.key_path}, token);
    CHECK(secret.code == 5);
    CHECK_THAT(secret.err, !Catch::Contains(content_of(keys.key_path).substr(10, 20)));
    CHECK(keys.token({"verify", "--public-key", "/nowhere/x.pub"}, token).code == 5);
  }
}

TEST_CASE("inspect says that nothing was verified, also of a good token") {
  const Keys keys, other;
  const std::string forged = other.issue();
  const ToolResult text = keys.token({"inspect"}, forged);
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Catch::StartsWith("Not verified: ") && Catch::Contains("alice"));
  CHECK(keys.token({"inspect", "--json"}, forged).json()["verified"] == false);
  CHECK(keys.token({"inspect", "--json"}, keys.issue()).json()["verified"] == false);
  CHECK(keys.token({"inspect"}, "hello").code == 6);
}

TEST_CASE("a name in a token cannot drive the terminal") {
  Keys keys;
  keys.claims.user = "a\x1b[2J\nverified";
  const std::string token = keys.issue();
  for (const char* command : {"inspect", "verify"}) {
    const ToolResult result = keys.token({command}, token);
    CHECK(result.code == 0);
    CHECK_THAT(result.out, Catch::Contains("a\\x1b[2J\\x0averified") && !Catch::Contains("\x1b"));
  }
}

TEST_CASE("keygen makes a key once, and never overwrites") {
  const Keys keys;
  const nlohmann::json made = keys.token({"keygen", "--json"}).json();
  CHECK(made["site"] == "default");
  CHECK(made["key_file"] == keys.key_path);
  CHECK(made["public_key_file"] == keys.pub_path);
  const auto key = load_key(keys.key_path);
  REQUIRE(key);
  CHECK(made["kid"] == key->id());
  CHECK(made["public_key"] == to_paserk(key->public_key()));
  const std::string content = content_of(keys.key_path);
  const ToolResult again = keys.token({"keygen"});
  CHECK(again.code == 1);
  check_one_line(again.err);
  CHECK_THAT(again.err, Catch::Contains("never overwritten") && Catch::Contains("token rotate'"));
  CHECK(content_of(keys.key_path) == content);
  CHECK_THAT(made.dump(), !Catch::Contains("k4.secret"));
}

TEST_CASE("rotate keeps the tokens of the old key good") {
  const Keys keys;
  const ToolResult early = keys.token({"rotate"});
  CHECK(early.code == 5);
  CHECK_THAT(early.err, Catch::Contains("token keygen'"));
  const std::string old_token = keys.issue();
  const std::string old_kid = load_key(keys.key_path)->id();
  const nlohmann::json rotated = keys.token({"rotate", "--json"}).json();
  CHECK(rotated["kid"] != old_kid);
  CHECK(keys.token({"verify"}, old_token).code == 0);
  CHECK(keys.token({"verify", "--json"}, keys.issue()).json()["kid"] == rotated["kid"]);
  const nlohmann::json known = keys.token({"public", "--json"}).json();
  CHECK(known["kid"] == rotated["kid"]);
  REQUIRE(known["others"].size() == 1);
  CHECK(known["others"][0]["kid"] == old_kid);
  CHECK(known["others"][0]["retired"].is_string());
}

TEST_CASE("a retired key stays as long as the longest session that is configured") {
  Keys keys("[service sshd]\nsession_lifetime = 200w\n");
  const std::string old_token = keys.issue();
  const auto old = load_key(keys.key_path);
  REQUIRE(keys.token({"rotate"}).code == 0);
  // As if it had been two years ago.
  const auto current = load_key(keys.key_path);
  const std::string aged = to_paserk(current->public_key()) + "\n# retired " +
                           *to_rfc3339(keys.now_s - 2 * kUsualTokenLife_s) + "\n" +
                           to_paserk(old->public_key()) + "\n";
  std::ofstream(keys.pub_path) << aged;
  REQUIRE(keys.token({"rotate"}).code == 0);
  CHECK(keys.token({"verify"}, old_token).code == 0);
  keys.configure("");
  REQUIRE(keys.token({"rotate"}).code == 0);
  CHECK(keys.token({"verify"}, old_token).code == 6);
}

TEST_CASE("public prints the key and nothing else") {
  const Keys keys;
  const ToolResult none = keys.token({"public"});
  CHECK(none.code == 5);
  CHECK_THAT(none.err, Catch::Contains(keys.pub_path));
  keys.issue();
  const std::string expected = to_paserk(load_key(keys.key_path)->public_key()) + "\n";
  CHECK(keys.token({"public"}).out == expected);
  // Root can do without the file.
  REQUIRE(unlink(keys.pub_path.c_str()) == 0);
  CHECK(keys.token({"public"}).out == expected);
  CHECK(access(keys.pub_path.c_str(), F_OK) != 0);
}

TEST_CASE("who is not root can verify and not change", "[.root]") {
  const Keys keys;
  const std::string token = keys.issue();
  ToolOptions options;
  options.environment = {"SESSREG_TOKEN=" + token};
  options.before_exec = [] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
  };
  CHECK(keys.sandbox.tool({"token", "verify"}, options).code == 0);
  CHECK(keys.sandbox.tool({"token", "public"}, options).code == 0);
  for (const char* command : {"keygen", "rotate"}) {
    const ToolResult result = keys.sandbox.tool({"token", command}, options);
    CHECK(result.code == 4);
    check_one_line(result.err);
  }
}

TEST_CASE("token without a command, or with a wrong one, says which there are") {
  const Keys keys;
  const ToolResult none = keys.token({});
  CHECK(none.code == 2);
  CHECK_THAT(none.err, Catch::Contains("token inspect"));
  CHECK(keys.token({"frobnicate"}).code == 2);
  CHECK(keys.token({"keygen", "extra"}).code == 2);
  CHECK(keys.token({"verify", "a", "b"}).code == 2);
  CHECK(keys.token({"rotate", "--public-key", "x"}).code == 2);
  const ToolResult help = keys.token({"verify", "--help"});
  CHECK(help.code == 0);
  CHECK_THAT(help.out, Catch::Contains("--public-key KEY"));
  CHECK_THAT(keys.token({"--help"}).out, Catch::Contains("rotate"));
}
