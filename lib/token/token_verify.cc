#include "token/token_verify.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "base/text.h"

namespace sessreg {
namespace {

using nlohmann::json;  // its parser only; see ClaimsReader

constexpr std::array<std::string_view, 7> kClaims = {"iss", "aud", "sub", "jti",
                                                     "iat", "exp", "slot"};

TokenError bad_claims(const std::string& what) {
  return {TokenFault::bad_claims, "the token's claims are not those of sessreg: " + what};
}

TokenError error_of(FormatFault fault) {
  switch (fault) {
    case FormatFault::other_version_or_purpose:
      return {TokenFault::other_version_or_purpose,
              "the token is of another version or purpose than v4.public"};
    case FormatFault::bad_base64:
      return {TokenFault::bad_base64, "the token is damaged: it is not base64url without padding"};
    case FormatFault::trailing_bytes:
      return {TokenFault::trailing_bytes, "something stands after the token's end"};
    case FormatFault::not_a_token:
      break;
  }
  return {TokenFault::not_a_token, "that is not a token (v4.public.…)"};
}

// The token's parts, and what its footer says is the key's id.
struct Opened {
  SignedParts parts;
  std::string key_id;
};

Result<Opened, TokenError> open_token(std::string_view text) {
  if (text.size() > kMaxTokenBytes)
    return TokenError{TokenFault::too_long,
                      "the token is too long: " + std::to_string(text.size()) +
                          " bytes, and none has more than " + std::to_string(kMaxTokenBytes)};
  auto parts = take_apart_v4_public(text);
  if (!parts) return error_of(parts.error());
  Opened opened{std::move(*parts), {}};
  constexpr std::string_view kBefore = "{\"kid\":\"";
  const std::string& footer = opened.parts.footer;
  if (footer.starts_with(kBefore)) opened.key_id = footer.substr(kBefore.size(), kKeyIdChars);
  if (!is_key_id(opened.key_id) || footer != token_footer(opened.key_id))
    return TokenError{TokenFault::bad_footer,
                      "the token's footer does not name a key ({\"kid\":\"k4.pid.…\"} alone)"};
  return opened;
}

// A claim's value; neither a text nor a whole number: monostate.
using Claim = std::variant<std::monostate, std::string, std::uint64_t>;
using Claims = std::map<std::string, Claim, std::less<>>;

// Takes one flat object as nlohmann::json reads it; a key that comes twice, or any object or array
// within, ends the reading. Not by way of a json value: its destructor allocates, and without
// memory would end the process.
class ClaimsReader final : public json::json_sax_t {
 public:
  explicit ClaimsReader(Claims& ret) : claims_(ret) {}

  bool start_object(std::size_t) override { return depth_++ == 0; }
  bool key(std::string& name) override {
    const auto [place, is_new] = claims_.try_emplace(name);
    value_ = &place->second;
    return is_new;
  }
  bool string(std::string& value) override { return take(value); }
  bool number_unsigned(std::uint64_t value) override { return take(value); }
  bool number_integer(std::int64_t) override { return take({}); }
  bool number_float(double, const std::string&) override { return take({}); }
  bool boolean(bool) override { return take({}); }
  bool null() override { return take({}); }
  bool binary(json::binary_t&) override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_object() override { return true; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return false;
  }

 private:
  // A value that stands alone has no name.
  bool take(Claim value) {
    if (value_ == nullptr) return false;
    *value_ = std::move(value);
    return true;
  }

  Claims& claims_;
  Claim* value_ = nullptr;
  int depth_ = 0;
};

bool parse_session(std::string_view text, std::array<std::uint8_t, 16>* ret) {
  if (text.size() != 2 * ret->size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return false;
    const auto value = static_cast<std::uint8_t>(digit ? c - '0' : c - 'a' + 10);
    std::uint8_t& byte = (*ret)[i / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | value);
  }
  return true;
}

Result<TokenClaims, TokenError> parse_claims(const std::string& payload) {
  Claims claimed;
  ClaimsReader reader(claimed);
  if (!json::sax_parse(payload, &reader))
    return bad_claims("not one flat JSON object with each name once");
  for (const auto& [name, value] : claimed)
    if (std::find(kClaims.begin(), kClaims.end(), name) == kClaims.end())
      return bad_claims("'" + escape_for_terminal(name) + "' is none of them");
  for (const std::string_view name : kClaims) {
    const auto found = claimed.find(name);
    if (found == claimed.end()) return bad_claims("'" + std::string(name) + "' is missing");
    if (name == "slot" ? !std::holds_alternative<std::uint64_t>(found->second)
                       : !std::holds_alternative<std::string>(found->second))
      return bad_claims("'" + std::string(name) + "' is of another type");
  }
  const auto string_of = [&claimed](std::string_view name) -> const std::string& {
    return std::get<std::string>(claimed.find(name)->second);
  };
  if (string_of("iss") != kTokenIssuer)
    return TokenError{TokenFault::other_issuer, "the token was issued by '" +
                                                    escape_for_terminal(string_of("iss")) +
                                                    "', not by " + std::string(kTokenIssuer)};
  TokenClaims claims;
  claims.site = string_of("aud");
  claims.user = string_of("sub");
  if (claims.user.empty() || claims.user.find('\0') != std::string::npos)
    return bad_claims("'sub' names no user");
  if (!parse_session(string_of("jti"), &claims.session))
    return bad_claims("'jti' is not 32 hex digits");
  const auto issued_s = from_rfc3339(string_of("iat"));
  const auto expires_s = from_rfc3339(string_of("exp"));
  if (!issued_s || !expires_s)
    return bad_claims(std::string(issued_s ? "'exp'" : "'iat'") +
                      " is not a time such as 2026-01-31T12:00:00Z");
  claims.issued_s = *issued_s;
  claims.expires_s = *expires_s;
  if (claims.expires_s < claims.issued_s) return bad_claims("'exp' is before 'iat'");
  const auto slot = std::get<std::uint64_t>(claimed.find("slot")->second);
  if (slot > std::numeric_limits<std::uint32_t>::max()) return bad_claims("'slot' is too large");
  claims.slot = static_cast<std::uint32_t>(slot);
  return claims;
}

}  // namespace

class TokenVerifier {
 public:
  static VerifiedToken verified(TokenClaims claims, std::string key_id) {
    return VerifiedToken(std::move(claims), std::move(key_id));
  }
};

const char* name_of(TokenFault fault) {
  switch (fault) {
    case TokenFault::not_a_token:
      return "not_a_token";
    case TokenFault::other_version_or_purpose:
      return "other_version_or_purpose";
    case TokenFault::too_long:
      return "too_long";
    case TokenFault::bad_base64:
      return "bad_base64";
    case TokenFault::trailing_bytes:
      return "trailing_bytes";
    case TokenFault::bad_footer:
      return "bad_footer";
    case TokenFault::unknown_key:
      return "unknown_key";
    case TokenFault::bad_signature:
      return "bad_signature";
    case TokenFault::bad_claims:
      return "bad_claims";
    case TokenFault::other_issuer:
      return "other_issuer";
    case TokenFault::other_site:
      return "other_site";
    case TokenFault::issued_in_future:
      return "issued_in_future";
    case TokenFault::expired:
      return "expired";
  }
  return "not_a_token";
}

Result<VerifiedToken, TokenError> verify_token(std::string_view text,
                                               std::span<const PublicKey> keys,
                                               std::string_view site, std::int64_t now_s) {
  const auto opened = open_token(text);
  if (!opened) return opened.error();
  const auto key = std::find_if(keys.begin(), keys.end(), [&](const PublicKey& each) {
    return key_id_of(each) == opened->key_id;
  });
  if (key == keys.end())
    return TokenError{TokenFault::unknown_key,
                      "the token is signed with a key that is not known "
                      "here (" +
                          opened->key_id + ")"};
  if (!verify_v4_public(*key, opened->parts))
    return TokenError{TokenFault::bad_signature, "the token's signature is wrong"};

  const auto claims = parse_claims(opened->parts.payload);
  if (!claims) return claims.error();
  if (claims->site != site)
    return TokenError{TokenFault::other_site, "the token is for the site '" +
                                                  escape_for_terminal(claims->site) + "', not '" +
                                                  escape_for_terminal(site) + "'"};
  if (claims->issued_s > now_s + kTokenClockSkew_s)
    return TokenError{TokenFault::issued_in_future, "the token was issued in the future, at " +
                                                        to_rfc3339(claims->issued_s).value_or("?") +
                                                        "; is the clock right?"};
  if (claims->expires_s <= now_s)
    return TokenError{TokenFault::expired,
                      "the token expired at " + to_rfc3339(claims->expires_s).value_or("?")};
  return TokenVerifier::verified(*claims, opened->key_id);
}

Result<UnverifiedToken, TokenError> inspect_token(std::string_view text) {
  const auto opened = open_token(text);
  if (!opened) return opened.error();
  const auto claims = parse_claims(opened->parts.payload);
  if (!claims) return claims.error();
  return UnverifiedToken{*claims, opened->key_id};
}

}  // namespace sessreg
