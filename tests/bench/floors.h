// Floors: the least that any implementation over shared memory must do.
#pragma once

#include <time.h>

#include <functional>
#include <span>

#include "task.h"

namespace bench {

// CLOCK_MONOTONIC_COARSE read and stored in the slot of a random session. Its slot is looked up in
// an array as in what it is compared with.
std::unique_ptr<Task> touch_floor(const std::string& directory, std::uint32_t sessions,
                                  std::uint32_t slots, std::size_t slot_bytes,
                                  const std::function<std::uint32_t(std::uint32_t)>& slot_of);

// All those bytes read once, by AVX2 where the processor has it.
std::unique_ptr<Task> read_floor(std::span<const std::byte> bytes);

}  // namespace bench
