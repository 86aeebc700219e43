// Memory for lists of a million: in huge pages where the kernel gives any, as reading rows in
// another order than they lie in would miss the translations of small ones each time.
#pragma once

#include <memory_resource>

namespace sessreg {

// Small pieces come from the heap. Thread safety: any.
std::pmr::memory_resource& huge_pages();

}  // namespace sessreg
