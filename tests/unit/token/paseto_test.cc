#include "token/paseto.h"

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../../support/catch.h"

using namespace sessreg;

namespace {

// From the standard's own repository; the file names the commit.
const nlohmann::json& vectors() {
  static const nlohmann::json all = nlohmann::json::parse(
      std::ifstream(std::string(SESSREG_SOURCE_DIR) + "/tests/unit/token/paseto_v4_vectors.json"));
  return all;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

template <class Key>
Key bytes_into(const std::string& bytes) {
  Key key;
  REQUIRE(bytes.size() == key.size());
  std::memcpy(key.data(), bytes.data(), key.size());
  return key;
}

PublicKey public_key(const std::string& hex) {
  return {bytes_into<decltype(PublicKey::bytes)>(from_hex(hex))};
}

SecretKey secret_key(const std::string& hex) {
  return bytes_into<SecretKey>(from_hex(hex));
}

bool is_good(const std::string& token, const PublicKey& key, std::string_view assertion) {
  const auto parts = take_apart_v4_public(token);
  return parts && verify_v4_public(key, *parts, assertion);
}

std::string text_of(const SecretPaserk& paserk) {
  return {paserk.chars(), paserk.size()};
}

const SecretKey& some_key() {
  static const SecretKey key = secret_key_of(bytes_into<Seed>(std::string(32, '\x07')));
  return key;
}

}  // namespace

TEST_CASE("the standard's signed tokens verify, and signing gives the same bytes") {
  int count = 0;
  for (const auto& vector : vectors()["tokens"]) {
    const std::string token = vector["token"];
    if (vector["expect-fail"] || !token.starts_with("v4.public.")) continue;
    INFO(vector["name"]);
    ++count;
    const std::string payload = vector["payload"];
    const std::string footer = vector["footer"];
    const std::string assertion = vector["implicit-assertion"];
    const PublicKey key = public_key(vector["public-key"]);
    const SecretKey secret = secret_key(vector["secret-key"]);
    const auto parts = take_apart_v4_public(token);
    REQUIRE(parts);
    CHECK(parts->payload == payload);
    CHECK(parts->footer == footer);
    CHECK(verify_v4_public(key, *parts, assertion));
    CHECK_FALSE(verify_v4_public(key, *parts, assertion + "x"));
    CHECK(sign_v4_public(secret, payload, footer, assertion) == token);
    CHECK(public_key_of(secret) == key);
    const SecretKey grown = secret_key_of(bytes_into<Seed>(from_hex(vector["secret-key-seed"])));
    CHECK(std::memcmp(grown.data(), secret.data(), secret.size()) == 0);
  }
  CHECK(count == 3);
}

TEST_CASE("the standard's other tokens are refused, whichever key is tried") {
  const PublicKey key =
      public_key("1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2");
  int count = 0;
  for (const auto& vector : vectors()["tokens"]) {
    const std::string token = vector["token"];
    if (!vector["expect-fail"] && token.starts_with("v4.public.")) continue;
    INFO(vector["name"]);
    ++count;
    const auto parts = take_apart_v4_public(token);
    if (token.starts_with("v4.public.")) {
      // Made with a key for v4.local: well formed, but signed by nobody.
      REQUIRE(parts);
      CHECK_FALSE(verify_v4_public(key, *parts, vector["implicit-assertion"].get<std::string>()));
      const PublicKey theirs = public_key(vector["key"]);
      CHECK_FALSE(
          verify_v4_public(theirs, *parts, vector["implicit-assertion"].get<std::string>()));
    } else {
      REQUIRE(!parts);
      CHECK(parts.error() == FormatFault::other_version_or_purpose);
    }
  }
  CHECK(count == 14);
}

TEST_CASE("pre-authentication encoding is the standard's") {
  const auto pae = [](std::vector<std::string_view> pieces) {
    return pre_authentication_encoding(pieces);
  };
  const std::string zero(8, '\0');
  const std::string one = std::string("\x01", 1) + std::string(7, '\0');
  CHECK(pae({}) == zero);
  CHECK(pae({""}) == one + zero);
  CHECK(pae({"test"}) == one + std::string("\x04", 1) + std::string(7, '\0') + "test");
  CHECK(pae({"ab", "c"}) != pae({"a", "bc"}));
}

TEST_CASE("keys in PASERK are the standard's") {
  for (const auto& vector : vectors()["k4.public"]) {
    if (vector["expect-fail"]) continue;
    INFO(vector["name"]);
    const PublicKey key = public_key(vector["key"]);
    CHECK(to_paserk(key) == vector["paserk"].get<std::string>());
    CHECK(public_key_from_paserk(vector["paserk"].get<std::string>()) == key);
  }
  for (const auto& vector : vectors()["k4.secret"]) {
    if (vector["expect-fail"]) continue;
    INFO(vector["name"]);
    const SecretKey key = secret_key(vector["key"]);
    CHECK(text_of(to_paserk(key)) == vector["paserk"].get<std::string>());
    SecretKey read;
    REQUIRE(secret_key_from_paserk(vector["paserk"].get<std::string>(), &read));
    CHECK(std::memcmp(read.data(), key.data(), key.size()) == 0);
  }
  for (const auto& vector : vectors()["k4.pid"]) {
    if (vector["expect-fail"]) continue;
    INFO(vector["name"]);
    CHECK(key_id_of(public_key(vector["key"])) == vector["paserk"].get<std::string>());
    CHECK(is_key_id(vector["paserk"].get<std::string>()));
  }
}

TEST_CASE("keys of the wrong size, type or version are refused") {
  const auto encoded = [](const std::string& key) { return encode_base64url(from_hex(key)); };
  int count = 0;
  for (const char* type : {"k4.public", "k4.secret", "k4.pid"}) {
    for (const auto& vector : vectors()[type]) {
      if (!vector["expect-fail"]) continue;
      INFO(vector["name"]);
      ++count;
      const std::string text = std::string(type) + "." + encoded(vector["key"]);
      SecretKey key;
      CHECK_FALSE(public_key_from_paserk(text));
      CHECK_FALSE(secret_key_from_paserk(text, &key));
      CHECK_FALSE(is_key_id(text));
    }
  }
  CHECK(count == 5);
  const std::string good = to_paserk(public_key_of(some_key()));
  REQUIRE(public_key_from_paserk(good));
  for (const char* other : {"k3.public.", "k4.secret.", "k4.local.", "K4.public.", "k4.pid.", ""})
    CHECK_FALSE(public_key_from_paserk(other + good.substr(10)));
  for (const char* after : {"=", "\n", " ", "A", "."})
    CHECK_FALSE(public_key_from_paserk(good + after));
  SecretKey key;
  const std::string secret = text_of(to_paserk(some_key()));
  REQUIRE(secret_key_from_paserk(secret, &key));
  for (const char* other : {"k3.secret.", "k4.public.", "k4.local.", "k4.sid.", ""})
    CHECK_FALSE(secret_key_from_paserk(other + secret.substr(10), &key));
  CHECK_FALSE(secret_key_from_paserk(secret + "\n", &key));
  CHECK_FALSE(secret_key_from_paserk(secret.substr(0, secret.size() - 1), &key));
}

TEST_CASE("a secret key whose halves do not belong together is refused") {
  std::string bytes(reinterpret_cast<const char*>(some_key().data()), some_key().size());
  for (const std::size_t at : {0u, 31u, 32u, 63u}) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 1);
    SecretKey key = secret_key_of(Seed());
    CHECK_FALSE(secret_key_from_paserk("k4.secret." + encode_base64url(other), &key));
    CHECK(std::all_of(key.data(), key.data() + key.size(), [](int byte) { return byte == 0; }));
  }
}

TEST_CASE("of two keys only the one that is known as whole is believed to be") {
  struct OneKey final : WholeKeys {
    std::string known;
    bool has(std::span<const std::uint8_t> key) const override {
      return std::equal(key.begin(), key.end(), known.begin(), known.end(),
                        [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); });
    }
    void note(std::span<const std::uint8_t> key) override { known.assign(key.begin(), key.end()); }
  } whole;
  const std::string bytes(reinterpret_cast<const char*>(some_key().data()), some_key().size());
  std::string broken = bytes;
  broken[63] = static_cast<char>(broken[63] ^ 1);
  SecretKey key;
  CHECK_FALSE(secret_key_from_paserk("k4.secret." + encode_base64url(broken), &key, &whole));
  CHECK(whole.known.empty());
  REQUIRE(secret_key_from_paserk("k4.secret." + encode_base64url(bytes), &key, &whole));
  CHECK(whole.known == bytes);
  CHECK_FALSE(secret_key_from_paserk("k4.secret." + encode_base64url(broken), &key, &whole));
  // Who is known is not asked again.
  whole.known = broken;
  CHECK(secret_key_from_paserk("k4.secret." + encode_base64url(broken), &key, &whole));
}

TEST_CASE("base64 has one text for each bytes") {
  CHECK(encode_base64url("") == "");
  CHECK(decode_base64url("") == "");
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{
           {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"\xff\xfe\xfb", "__77"}, {"\xf8", "-A"}}) {
    CHECK(encode_base64url(bytes) == text);
    CHECK(decode_base64url(text) == bytes);
  }
  SECTION("set bits after the last byte") {
    for (const char* text : {"Zh", "Zv", "Z_", "Zm9", "Zm-", "_x"})
      CHECK_FALSE(decode_base64url(text));
  }
  SECTION("padding") {
    for (const char* text : {"Zg==", "Zg=", "Zm8=", "Zm9v=", "="})
      CHECK_FALSE(decode_base64url(text));
  }
  SECTION("white space") {
    for (const char* text : {" Zm9v", "Zm9v ", "Zm\n9v", "Zm9v\n", "\tZg", "Z g"})
      CHECK_FALSE(decode_base64url(text));
  }
  SECTION("another alphabet") {
    for (const char* text : {"//77", "+A", "Zm9.", "Zm9!", "\xc3\xa9Zm"})
      CHECK_FALSE(decode_base64url(text));
    CHECK_FALSE(decode_base64url(std::string_view("Zm9v\0", 5)));
    CHECK_FALSE(decode_base64url(std::string_view("\0Zm9v", 5)));
  }
  SECTION("a length that no bytes have") {
    for (const char* text : {"Z", "Zm9vZ"})
      CHECK_FALSE(decode_base64url(text));
  }
}

TEST_CASE("each of the 256 bytes is a digit of base64 or is refused") {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (int byte = 0; byte < 256; ++byte) {
    INFO(byte);
    const char c = static_cast<char>(byte);
    const bool is_digit = digits.find(c) != std::string::npos;
    CHECK(decode_base64url(std::string("Zm9") + c).has_value() == is_digit);
    CHECK(decode_base64url(c + std::string("m9v")).has_value() == is_digit);
    std::string key = to_paserk(PublicKey{});
    key[20] = c;
    CHECK(public_key_from_paserk(key).has_value() == is_digit);
  }
}

TEST_CASE("base64 that decodes encodes to the same text") {
  const std::string alphabet = "AQgwxZ09-_=+/ \n.";
  int good = 0;
  for (const char a : alphabet)
    for (const char b : alphabet)
      for (const char c : alphabet) {
        for (const std::string& text : {std::string{a, b}, std::string{a, b, c}}) {
          const auto bytes = decode_base64url(text);
          if (!bytes) continue;
          ++good;
          CHECK(encode_base64url(*bytes) == text);
        }
      }
  CHECK(good > 100);
}

TEST_CASE("nothing of a token can move from one piece to another") {
  const PublicKey key = public_key_of(some_key());
  const auto parts = take_apart_v4_public(sign_v4_public(some_key(), "payload", "footer"));
  REQUIRE(parts);
  REQUIRE(verify_v4_public(key, *parts));
  CHECK_FALSE(verify_v4_public(key, {"payloadf", parts->signature, "ooter"}));
  CHECK_FALSE(verify_v4_public(key, {"payload", parts->signature, ""}, "footer"));
  CHECK_FALSE(verify_v4_public(key, {"payloadfooter", parts->signature, ""}));
  CHECK_FALSE(verify_v4_public(key, {"payload", parts->signature.substr(1), "footer"}));
}

TEST_CASE("a flipped bit anywhere in a token is noticed") {
  const PublicKey key = public_key_of(some_key());
  const std::string good = sign_v4_public(some_key(), R"({"a":"b"})", R"({"kid":"c"})");
  REQUIRE(is_good(good, key, ""));
  for (std::size_t at = 0; at < good.size(); ++at)
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      CHECK_FALSE(is_good(bad, key, ""));
    }
}

TEST_CASE("a token cut short or grown is noticed") {
  const PublicKey key = public_key_of(some_key());
  const std::string good = sign_v4_public(some_key(), R"({"a":"b"})", R"({"kid":"c"})");
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(is_good(good.substr(0, size), key, ""));
  for (const char* after : {"A", "AA", "AAAA", ".", ".A", "=", "\n", " "})
    CHECK_FALSE(is_good(good + after, key, ""));
  const std::string bare = sign_v4_public(some_key(), "x", "");
  REQUIRE(is_good(bare, key, ""));
  CHECK_FALSE(is_good(bare + ".", key, ""));
  CHECK_FALSE(is_good(good + std::string(1, '\0'), key, ""));
}

TEST_CASE("signatures by keys of small order are refused") {
  // With the neutral element as the key, R = S·B verifies for any message where nobody checks.
  SignedParts parts;
  parts.payload = "anything";
  parts.signature = std::string(64, '\0');
  parts.signature[0] = 1;
  PublicKey neutral;
  neutral.bytes[0] = 1;
  CHECK_FALSE(verify_v4_public(neutral, parts));
  CHECK_FALSE(verify_v4_public(PublicKey{}, parts));
}

TEST_CASE("secret bytes are wiped where they were moved from") {
  Seed first = bytes_into<Seed>(std::string(32, 'k'));
  const Seed second = std::move(first);
  CHECK(std::string(second.chars(), second.size()) == std::string(32, 'k'));
  CHECK(std::string(first.chars(), first.size()) == std::string(32, '\0'));  // NOLINT
}
