// libFuzzer target: hostile bytes as a token, as a token's payload or footer that is rightly
// signed, and as a file of public keys. What verifies must be what issue_token() would have written
// for the same claims; what is refused must be told in one line that is safe to show.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "token/token_key.h"
#include "token/token_verify.h"

using namespace sessreg;

namespace {

constexpr std::int64_t kNow_s = 1'800'000'000;

void require(bool holds) {
  if (!holds) abort();
}

void require_one_line(std::string_view text) {
  require(!text.empty() && text.size() < 40'000);
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    require(next.size_bytes != 0 && !is_unsafe_to_show(next.code));
    text.remove_prefix(next.size_bytes);
  }
}

const SigningKey& fixed_key() {
  static const SigningKey key = [] {
    Seed seed;
    std::memset(seed.data(), 'k', seed.size());
    return SigningKey(secret_key_of(seed));
  }();
  return key;
}

void require_errors_told(const TokenError& error) {
  require_one_line(error.what);
}

// `canonical`: only issue_token() can have made it, as nobody else has the key.
void verify_and_look(std::string_view token, bool canonical) {
  const PublicKey keys[] = {PublicKey{}, fixed_key().public_key()};
  const auto inspected = inspect_token(token);
  const auto verified = verify_token(token, keys, "lab", kNow_s);
  if (!inspected) require_errors_told(inspected.error());
  if (!verified) {
    require_errors_told(verified.error());
    return;
  }
  require(inspected && inspected->claimed == verified->claims());
  const TokenClaims& claims = verified->claims();
  require(claims.site == "lab" && !claims.user.empty() && claims.expires_s > kNow_s &&
          claims.issued_s <= kNow_s + kTokenClockSkew_s);
  if (claims.user.size() > kMaxTokenUserBytes) return;
  const auto again = issue_token(fixed_key(), claims);
  require(static_cast<bool>(again));
  if (canonical) require(*again == token);
  const auto twice = verify_token(*again, keys, "lab", kNow_s);
  require(twice && twice->claims() == claims);
}

void fuzz_issue(std::string_view name) {
  TokenClaims claims{"lab", std::string(name), {1, 2, 3}, kNow_s, kNow_s + 60, 9};
  const auto token = issue_token(fixed_key(), claims);
  const bool possible =
      !name.empty() && name.size() <= kMaxTokenUserBytes && name.find('\0') == name.npos;
  require(static_cast<bool>(token) == possible);
  if (!token) return;
  require(token->size() <= kMaxTokenBytes);
  const PublicKey keys[] = {fixed_key().public_key()};
  require(static_cast<bool>(verify_token(*token, keys, "lab", kNow_s)));
  verify_and_look(*token, true);
}

void fuzz_base64(std::string_view text) {
  if (const auto bytes = decode_base64url(text)) require(encode_base64url(*bytes) == text);
  require(decode_base64url(encode_base64url(text)) == text);
}

void fuzz_public_keys(std::string_view text) {
  const auto keys = parse_public_keys(text, "fuzz.pub");
  if (!keys) {
    require(keys.error().what.starts_with("fuzz.pub"));
    require_one_line(keys.error().what);
    return;
  }
  require(!keys->empty());
  for (const SitePublicKey& each : *keys)
    require(text.find(to_paserk(each.key)) != text.npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string footer = token_footer(fixed_key().id());
  switch (data[0]) {
    case 't':
      verify_and_look(text, true);
      break;
    case 'p':
      verify_and_look(sign_v4_public(fixed_key().secret(), text, footer), false);
      break;
    case 'f':
      verify_and_look(sign_v4_public(fixed_key().secret(), "{}", text), false);
      break;
    case 'u':
      fuzz_issue(text);
      break;
    case 'b':
      fuzz_base64(text);
      break;
    case 'k': {
      fuzz_public_keys(text);
      SecretKey ignored;
      require(!secret_key_from_paserk(text, &ignored) || text.size() == kSecretPaserkChars);
      break;
    }
    default:
      break;
  }
  return 0;
}
