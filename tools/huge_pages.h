// Memory for lists of a million: in huge pages where the kernel gives any, as reading rows in
// another order than they lie in would miss the translations of small ones each time.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace sessreg {

template <class T>
struct HugePages {
  using value_type = T;

  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}

  T* allocate(std::size_t count) {
    constexpr std::size_t kPage_bytes = std::size_t{2} << 20;
    const bool is_large = count > kPage_bytes / sizeof(T);
    const std::size_t align = is_large ? kPage_bytes : alignof(T);
    void* memory = nullptr;
    if (count > PTRDIFF_MAX / sizeof(T) ||
        posix_memalign(&memory, std::max(align, sizeof(void*)), count * sizeof(T)) != 0)
      throw std::bad_alloc();
    if (is_large) madvise(memory, count * sizeof(T), MADV_HUGEPAGE);  // only a wish
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t) { free(memory); }

  bool operator==(const HugePages&) const { return true; }
};

}  // namespace sessreg
