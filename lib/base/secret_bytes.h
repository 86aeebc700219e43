// Bytes of a secret key: they move but are never copied, and no object leaves them behind.
//
// Thread safety: as an array.
#pragma once

#include <sodium/utils.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace sessreg {

// Byte by byte, not through vector registers: nobody clears those, and signal frames and the lazy
// binder of the next library call save them on the stack.
inline void copy_secret(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    *const_cast<volatile std::uint8_t*>(to + i) =
        *const_cast<const volatile std::uint8_t*>(from + i);
}

template <std::size_t kBytes>
class SecretBytes {
 public:
  SecretBytes() = default;
  SecretBytes(SecretBytes&& other) noexcept { take(other); }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  ~SecretBytes() { wipe(); }

  std::uint8_t* data() { return bytes_.data(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  char* chars() { return reinterpret_cast<char*>(bytes_.data()); }
  const char* chars() const { return reinterpret_cast<const char*>(bytes_.data()); }
  static constexpr std::size_t size() { return kBytes; }

  // sodium_memzero is not optimized away.
  void wipe() { sodium_memzero(bytes_.data(), bytes_.size()); }

 private:
  void take(SecretBytes& other) {
    copy_secret(data(), other.data(), kBytes);
    other.wipe();
  }

  std::array<std::uint8_t, kBytes> bytes_{};
};

}  // namespace sessreg
