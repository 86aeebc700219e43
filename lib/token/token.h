// Issuing activity tokens: the proof that its bearer belongs to a session that was opened here.
//
// A token is PASETO v4.public, with these claims in this order
//   {"iss":"sessreg","aud":SITE,"sub":USER,"jti":SESSION ID,"iat":…,"exp":…,"slot":N}
// (times as 2026-01-31T12:00:00Z) and the footer {"kid":"k4.pid.…"}. No implicit assertion, so that
// anyone with the public key and any PASETO library can verify it.
//
// Linked into the PAM module: no iostreams, no locale, no JSON library.
// Thread safety: functions keep no state. See paseto.h for the rules.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "token/paseto.h"

namespace sessreg {

inline constexpr std::string_view kTokenIssuer = "sessreg";
// The longest user name: PAM's own bound for an answer (PAM_MAX_RESP_SIZE).
inline constexpr std::size_t kMaxTokenUserBytes = 512;
// Enough for a name of that length in which every byte must be escaped (\u0001).
inline constexpr std::size_t kMaxTokenBytes = 5120;

struct TokenClaims {
  std::string site;
  // Bytes that are not UTF-8 become U+FFFD in the token: the session's id names it, not the user.
  std::string user;
  std::array<std::uint8_t, 16> session{};
  std::int64_t issued_s = 0;   // since 1970, CLOCK_REALTIME
  std::int64_t expires_s = 0;  // likewise
  std::uint32_t slot = 0;

  bool operator==(const TokenClaims&) const = default;
};

// A secret key that is wiped with the object. Moved from, it is all zeros and must not sign.
class SigningKey {
 public:
  explicit SigningKey(SecretKey key)
      : secret_(std::move(key)), public_(public_key_of(secret_)), id_(key_id_of(public_)) {}

  const SecretKey& secret() const { return secret_; }
  const PublicKey& public_key() const { return public_; }
  const std::string& id() const { return id_; }  // "k4.pid.…"

 private:
  SecretKey secret_;
  PublicKey public_;
  std::string id_;
};

// Errors: bad_claims (no such site name; an empty user, one longer than kMaxTokenUserBytes or with
// a NUL; a time outside the years 1970 to 9999; expiry before issue).
Result<std::string> issue_token(const SigningKey& key, const TokenClaims& claims);

// What issue_token signs, for whoever checks.
std::string token_footer(std::string_view key_id);
// "2026-01-31T12:00:00Z"; nothing outside the years 1970 to 9999.
std::optional<std::string> to_rfc3339(std::int64_t time_s);
// Takes that form alone.
std::optional<std::int64_t> from_rfc3339(std::string_view text);

}  // namespace sessreg
