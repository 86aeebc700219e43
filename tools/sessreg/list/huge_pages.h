// Memory for lists of a million sessions, in huge pages if the kernel has any: rows are read in
// another order than they lie in memory, and with small pages each one would be a TLB miss.
#pragma once

#include <memory_resource>

namespace sessreg {

// Small pieces come from the heap. Thread safety: any thread may use it.
std::pmr::memory_resource& huge_pages();

}  // namespace sessreg
