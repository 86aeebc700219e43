#include "token/token.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "../../support/catch.h"
#include "token/token_verify.h"

using namespace sessreg;

namespace {

constexpr std::int64_t kNow_s = 1'800'000'000;  // 2027-01-15T08:00:00Z

SigningKey key_of(char filler) {
  Seed seed;
  std::memset(seed.data(), filler, seed.size());
  return SigningKey(secret_key_of(seed));
}

struct Fixture {
  SigningKey key = key_of('k');
  std::vector<PublicKey> keys{key.public_key()};
  TokenClaims claims{
      "lab-1", "alice",       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
      kNow_s,  kNow_s + 3600, 77};

  std::string issue() const {
    const auto token = issue_token(key, claims);
    REQUIRE(token);
    CHECK(token->size() <= kMaxTokenBytes);
    return *token;
  }
  // A token of that payload and our footer, rightly signed.
  std::string sign(std::string_view payload) const {
    return sign_v4_public(key.secret(), payload, token_footer(key.id()));
  }
  Result<VerifiedToken, TokenError> verify(std::string_view token,
                                           std::int64_t now_s = kNow_s) const {
    return verify_token(token, keys, "lab-1", now_s);
  }
  std::string fault(std::string_view token, std::int64_t now_s = kNow_s) const {
    const auto result = verify(token, now_s);
    if (result) return "verified";
    const std::string& what = result.error().what;
    CHECK(what.size() > 10);
    CHECK(what.find('\n') == std::string::npos);
    return name_of(result.error().fault);
  }
};

std::string payload_of(const std::string& token) {
  const auto parts = take_apart_v4_public(token);
  REQUIRE(parts);
  return parts->payload;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a token says what was promised, byte by byte") {
  const Fixture f;
  const std::string token = f.issue();
  const auto parts = take_apart_v4_public(token);
  REQUIRE(parts);
  CHECK(parts->payload ==
        R"({"iss":"sessreg","aud":"lab-1","sub":"alice","jti":"00010203040506070809aabbccddeeff",)"
        R"("iat":"2027-01-15T08:00:00Z","exp":"2027-01-15T09:00:00Z","slot":77})");
  CHECK(parts->footer == R"({"kid":")" + key_id_of(f.key.public_key()) + R"("})");
  CHECK(token == f.issue());
}

TEST_CASE("what was issued verifies, and gives the claims back") {
  Fixture f;
  for (const std::uint32_t slot : {0u, 1u, 1u << 20, 0xffffffffu}) {
    f.claims.slot = slot;
    const auto verified = f.verify(f.issue());
    REQUIRE(verified);
    CHECK(verified->claims() == f.claims);
    CHECK(verified->key_id() == f.key.id());
  }
}

TEST_CASE("any user name makes a token that verifies") {
  Fixture f;
  const auto name_back = [&f](const std::string& name) {
    f.claims.user = name;
    const auto verified = f.verify(f.issue());
    REQUIRE(verified);
    return verified->claims().user;
  };
  std::string controls;
  for (char c = 1; c < 32; ++c)
    controls += c;
  for (const std::string& name :
       {std::string("a\"b\\c/d"), std::string("DOM\\bob"), controls, std::string("\x7f"),
        std::string("Zo\xc3\xab"), std::string("\xf0\x9f\x90\xa7"), std::string("\xe2\x80\xa8"),
        std::string("\",\"aud\":\"other"), std::string(kMaxTokenUserBytes, 'x'),
        std::string(kMaxTokenUserBytes, '\x01')})
    CHECK(name_back(name) == name);
  CHECK(name_back("a\xff") == "a\xef\xbf\xbd");
  CHECK(name_back("\xc3") == "\xef\xbf\xbd");
  CHECK(name_back("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  CHECK(name_back(std::string(kMaxTokenUserBytes, '\xff')).size() == 3 * kMaxTokenUserBytes);
}

TEST_CASE("what no token can say is not issued") {
  Fixture f;
  const auto error = [&f] {
    const auto token = issue_token(f.key, f.claims);
    REQUIRE_FALSE(token);
    CHECK(token.error().code == Errc::bad_claims);
    return token.error().what;
  };
  SECTION("no user") {
    f.claims.user = "";
  }
  SECTION("a user longer than any") {
    f.claims.user = std::string(kMaxTokenUserBytes + 1, 'x');
  }
  SECTION("a NUL") {
    f.claims.user = std::string("a\0b", 3);
  }
  SECTION("a site that is none") {
    f.claims.site = "../x";
  }
  SECTION("before 1970") {
    f.claims.issued_s = -1;
  }
  SECTION("after 9999") {
    f.claims.expires_s = 253402300800;
  }
  SECTION("expired before issued") {
    f.claims.expires_s = f.claims.issued_s - 1;
  }
  CHECK_THAT(error(), Catch::StartsWith("cannot issue a token: "));
}

TEST_CASE("the longest site and user fit") {
  Fixture f;
  f.claims.site = std::string(64, 's');
  f.claims.user = std::string(kMaxTokenUserBytes, '\x1f');
  f.claims.expires_s = 253402300799;
  f.claims.slot = 0xffffffff;
  const auto token = issue_token(f.key, f.claims);
  REQUIRE(token);
  CHECK(token->size() <= kMaxTokenBytes);
  CHECK(verify_token(*token, f.keys, f.claims.site, kNow_s));
}

TEST_CASE("each way in which a text is not a good token has a name of its own") {
  const Fixture f;
  const std::string good = f.issue();
  REQUIRE(f.fault(good) == "verified");
  const std::string body = good.substr(10, good.rfind('.') - 10);
  const std::string footer = good.substr(good.rfind('.') + 1);

  for (const std::string& text :
       {std::string(), std::string("v4"), std::string("v4.public"), std::string("hello"),
        " " + good, std::string("v4.public."), std::string("v4.public.QQ"), "V4" + good.substr(2)})
    CHECK(f.fault(text) == "not_a_token");
  for (const char* header : {"v4.local.", "v3.public.", "v2.public.", "v1.local.", "v5.public.",
                             "v4.Public.", "v4.public2."})
    CHECK(f.fault(header + body + "." + footer) == "other_version_or_purpose");
  CHECK(f.fault(std::string(kMaxTokenBytes + 1, 'v')) == "too_long");
  CHECK(f.fault("v4.public." + std::string(5'000'000, 'A')) == "too_long");
  CHECK(f.fault("v4.public." + body + "=." + footer) == "bad_base64");
  CHECK(f.fault("v4.public." + body + "." + footer + "=") == "bad_base64");
  CHECK(f.fault("v4.public." + body + "\n." + footer) == "bad_base64");
  CHECK(f.fault(replaced(good, "eyJ", "ey/")) == "bad_base64");
  for (const char* after : {"\n", " ", "\t", "\r\n", ".", ".AAAA"})
    CHECK(f.fault(good + after) == "trailing_bytes");
  CHECK(f.fault(good + std::string(1, '\0')) == "trailing_bytes");
  CHECK(f.fault("v4.public." + body) == "bad_footer");
  CHECK(f.fault("v4.public." + body + ".") == "trailing_bytes");
}

TEST_CASE("a footer is the one that names the key, and nothing else") {
  const Fixture f;
  const std::string payload = payload_of(f.issue());
  const std::string good = token_footer(f.key.id());
  const auto fault = [&](const std::string& footer) {
    return f.fault(sign_v4_public(f.key.secret(), payload, footer));
  };
  CHECK(fault(good) == "verified");
  for (const std::string& footer :
       {std::string(), std::string("{}"), std::string("kid"), f.key.id(), good + " ",
        replaced(good, ":", ": "), replaced(good, "}", ",\"x\":1}"),
        replaced(good, "{", "{\"kid\":\"\","), replaced(good, "k4.pid", "k3.pid"),
        replaced(good, "k4.pid.", "k4.pid"), std::string("{\"kid\":7}"),
        std::string("{\"kid\":\"")})
    CHECK(fault(footer) == "bad_footer");
  CHECK(fault(token_footer(key_of('o').id())) == "unknown_key");
}

TEST_CASE("only a known key's signature counts, and each for itself") {
  Fixture f;
  const std::string good = f.issue();
  const SigningKey other = key_of('o');
  const auto forged = issue_token(other, f.claims);
  REQUIRE(forged);
  CHECK(f.fault(*forged) == "unknown_key");
  // By another key, in the known one's name.
  CHECK(f.fault(sign_v4_public(other.secret(), payload_of(good), token_footer(f.key.id()))) ==
        "bad_signature");
  f.keys.push_back(other.public_key());
  CHECK(f.fault(*forged) == "verified");
  CHECK(f.fault(sign_v4_public(other.secret(), payload_of(good), token_footer(f.key.id()))) ==
        "bad_signature");
  f.keys.clear();
  CHECK(f.fault(good) == "unknown_key");
}

TEST_CASE("the signature is checked before the payload is looked at") {
  const Fixture f;
  const SigningKey other = key_of('o');
  for (const char* payload : {"{", "", "[[[[", "{\"iss\":\"x\"}"})
    CHECK(f.fault(sign_v4_public(other.secret(), payload, token_footer(f.key.id()))) ==
          "bad_signature");
}

TEST_CASE("an implicit assertion is not ours") {
  const Fixture f;
  CHECK(f.fault(sign_v4_public(f.key.secret(), payload_of(f.issue()), token_footer(f.key.id()),
                               "x")) == "bad_signature");
}

TEST_CASE("claims are each there once, in their form, and no others") {
  const Fixture f;
  const std::string good = payload_of(f.issue());
  REQUIRE(f.fault(f.sign(good)) == "verified");
  const auto with = [&](std::string_view from, std::string_view to) {
    return f.fault(f.sign(replaced(good, from, to)));
  };
  // The order is nobody's business.
  CHECK(with(R"("iss":"sessreg","aud":"lab-1")", R"("aud":"lab-1", "iss":"sessreg")") ==
        "verified");

  for (const char* text :
       {"", "null", "[]", "\"x\"", "7", "{}", "{", "\xff", "{\"iss\":\"sessreg\"}"})
    CHECK(f.fault(f.sign(text)) == "bad_claims");
  CHECK(f.fault(f.sign(good + good)) == "bad_claims");
  CHECK(f.fault(f.sign(good + "x")) == "bad_claims");
  CHECK(f.fault(f.sign(std::string(1500, '[') + std::string(1500, ']'))) == "bad_claims");

  const auto object = nlohmann::ordered_json::parse(good);
  for (const auto& [name, value] : object.items()) {
    INFO(name);
    auto without = object;
    without.erase(name);
    CHECK(f.fault(f.sign(without.dump())) == "bad_claims");
    // Twice, with the same value and with another.
    const std::string twice = "{\"" + name + "\":" + value.dump() + ",";
    CHECK(f.fault(f.sign(replaced(good, "{", twice))) == "bad_claims");
    CHECK(f.fault(f.sign(replaced(good, "{", "{\"" + name + "\":null,"))) == "bad_claims");
    for (const char* other : {"null", "true", "[]", "{}", "[\"x\"]", "-1", "1.5", "\"\""}) {
      auto changed = object;
      changed[name] = nlohmann::ordered_json::parse(other);
      INFO(other);
      const std::string fault = f.fault(f.sign(changed.dump()));
      if (std::string(other) == "\"\"" && name == "iss")
        CHECK(fault == "other_issuer");
      else if (std::string(other) == "\"\"" && name == "aud")
        CHECK(fault == "other_site");
      else
        CHECK(fault == "bad_claims");
    }
  }
  CHECK(with("{", R"({"nbf":"2099-01-01T00:00:00Z",)") == "bad_claims");
  CHECK(with("{", R"({"ISS":"sessreg",)") == "bad_claims");
  CHECK(with("\"slot\":77", "\"slot\":4294967296") == "bad_claims");
  CHECK(with("\"slot\":77", "\"slot\":77.0") == "bad_claims");
  CHECK(with("\"slot\":77", "\"slot\":\"77\"") == "bad_claims");
  CHECK(with("\"slot\":77", "\"slot\":18446744073709551616") == "bad_claims");
  CHECK(with("aabb", "AABB") == "bad_claims");
  CHECK(with("aabb", "aab") == "bad_claims");
  CHECK(with("aabb", "aabbc") == "bad_claims");
  CHECK(with("aabb", "aabg") == "bad_claims");
  CHECK(with("alice", "a\\u0000b") == "bad_claims");
  CHECK(with("alice", "a\xff") == "bad_claims");
  for (const char* time :
       {"2027-01-15T08:00:00+00:00", "2027-01-15T08:00:00.000Z", "2027-01-15 08:00:00Z",
        "2027-01-15t08:00:00z", "2027-02-29T08:00:00Z", "2027-13-01T08:00:00Z",
        "2027-01-15T24:00:00Z", "2027-01-15T08:60:00Z", "2027-01-15T08:00:60Z",
        "1969-12-31T23:59:59Z", "+027-01-15T08:00:00Z", "1800000000"})
    CHECK(with("2027-01-15T08:00:00Z", time) == "bad_claims");
  CHECK(with("2027-01-15T09:00:00Z", "2027-01-15T07:59:59Z") == "bad_claims");
}

TEST_CASE("another issuer and another site are named") {
  Fixture f;
  const std::string payload = payload_of(f.issue());
  const auto by_other = f.verify(f.sign(replaced(payload, "sessreg", "sess\x1breg\\u001b")));
  CHECK_FALSE(by_other);
  const auto issued_by = f.verify(f.sign(replaced(payload, "sessreg", "x\\u001b")));
  REQUIRE_FALSE(issued_by);
  CHECK(issued_by.error().fault == TokenFault::other_issuer);
  CHECK(issued_by.error().what == "the token was issued by 'x\\x1b', not by sessreg");
  f.claims.site = "default";
  const auto elsewhere = f.verify(f.issue());
  REQUIRE_FALSE(elsewhere);
  CHECK(elsewhere.error().fault == TokenFault::other_site);
  CHECK(elsewhere.error().what == "the token is for the site 'default', not 'lab-1'");
}

TEST_CASE("a token is good from a minute before it is issued until it expires") {
  const Fixture f;
  const std::string token = f.issue();
  CHECK(f.fault(token, kNow_s - 61) == "issued_in_future");
  CHECK(f.fault(token, kNow_s - 60) == "verified");
  CHECK(f.fault(token, kNow_s + 3599) == "verified");
  CHECK(f.fault(token, kNow_s + 3600) == "expired");
  CHECK(f.verify(token, kNow_s + 3600).error().what == "the token expired at 2027-01-15T09:00:00Z");
}

TEST_CASE("a flipped bit anywhere in a token is refused") {
  const Fixture f;
  const std::string good = f.issue();
  for (std::size_t at = 0; at < good.size(); ++at)
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      if (f.verify(bad)) FAIL("bit " << bit << " of byte " << at);
    }
}

TEST_CASE("looking into a token tells what it says, whoever signed it") {
  const Fixture f;
  const SigningKey other = key_of('o');
  const auto forged = issue_token(other, f.claims);
  const auto seen = inspect_token(*forged);
  REQUIRE(seen);
  CHECK(seen->claimed == f.claims);
  CHECK(seen->claimed_key_id == other.id());
  // Nor does it matter whether the signature is right, or the token expired.
  const auto parts = take_apart_v4_public(*forged);
  REQUIRE(parts);
  const std::string unsigned_text = "v4.public." +
                                    encode_base64url(parts->payload + std::string(64, 'x')) + "." +
                                    encode_base64url(parts->footer);
  CHECK(inspect_token(unsigned_text));
  CHECK(inspect_token("v4.local.AAAA").error().fault == TokenFault::other_version_or_purpose);
  CHECK(inspect_token(f.sign("{}")).error().fault == TokenFault::bad_claims);
  static_assert(!std::is_convertible_v<UnverifiedToken, VerifiedToken>);
  static_assert(!std::is_constructible_v<VerifiedToken, UnverifiedToken>);
  static_assert(!std::is_constructible_v<VerifiedToken, TokenClaims, std::string>);
}

TEST_CASE("times are written as RFC 3339 has them, and read back") {
  CHECK(to_rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(to_rfc3339(951782400 + 86399) == "2000-02-29T23:59:59Z");
  CHECK(to_rfc3339(253402300799) == "9999-12-31T23:59:59Z");
  CHECK_FALSE(to_rfc3339(253402300800));
  CHECK_FALSE(to_rfc3339(-1));
  for (std::int64_t time_s = 0; time_s <= 253402300799; time_s += 12'345'677)
    if (from_rfc3339(to_rfc3339(time_s).value()) != time_s) FAIL(time_s);
}
