// Random keys, drawn alike by every contestant inside its measured loop (about 2 ns).
#pragma once

#include <array>
#include <cstdint>

namespace bench {

using Key = std::array<std::uint64_t, 2>;

// SplitMix64 (Steele, Lea and Flood, 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  Key key() { return {next(), next()}; }
  // Below `bound`, without a division.
  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

// Sixteen digits, to be put into a name.
inline void put_hex(std::uint64_t value, char* to) {
  for (int shift = 60; shift >= 0; shift -= 4)
    *to++ = "0123456789abcdef"[value >> shift & 15];
}

// What a contestant keeps of a session: as many bytes as the registry's record.
struct Record {
  Key id{};
  Key user{};
  std::array<std::uint64_t, 32> rest{};
};
static_assert(sizeof(Record) == 288);

}  // namespace bench
