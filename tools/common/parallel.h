// Work that the processors of the host share. A short list is one thread's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "common/output.h"

namespace sessreg {

inline constexpr std::size_t kMostThreads = 8;  // reading a registry is bound by memory soon

// How many threads are worth their start for that many sessions; at least 1.
std::size_t threads_for(std::size_t sessions);

// Calls work(0) to work(parts - 1), at the same time if the system has the threads. Throws what one
// of them throws, when all have ended.
void share_work(std::size_t parts, const std::function<void(std::size_t)>& work);

// Of `total` things those of one part: [begin(part), begin(part + 1)).
constexpr std::size_t part_begin(std::size_t total, std::size_t part, std::size_t parts) {
  return total / parts * part + total % parts * part / parts;
}

// Writes `count` items in their order: append(text, i) appends the item `i`; of many, in any
// thread.
void write_items(Output& output, std::size_t count,
                 const std::function<void(std::string&, std::size_t)>& append);

}  // namespace sessreg
