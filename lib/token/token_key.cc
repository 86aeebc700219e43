#include "token/token_key.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/text.h"
#include "token/key_files.h"

namespace sessreg {
namespace {

constexpr mode_t kSecretForbids = 077;
constexpr mode_t kPublicForbids = S_IWGRP | S_IWOTH;
// A thousand keys, and as much again for comments.
constexpr std::size_t kMaxPublicFileBytes = 1 << 17;
// How far the clock may have been set between two looks at it.
constexpr std::int64_t kClockSlack_s = 86400;
constexpr std::string_view kRetired = "# retired ";

using SecretLine = SecretBytes<kSecretPaserkChars + 1>;

SecretLine line_of(const SecretKey& key) {
  const SecretPaserk text = to_paserk(key);
  SecretLine line;
  copy_secret(line.data(), text.data(), text.size());
  line.data()[text.size()] = '\n';
  return line;
}

std::string_view text_of(const SecretLine& line) {
  return {line.chars(), line.size()};
}

Result<SigningKey> new_key() {
  Seed seed;
  if (!random_bytes({seed.data(), seed.size()}))
    return system_error(errno, "cannot make a key: the kernel gave no random bytes");
  return SigningKey(secret_key_of(seed));
}

Result<SigningKey> read_key(const OpenedFile& file, const KeyPlace& at,
                            WholeKeys* whole = nullptr) {
  SecretLine line;
  const auto size = read_key_file(file, at.shown, {line.chars(), line.size()});
  if (!size) return size.error();
  std::string_view text(line.chars(), *size);
  if (text.ends_with('\n')) text.remove_suffix(1);
  SecretKey key;
  if (!secret_key_from_paserk(text, &key, whole))
    return Error{Errc::bad_key,
                 at.shown +
                     " does not hold one whole key (one line, k4.secret.…); restore it, or move it "
                     "away and a new one is made"};
  return SigningKey(std::move(key));
}

Result<SigningKey> load_in(const KeyPlace& at, WholeKeys* whole = nullptr) {
  const auto file = open_key_file(at, kSecretForbids);
  if (!file) return file.error();
  return read_key(*file, at, whole);
}

Result<bool> make_public_file_if_missing(const KeyPlace& at, const SigningKey& key) {
  struct stat ignored {};
  if (fstatat(at.directory.get(), at.name.c_str(), &ignored, AT_SYMLINK_NOFOLLOW) == 0) return true;
  auto made = make_key_file(at, to_paserk(key.public_key()) + "\n", 0644);
  // Somebody else was faster.
  if (!made && made.error().code == Errc::already_exists) return true;
  return made;
}

// The place of the public keys, in the same directory.
Result<KeyPlace> public_place(const std::string& key_path) {
  return open_key_place(public_key_path(key_path), false);
}

Result<SigningKey> with_public_file(const std::string& key_path, Result<SigningKey> key) {
  if (!key) return key;
  const auto at = public_place(key_path);
  if (!at) return at.error();
  if (const auto made = make_public_file_if_missing(*at, *key); !made) return made.error();
  return key;
}

Result<std::vector<SitePublicKey>> read_public_in(const KeyPlace& at) {
  const auto file = open_public_keys(at);
  if (!file) return file.error();
  return read_public_keys(*file, at.shown);
}

std::string public_file_text(const std::vector<SitePublicKey>& keys) {
  std::string text;
  for (const SitePublicKey& each : keys) {
    // A time that cannot be written was never read.
    if (each.retired_s) text += std::string(kRetired) + to_rfc3339(*each.retired_s).value() + "\n";
    text += to_paserk(each.key) + "\n";
  }
  return text;
}

// The key file, held so that no other rotation goes on. Only those who may read the secret key can
// hold it, so nobody else can keep a rotation waiting.
Result<OpenedFile> open_and_hold(const KeyPlace& at) {
  constexpr timespec kPause{0, 20'000'000};
  for (int attempt = 0; attempt < 500; ++attempt) {
    auto file = open_key_file(at, kSecretForbids);
    if (!file) return file;
    if (flock(file->fd.get(), LOCK_EX | LOCK_NB) == 0) {
      // Still the one with the name?
      struct stat now {};
      if (fstatat(at.directory.get(), at.name.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
          now.st_ino == file->status.st_ino && now.st_dev == file->status.st_dev)
        return file;
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      return system_error(errno, "cannot lock " + at.shown);
    } else {
      nanosleep(&kPause, nullptr);
    }
  }
  return Error{Errc::system, "another rotation of " + at.shown + " is under way; try again later"};
}

// What SITE.pub says after the rotation from `old` to `current`.
std::vector<SitePublicKey> rotated(const std::vector<SitePublicKey>& before, const PublicKey& old,
                                   const PublicKey& current, std::int64_t now_s,
                                   std::int64_t longest_life_s) {
  std::vector<SitePublicKey> keys{{current, std::nullopt}, {old, now_s}};
  for (const SitePublicKey& each : before) {
    if (each.key == old) continue;
    // Not marked as retired: left by a rotation that got no further, or written there by hand.
    const std::int64_t retired_s = each.retired_s.value_or(now_s);
    if (retired_s + longest_life_s + kClockSlack_s >= now_s) keys.push_back({each.key, retired_s});
  }
  return keys;
}

}  // namespace

std::string public_key_path(const std::string& key_path) {
  constexpr std::string_view kSuffix = ".key";
  std::string path = key_path;
  if (path.ends_with(kSuffix)) path.resize(path.size() - kSuffix.size());
  return path + ".pub";
}

Result<SigningKey> load_key(const std::string& key_path) {
  const auto at = open_key_place(key_path, false);
  if (!at) return at.error();
  return load_in(*at);
}

Result<SigningKey> make_key(const std::string& key_path) {
  const auto at = open_key_place(key_path, true);
  if (!at) return at.error();
  auto key = new_key();
  if (!key) return key;
  const SecretLine line = line_of(key->secret());
  if (const auto made = make_key_file(*at, text_of(line), 0600); !made) return made.error();
  return with_public_file(key_path, std::move(key));
}

Result<SigningKey> load_or_make_key(const std::string& key_path, WholeKeys* whole) {
  const auto at = open_key_place(key_path, false);
  auto key = at ? load_in(*at, whole) : Result<SigningKey>(at.error());
  if (key || key.error().code != Errc::not_found) return with_public_file(key_path, std::move(key));
  auto made = make_key(key_path);
  // Somebody else was faster: theirs is the site's.
  if (!made && made.error().code == Errc::already_exists)
    return with_public_file(key_path, load_key(key_path));
  return made;
}

Result<SigningKey> rotate_key(const std::string& key_path, std::int64_t now_s,
                              std::int64_t longest_life_s) {
  if (!to_rfc3339(now_s))
    return Error{Errc::bad_claims, "the clock says a year that cannot be; set it"};
  const auto secret_at = open_key_place(key_path, false);
  if (!secret_at) return secret_at.error();
  const auto public_at = public_place(key_path);
  if (!public_at) return public_at.error();
  const auto held = open_and_hold(*secret_at);
  if (!held) return held.error();
  const auto old = read_key(*held, *secret_at);
  if (!old) return old.error();
  auto before = read_public_in(*public_at);
  if (!before && before.error().code != Errc::not_found) return before.error();
  auto current = new_key();
  if (!current) return current;

  const std::string public_text =
      public_file_text(rotated(before ? *before : std::vector<SitePublicKey>(), old->public_key(),
                               current->public_key(), now_s, longest_life_s));
  if (public_text.size() > kMaxPublicFileBytes)
    return Error{Errc::bad_key, public_at->shown +
                                    " would hold too many keys; remove retired ones whose tokens "
                                    "nobody needs"};
  const SecretLine line = line_of(current->secret());
  const auto next_secret = write_successor(*secret_at, text_of(line), 0600);
  if (!next_secret) return next_secret.error();
  const auto next_public = write_successor(*public_at, public_text, 0644);
  if (!next_public) {
    remove_successor(*secret_at, *next_secret);
    return next_public.error();
  }
  if (const auto put = put_in_place(*public_at, *next_public); !put) {
    remove_successor(*secret_at, *next_secret);
    return put.error();
  }
  // If this fails, SITE.pub calls the old key retired although it stays in use: the next
  // rotation retires it anew.
  if (const auto put = put_in_place(*secret_at, *next_secret); !put) return put.error();
  return current;
}

Result<std::vector<SitePublicKey>> parse_public_keys(std::string_view text,
                                                     const std::string& shown) {
  std::vector<SitePublicKey> keys;
  std::optional<std::int64_t> retired_s;
  std::size_t number = 0;
  const auto fault = [&](const char* what) {
    return Error{Errc::bad_key, shown + ":" + std::to_string(number) + ": " + what};
  };
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    if (line.starts_with(kRetired)) {
      retired_s = from_rfc3339(line.substr(kRetired.size()));
      if (!retired_s) return fault("not a time; write it as '# retired 2026-01-31T12:00:00Z'");
    } else if (line[0] != '#') {
      const auto key = public_key_from_paserk(line);
      if (!key) return fault("not a public key (k4.public.…), nor a comment; remove the line");
      for (const SitePublicKey& each : keys)
        if (each.key == *key) return fault("this key stands there already; remove one of the two");
      keys.push_back({*key, std::exchange(retired_s, std::nullopt)});
    }
  }
  if (keys.empty())
    return Error{Errc::bad_key, shown +
                                    " holds no public key (k4.public.…); remove it and it is "
                                    "made anew from the secret one"};
  return keys;
}

Result<OpenedFile> open_public_keys(const KeyPlace& at) {
  return open_key_file(at, kPublicForbids);
}

Result<std::vector<SitePublicKey>> read_public_keys(const OpenedFile& file,
                                                    const std::string& shown) {
  std::string text(kMaxPublicFileBytes, '\0');
  const auto size = read_key_file(file, shown, text);
  if (!size) return size.error();
  return parse_public_keys(std::string_view(text).substr(0, *size), shown);
}

Result<std::vector<SitePublicKey>> read_public_keys(const std::string& path) {
  const auto at = open_key_place(path, false);
  if (!at) return at.error();
  return read_public_in(*at);
}

}  // namespace sessreg
