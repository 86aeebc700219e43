// Work shared by the processors of the host. A short list is left to one thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "common/output.h"

namespace sessreg {

inline constexpr std::size_t kMostThreads = 8;  // beyond that, memory is the bottleneck

// How many threads are worth starting for that many sessions; at least 1.
std::size_t threads_for(std::size_t sessions);

// Calls work(0) to work(parts - 1), in parallel if the system has the threads. When all have ended,
// rethrows what one of them threw.
void share_work(std::size_t parts, const std::function<void(std::size_t)>& work);

// Divides `total` things into parts: one part is [part_begin(part), part_begin(part + 1)).
constexpr std::size_t part_begin(std::size_t total, std::size_t part, std::size_t parts) {
  return total / parts * part + total % parts * part / parts;
}

// Writes `count` items in their order: append(text, i) appends item `i`. If there are many, it is
// called in several threads.
void write_items(Output& output, std::size_t count,
                 const std::function<void(std::string&, std::size_t)>& append);

}  // namespace sessreg
