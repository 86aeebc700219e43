#include "base/hash.h"

#include <errno.h>
#include <sodium/crypto_shorthash_siphash24.h>
#include <string.h>
#include <sys/random.h>

namespace sessreg {

// These two need no sodium_init(): they keep no state and use no randomness.
std::uint64_t hash64(const HashKey& key, std::string_view data) {
  std::array<std::uint8_t, crypto_shorthash_siphash24_BYTES> out;
  crypto_shorthash_siphash24(out.data(), reinterpret_cast<const unsigned char*>(data.data()),
                             data.size(), key.data());
  std::uint64_t value = 0;
  memcpy(&value, out.data(), sizeof value);
  return value;
}

std::array<std::uint8_t, 16> hash128(const HashKey& key, std::string_view data) {
  std::array<std::uint8_t, crypto_shorthash_siphashx24_BYTES> out;
  crypto_shorthash_siphashx24(out.data(), reinterpret_cast<const unsigned char*>(data.data()),
                              data.size(), key.data());
  return out;
}

bool random_bytes(std::span<std::uint8_t> ret) {
  while (!ret.empty()) {
    const ssize_t n = getrandom(ret.data(), ret.size(), 0);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) ret = ret.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace sessreg
