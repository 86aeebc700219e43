#include "token/known_keys.h"

#include <utility>

#include "token/key_files.h"
#include "token/token_key.h"

namespace sessreg {
namespace {

// A file's times are as coarse as the kernel's tick, on some file systems as two seconds: what was
// changed just now may be changed once more without another time.
constexpr std::int64_t kSettled_s = 3;

}  // namespace

bool KnownKeys::is_same(const Identity& one, const Identity& other) {
  const auto is_equal = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  return one.device == other.device && one.inode == other.inode && one.bytes == other.bytes &&
         is_equal(one.modified, other.modified) && is_equal(one.changed, other.changed);
}

Result<std::span<const PublicKey>> KnownKeys::of(const std::string& path, std::int64_t now_s) {
  const auto at = open_key_place(path, false);
  if (!at) return at.error();
  const auto file = open_public_keys(*at);
  if (!file) return file.error();
  const struct stat& status = file->status;
  const Identity identity{status.st_dev, status.st_ino, status.st_size, status.st_mtim,
                          status.st_ctim};
  if (!keys_.empty() && is_same(identity, file_)) return std::span<const PublicKey>(keys_);
  const auto read = read_public_keys(*file, at->shown);
  std::vector<PublicKey> keys;
  if (read)
    for (const SitePublicKey& each : *read)
      keys.push_back(each.key);
  keys_ = std::move(keys);
  if (!read) return read.error();
  // Also where the clock was set back.
  const bool has_settled = now_s - status.st_ctim.tv_sec >= kSettled_s;
  file_ = has_settled ? identity : Identity{};
  return std::span<const PublicKey>(keys_);
}

}  // namespace sessreg
