#include "token/paseto.h"

#include <sodium/crypto_generichash_blake2b.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sodium/utils.h>

#include <cstring>

namespace sessreg {
namespace {

constexpr int kBase64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
constexpr std::string_view kPublicType = "k4.public.";
constexpr std::string_view kSecretType = "k4.secret.";
constexpr std::string_view kIdType = "k4.pid.";
constexpr std::size_t kIdBytes = 33;

const std::uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

// With a final NUL, which libsodium writes.
constexpr std::size_t encoded_room(std::size_t bytes) {
  return sodium_base64_ENCODED_LEN(bytes, kBase64);
}

// libsodium's decoder takes some bytes above 127 for digits (it compares 8 bits of a signed char).
// Every byte is looked at, whatever the others are.
bool is_ascii(std::string_view text) {
  std::uint8_t all = 0;
  for (const char c : text)
    all |= static_cast<std::uint8_t>(c);
  return all < 0x80;
}

bool decode(std::string_view text, std::uint8_t* ret, std::size_t room, std::size_t* ret_bytes) {
  return is_ascii(text) && sodium_base642bin(ret, room, text.data(), text.size(), nullptr,
                                             ret_bytes, nullptr, kBase64) == 0;
}

// False: not exactly `bytes` bytes in the one right encoding.
bool decode_exactly(std::string_view text, std::uint8_t* ret, std::size_t bytes) {
  std::size_t got = 0;
  return decode(text, ret, bytes, &got) && got == bytes;
}

std::string signed_text(std::string_view payload, std::string_view footer,
                        std::string_view implicit_assertion) {
  const std::array pieces = {kTokenHeader, payload, footer, implicit_assertion};
  return pre_authentication_encoding(pieces);
}

}  // namespace

SecretKey secret_key_of(const Seed& seed) {
  SecretKey key;
  PublicKey ignored;
  crypto_sign_ed25519_seed_keypair(ignored.bytes.data(), key.data(), seed.data());
  return key;
}

PublicKey public_key_of(const SecretKey& key) {
  PublicKey result;
  std::memcpy(result.bytes.data(), key.data() + Seed::size(), result.bytes.size());
  return result;
}

std::string encode_base64url(std::string_view bytes) {
  std::string text(encoded_room(bytes.size()), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes_of(bytes), bytes.size(), kBase64);
  text.pop_back();
  return text;
}

std::optional<std::string> decode_base64url(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  std::size_t got = 0;
  if (!decode(text, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(), &got))
    return std::nullopt;
  bytes.resize(got);
  return bytes;
}

std::string pre_authentication_encoding(std::span<const std::string_view> pieces) {
  std::string result;
  const auto append_length = [&result](std::uint64_t length) {
    for (unsigned byte = 0; byte < 8; ++byte)
      result += static_cast<char>((length >> (8 * byte)) & 0xff);
  };
  append_length(pieces.size());
  for (const std::string_view piece : pieces) {
    append_length(piece.size());
    result += piece;
  }
  return result;
}

std::string sign_v4_public(const SecretKey& key, std::string_view payload, std::string_view footer,
                           std::string_view implicit_assertion) {
  const std::string message = signed_text(payload, footer, implicit_assertion);
  std::array<std::uint8_t, kSignatureBytes> signature;
  crypto_sign_ed25519_detached(signature.data(), nullptr, bytes_of(message), message.size(),
                               key.data());
  std::string body(payload);
  body.append(reinterpret_cast<const char*>(signature.data()), signature.size());
  std::string token(kTokenHeader);
  token += encode_base64url(body);
  if (!footer.empty()) token += "." + encode_base64url(footer);
  return token;
}

Result<SignedParts, FormatFault> take_apart_v4_public(std::string_view token) {
  if (!token.starts_with(kTokenHeader)) {
    // Any "vN.purpose." that is not ours.
    const std::size_t dot = token.find('.');
    const bool other = token.size() >= 2 && token[0] == 'v' && token[1] >= '0' && token[1] <= '9' &&
                       dot != std::string_view::npos &&
                       token.find('.', dot + 1) != std::string_view::npos;
    return other ? FormatFault::other_version_or_purpose : FormatFault::not_a_token;
  }
  token.remove_prefix(kTokenHeader.size());
  const std::size_t dot = token.find('.');
  const bool has_footer = dot != std::string_view::npos;
  const std::string_view footer_text = has_footer ? token.substr(dot + 1) : std::string_view();
  if (footer_text.find('.') != std::string_view::npos) return FormatFault::trailing_bytes;
  if (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ' ||
                         token.back() == '\t' || token.back() == '\0'))
    return FormatFault::trailing_bytes;
  // A dot with nothing after it would be a second text for a token without a footer.
  if (has_footer && footer_text.empty()) return FormatFault::trailing_bytes;

  auto body = decode_base64url(token.substr(0, dot));
  auto footer = decode_base64url(footer_text);
  if (!body || !footer) return FormatFault::bad_base64;
  if (body->size() < kSignatureBytes) return FormatFault::not_a_token;
  SignedParts parts;
  parts.signature = body->substr(body->size() - kSignatureBytes);
  body->resize(body->size() - kSignatureBytes);
  parts.payload = std::move(*body);
  parts.footer = std::move(*footer);
  return parts;
}

bool verify_v4_public(const PublicKey& key, const SignedParts& parts,
                      std::string_view implicit_assertion) {
  if (parts.signature.size() != kSignatureBytes) return false;
  const std::string message = signed_text(parts.payload, parts.footer, implicit_assertion);
  // Refuses keys of small order and signatures that are not the one canonical form.
  return crypto_sign_ed25519_verify_detached(bytes_of(parts.signature), bytes_of(message),
                                             message.size(), key.bytes.data()) == 0;
}

std::string to_paserk(const PublicKey& key) {
  return std::string(kPublicType) +
         encode_base64url({reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size()});
}

std::string key_id_of(const PublicKey& key) {
  const std::string message = std::string(kIdType) + to_paserk(key);
  std::array<char, kIdBytes> digest;
  crypto_generichash_blake2b(reinterpret_cast<std::uint8_t*>(digest.data()), digest.size(),
                             bytes_of(message), message.size(), nullptr, 0);
  return std::string(kIdType) + encode_base64url({digest.data(), digest.size()});
}

std::optional<PublicKey> public_key_from_paserk(std::string_view text) {
  PublicKey key;
  if (!text.starts_with(kPublicType) ||
      !decode_exactly(text.substr(kPublicType.size()), key.bytes.data(), key.bytes.size()))
    return std::nullopt;
  return key;
}

bool is_key_id(std::string_view text) {
  std::array<std::uint8_t, kIdBytes> ignored;
  return text.starts_with(kIdType) &&
         decode_exactly(text.substr(kIdType.size()), ignored.data(), ignored.size());
}

SecretPaserk to_paserk(const SecretKey& key) {
  SecretBytes<encoded_room(SecretKey::size())> encoded;
  sodium_bin2base64(encoded.chars(), encoded.size(), key.data(), key.size(), kBase64);
  static_assert(kSecretType.size() + encoded_room(SecretKey::size()) - 1 == kSecretPaserkChars);
  SecretPaserk result;
  std::memcpy(result.data(), kSecretType.data(), kSecretType.size());
  copy_secret(result.data() + kSecretType.size(), encoded.data(), encoded.size() - 1);
  return result;
}

bool secret_key_from_paserk(std::string_view text, SecretKey* ret_key, WholeKeys* whole) {
  SecretKey key;
  ret_key->wipe();
  if (!text.starts_with(kSecretType) ||
      !decode_exactly(text.substr(kSecretType.size()), key.data(), key.size()))
    return false;
  const std::span<const std::uint8_t> bytes(key.data(), key.size());
  if (whole == nullptr || !whole->has(bytes)) {
    Seed seed;
    copy_secret(seed.data(), key.data(), seed.size());
    const SecretKey made = secret_key_of(seed);
    if (sodium_memcmp(made.data(), key.data(), key.size()) != 0) return false;
    if (whole != nullptr) whole->note(bytes);
  }
  *ret_key = std::move(key);
  return true;
}

}  // namespace sessreg
