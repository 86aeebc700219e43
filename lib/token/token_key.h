// A site's signing key on the disk, and the public keys beside it.
//
//   SITE.key   0600   k4.secret.…                            one line (PASERK)
//   SITE.pub   0644   k4.public.…                            the current key, then
//                     # retired 2026-01-31T12:00:00Z         for each key that still has tokens
//                     k4.public.…                            in use: when, and the key
//
// Rules this file keeps, besides those of key_files.h:
//   1. A secret key MUST NOT be overwritten: it is made only where there is none, and
//      replaced only by rotation.
//   2. A public key MUST stay in SITE.pub as long as a token signed with it may be valid. SITE.pub
//      names a new key before SITE.key does, so that there is never a token whose key nobody knows.
//   3. The file of a secret key MUST be its owner's alone: whoever can read it can sign.
//   4. Secret bytes MUST be wiped from every buffer, even when an error occurs.
//
// Thread safety: functions keep no state; any number of processes may call them at once. No
// function leaves a descriptor open. Paths in errors are escaped for the terminal. Errors of all:
// bad_key, insecure_file, not_found, permission_denied, system; of those that make files also
// already_exists, no_space, unsupported_fs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "token/key_files.h"
#include "token/token.h"

namespace sessreg {

// The longest life of a token of a site without `session_lifetime`.
inline constexpr std::int64_t kUsualTokenLife_s = 366 * 86400;

// SITE.pub for SITE.key; for another name, ".pub" after it.
std::string public_key_path(const std::string& key_path);

// A key that is missing is made, with its directory (0755) if only that is missing; so is a missing
// file of the public key. An existing one is left as it is. The module's way.
Result<SigningKey> load_or_make_key(const std::string& key_path, WholeKeys* whole = nullptr);
// An existing key; nothing is made.
Result<SigningKey> load_key(const std::string& key_path);
// A key where there is none: already_exists.
Result<SigningKey> make_key(const std::string& key_path);
// Replaces the existing key, which is retired, by a new one. Retired keys are removed once no token
// of theirs can be valid: `longest_life_s` after they were retired. Of several rotations at once,
// each waits for the one before.
Result<SigningKey> rotate_key(const std::string& key_path, std::int64_t now_s,
                              std::int64_t longest_life_s = kUsualTokenLife_s);

struct SitePublicKey {
  PublicKey key;
  std::optional<std::int64_t> retired_s;
};

// Strict: lines of "k4.public.…", empty ones and comments, nothing else; no key twice, at least
// one. `shown` names the text in errors.
Result<std::vector<SitePublicKey>> parse_public_keys(std::string_view text,
                                                     const std::string& shown);
// A file that root or the caller owns and nobody else can write. Needs only the right to read it.
Result<std::vector<SitePublicKey>> read_public_keys(const std::string& path);
// The two halves of that.
Result<OpenedFile> open_public_keys(const KeyPlace& at);
Result<std::vector<SitePublicKey>> read_public_keys(const OpenedFile& file,
                                                    const std::string& shown);

}  // namespace sessreg
