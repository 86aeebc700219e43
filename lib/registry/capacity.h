// How many sessions a registry can hold, and how many slots that takes.
#pragma once

#include <cstdint>

namespace sessreg {

// 2^20 keeps a generation at 19 bits or more; see words.h.
inline constexpr std::uint32_t kMaxRegistryCapacity = 1u << 20;

// More processes than any host has at once in the microseconds between claim and gate.
inline constexpr std::uint32_t kHandoverSlots = 1024;

constexpr std::uint32_t slots_for(std::uint32_t capacity) {
  return capacity + capacity / 4 + kHandoverSlots;
}

}  // namespace sessreg
