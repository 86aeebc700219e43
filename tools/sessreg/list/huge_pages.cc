#include "sessreg/list/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sessreg {
namespace {

class HugePages final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    constexpr std::size_t kPage_bytes = std::size_t{2} << 20;
    const bool is_large = bytes > kPage_bytes;
    const std::size_t align = std::max(is_large ? kPage_bytes : alignment, sizeof(void*));
    void* memory = nullptr;
    if (posix_memalign(&memory, align, bytes) != 0) throw std::bad_alloc();
    if (is_large) madvise(memory, bytes, MADV_HUGEPAGE);  // only a hint
    return memory;
  }
  void do_deallocate(void* memory, std::size_t, std::size_t) override { free(memory); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

std::pmr::memory_resource& huge_pages() {
  static HugePages pages;
  return pages;
}

}  // namespace sessreg
