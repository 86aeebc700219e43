// The kinds of 64-bit words that the algorithm turns on, and how their bits are shared out.
//
//   gate   | count        | slot         | generation    | op  |   one per registry
//   group  | count        | slot         | generation    | op  |   one per limited group
//   state  | claimer hash | claimer pid  | generation    |stage|   one per slot
//   stray  | version                     | distance            |   one per slot, as a bucket
//   search | configuration identity      | until               |   one per registry
//            high bits                                 low bits
//
// Field widths follow from the number of slots: a count and a slot index take what they need, the
// generation takes the rest, up to 32 bits (so that "epoch" words can hold one in half a word).
// A state word's generation is as wide as the gate's, so the two compare directly.
//
// ABA bound: a CAS can be fooled only if, while its process stands still between load and CAS, one
// slot's generation comes round to the same value with everything else in the word equal. A session
// that is reserved, bound and released moves two slots by three generations each, so a slot would
// have to be used 2^G / 3 times within that one stall: 1.4e9 times for up to 8192 slots (G = 32),
// 170,000 times for a million (G = 19).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "registry/record.h"

namespace sessreg {

// The operation that made the gate what it is; see gate.h. return_ has an underscore as
// `return` is a keyword.
enum class GateOp : std::uint8_t {
  none = 0,
  add = 1,
  remove = 2,
  move = 3,
  return_ = 4,
  drop = 5,
  park = 6,
  nop = 7,
};

// Pids take 22 bits: the kernel's own limit (PID_MAX_LIMIT) is 2^22.
inline constexpr unsigned kPidBits = 22;
inline constexpr unsigned kOpBits = 3;
inline constexpr unsigned kStageBits = 3;

struct GateWord {
  std::uint32_t count = 0;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  GateOp op = GateOp::none;
};

// How far the sessions whose home is this bucket may stand from it; see slots.h.
struct StrayWord {
  std::uint64_t version = 0;
  std::uint32_t distance = 0;
};

// What the last search of the table found: until then nobody dies, expires or goes idle unseen for
// longer than a search may be old.
struct SearchWord {
  std::uint32_t identity = 0;  // 24 bits of the configuration's that the search knew
  std::uint64_t until_ms = 0;  // CLOCK_MONOTONIC; 40 bits are 34 years
};

class Widths {
 public:
  // slots: 1 … 2^21. The slot field also holds the value `slots`, the pseudo-slot of NOP.
  explicit constexpr Widths(std::uint32_t slots)
      : slot_bits_(static_cast<unsigned>(std::bit_width(slots))),
        generation_bits_(std::min(32u, 64u - kOpBits - 2 * slot_bits_)),
        hash_bits_(64 - kStageBits - kPidBits - generation_bits_) {}

  constexpr unsigned generation_bits() const { return generation_bits_; }
  constexpr unsigned hash_bits() const { return hash_bits_; }

  constexpr std::uint32_t next_generation(std::uint32_t generation) const {
    return static_cast<std::uint32_t>((std::uint64_t{generation} + 1) & mask(generation_bits_));
  }

  constexpr std::uint64_t pack(const GateWord& w) const {
    return std::uint64_t{w.count} << (slot_bits_ + generation_bits_ + kOpBits) |
           std::uint64_t{w.slot} << (generation_bits_ + kOpBits) |
           std::uint64_t{w.generation} << kOpBits | static_cast<std::uint64_t>(w.op);
  }
  constexpr GateWord gate(std::uint64_t word) const {
    GateWord w;
    w.op = static_cast<GateOp>(take(word, kOpBits));
    w.generation = take(word, generation_bits_);
    w.slot = take(word, slot_bits_);
    w.count = take(word, slot_bits_);
    return w;
  }

  constexpr std::uint64_t pack(const StateWord& w) const {
    return std::uint64_t{w.claimer_hash} << (kPidBits + generation_bits_ + kStageBits) |
           std::uint64_t{w.claimer_pid} << (generation_bits_ + kStageBits) |
           std::uint64_t{w.generation} << kStageBits | static_cast<std::uint64_t>(w.stage);
  }
  constexpr StateWord state(std::uint64_t word) const {
    StateWord w;
    w.stage = static_cast<Stage>(take(word, kStageBits));
    w.generation = take(word, generation_bits_);
    w.claimer_pid = take(word, kPidBits);
    w.claimer_hash = take(word, hash_bits_);
    return w;
  }

  // 2^21 distances are wide enough for capacity - 1; the version has the other 43 bits.
  static constexpr std::uint64_t pack(const StrayWord& w) { return w.version << 21 | w.distance; }
  static constexpr StrayWord stray(std::uint64_t word) {
    return {word >> 21, static_cast<std::uint32_t>(word & mask(21))};
  }

  static constexpr std::uint64_t pack(const SearchWord& w) {
    return std::uint64_t{w.identity} << 40 | (w.until_ms & mask(40));
  }
  static constexpr SearchWord search(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 40), word & mask(40)};
  }

 private:
  static constexpr std::uint64_t mask(unsigned bits) {
    return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  }
  static constexpr std::uint32_t take(std::uint64_t& word, unsigned bits) {
    const auto value = static_cast<std::uint32_t>(word & mask(bits));
    word >>= bits;
    return value;
  }

  unsigned slot_bits_;
  unsigned generation_bits_;
  unsigned hash_bits_;
};

}  // namespace sessreg
