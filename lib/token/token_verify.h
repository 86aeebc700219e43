// Verifying activity tokens, and looking into one without verifying it.
//
// Rules this file keeps, besides those of paseto.h:
//   1. The signature MUST be right before the payload is parsed. Until then the footer is compared,
//      byte by byte, with the one form that token.h gives it, and only chooses among trusted keys.
//   2. Every claim MUST be there once, of its type and in the form that token.h writes, and
//      no other claim: what this code does not know it cannot honour (an "nbf", say), and
//      nobody else signs.
//   3. What was not verified MUST NOT look verified: the two have different types, and only
//      verify_token makes the verified one.
//   4. A token longer than kMaxTokenBytes MUST be refused before anything of it is copied.
//
// Not linked into the PAM module. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "token/token.h"

namespace sessreg {

enum class TokenFault {
  not_a_token,
  other_version_or_purpose,
  too_long,
  bad_base64,
  trailing_bytes,
  bad_footer,
  unknown_key,
  bad_signature,
  bad_claims,
  other_issuer,
  other_site,
  issued_in_future,
  expired,
};

// "not_a_token", …: stable, for programs.
const char* name_of(TokenFault fault);

struct TokenError {
  TokenFault fault;
  std::string what;  // one line without a final full stop, escaped for the terminal
};

class VerifiedToken {
 public:
  const TokenClaims& claims() const { return claims_; }
  const std::string& key_id() const { return key_id_; }

 private:
  friend class TokenVerifier;
  VerifiedToken(TokenClaims claims, std::string key_id)
      : claims_(std::move(claims)), key_id_(std::move(key_id)) {}

  TokenClaims claims_;
  std::string key_id_;
};

// What a token says of itself; anybody can have written it.
struct UnverifiedToken {
  TokenClaims claimed;
  std::string claimed_key_id;
};

// How far the clock may have been set back since a token was issued.
inline constexpr std::int64_t kTokenClockSkew_s = 60;

// `now_s`: CLOCK_REALTIME. Says nothing about the session: it may have been revoked since.
Result<VerifiedToken, TokenError> verify_token(std::string_view text,
                                               std::span<const PublicKey> keys,
                                               std::string_view site, std::int64_t now_s);

Result<UnverifiedToken, TokenError> inspect_token(std::string_view text);

}  // namespace sessreg
