// PASETO v4.public (Ed25519 signatures) and the PASERK forms of its keys, on libsodium.
//
// Threats: whoever holds a token may send any bytes in its place; whoever holds a public key may
// try to pass it off as something else; whoever reads this process's memory or core dump later
// looks for the secret key. Rules this file keeps:
//   1. Only the header "v4.public." MUST be taken. The version and purpose are never chosen by the
//      token, so there is nothing to confuse or to downgrade.
//   2. Base64 MUST be the one encoding of its bytes: the URL alphabet, no padding, no white space,
//      no set bits after the last byte. Otherwise one signed token has many texts, and whoever
//      compares texts or their digests is fooled.
//   3. The signature MUST be over PAE("v4.public.", payload, footer, implicit assertion): lengths
//      before pieces, so that no bytes can move from one piece to another.
//   4. A payload MUST NOT be looked at before its signature has been checked. Nothing here parses
//      one; a footer only chooses among keys that are trusted already.
//   5. A secret key MUST be whole: its second half is the public key that its seed gives. Signing
//      with another one would give the secret away.
//   6. Secret bytes MUST lie in SecretBytes alone, never in a string, and be encoded and decoded
//      without branches or table look-ups that depend on them (libsodium's base64 does that).
//   7. A public key MUST NOT be read where a secret one is meant or the other way round: each
//      PASERK type is a type of its own here.
//
// Sources: github.com/paseto-standard/paseto-spec (docs/01-Protocol-Versions/Version4.md, Common.md
// for PAE), github.com/paseto-standard/paserk (types k4.public, k4.secret, k4.pid).
// Thread safety: pure functions; none needs sodium_init().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret_bytes.h"

namespace sessreg {

inline constexpr std::string_view kTokenHeader = "v4.public.";
inline constexpr std::size_t kSignatureBytes = 64;

struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};
  bool operator==(const PublicKey&) const = default;
};

using Seed = SecretBytes<32>;
// The seed, then the public key: what libsodium and PASERK call an Ed25519 secret key.
using SecretKey = SecretBytes<64>;

SecretKey secret_key_of(const Seed& seed);
PublicKey public_key_of(const SecretKey& key);

// Base64url as rule 2 has it; for bytes that are no secret.
std::string encode_base64url(std::string_view bytes);
std::optional<std::string> decode_base64url(std::string_view text);

// Pre-authentication encoding.
std::string pre_authentication_encoding(std::span<const std::string_view> pieces);

// The whole token. An empty footer has no part of its own.
std::string sign_v4_public(const SecretKey& key, std::string_view payload, std::string_view footer,
                           std::string_view implicit_assertion = {});

enum class FormatFault { not_a_token, other_version_or_purpose, bad_base64, trailing_bytes };

// A token taken apart, with nothing verified.
struct SignedParts {
  std::string payload;
  std::string signature;  // kSignatureBytes
  std::string footer;
};

Result<SignedParts, FormatFault> take_apart_v4_public(std::string_view token);
bool verify_v4_public(const PublicKey& key, const SignedParts& parts,
                      std::string_view implicit_assertion = {});

// "k4.public.…", "k4.pid.…" (the key's id: a BLAKE2b digest of the former).
std::string to_paserk(const PublicKey& key);
std::string key_id_of(const PublicKey& key);
inline constexpr std::size_t kKeyIdChars = 7 + 44;
std::optional<PublicKey> public_key_from_paserk(std::string_view text);
// The form only: 33 bytes in base64url after "k4.pid.".
bool is_key_id(std::string_view text);

// Knows keys that have been found whole, as finding that out takes as long as a signature.
class WholeKeys {
 public:
  virtual ~WholeKeys() = default;
  virtual bool has(std::span<const std::uint8_t> key) const = 0;
  virtual void note(std::span<const std::uint8_t> key) = 0;
};

// "k4.secret.…" without a final NUL or newline.
inline constexpr std::size_t kSecretPaserkChars = 10 + 86;
using SecretPaserk = SecretBytes<kSecretPaserkChars>;
SecretPaserk to_paserk(const SecretKey& key);
// False: not one, or its halves do not belong together (rule 5); *ret_key is then all zeros.
bool secret_key_from_paserk(std::string_view text, SecretKey* ret_key, WholeKeys* whole = nullptr);

}  // namespace sessreg
