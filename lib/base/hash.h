// Keyed hashes: SipHash-2-4 with 64 and 128 bits (libsodium; Aumasson and Bernstein, 2012).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace sessreg {

using HashKey = std::array<std::uint8_t, 16>;

std::uint64_t hash64(const HashKey& key, std::string_view data);
std::array<std::uint8_t, 16> hash128(const HashKey& key, std::string_view data);

// getrandom(2); false: the kernel gave none.
bool random_bytes(std::span<std::uint8_t> ret);

}  // namespace sessreg
