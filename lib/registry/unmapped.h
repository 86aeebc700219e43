// The records of a registry's file that cannot be mapped, or is not to be yet: as its bytes are,
// with no regard to who changes them meanwhile. Nothing that counts is decided by them.
#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

#include "registry/layout.h"
#include "registry/words.h"

namespace sessreg {

// Calls visit(stage, record) with each slot that is neither free nor claimed, until it says false;
// false: it did. Stops where the file ends.
template <class Visit>
bool for_each_unmapped(int fd, std::uint32_t slots, Visit visit) {
  // After state, stray, activity and mark.
  constexpr std::size_t kRecordOffset = 4 * sizeof(std::uint64_t);
  static_assert(offsetof(Slot<std::atomic<std::uint64_t>>, record) == kRecordOffset);

  std::array<char, kSlotBytes> slot;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const auto offset = static_cast<off_t>(kSlotsOffset + std::uint64_t{i} * kSlotBytes);
    if (pread(fd, slot.data(), slot.size(), offset) != static_cast<ssize_t>(slot.size())) break;
    std::uint64_t state = 0;
    std::memcpy(&state, slot.data(), sizeof state);
    // The stage lies in the lowest bits whatever the number of slots; see words.h.
    const auto stage = static_cast<Stage>(state & ((1u << kStageBits) - 1));
    if (stage == Stage::free || stage == Stage::claimed) continue;
    RecordImage record{};
    std::memcpy(&record, slot.data() + kRecordOffset, sizeof record);
    if (!visit(stage, record)) return false;
  }
  return true;
}

}  // namespace sessreg
