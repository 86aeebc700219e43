// Bytes of a secret key: they move but are never copied, and no object leaves them behind.
//
// Thread safety: as an array.
#pragma once

#include <sodium/utils.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace sessreg {

template <std::size_t kBytes>
class SecretBytes {
 public:
  SecretBytes() = default;
  SecretBytes(SecretBytes&& other) noexcept : bytes_(other.bytes_) { other.wipe(); }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) bytes_ = other.bytes_, other.wipe();
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
  std::array<std::uint8_t, kBytes> bytes_{};
};

}  // namespace sessreg
