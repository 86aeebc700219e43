// Counts what the registry allocates: this program's malloc counts its calls.
#include <stdio.h>
#include <stdlib.h>

#include <cstddef>
#include <exception>
#include <stdexcept>

#include "ours.h"
#include "report.h"
#include "tmpfs_dir.h"

namespace {
unsigned long allocations = 0;
}

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
}

namespace bench {
namespace {

constexpr unsigned kTimes = 1000;

template <class Work>
unsigned long count(const char* what, Work work) {
  const unsigned long before = allocations;
  bool worked = true;
  for (unsigned i = 0; i < kTimes; ++i)
    worked &= work();
  const unsigned long made = allocations - before;
  if (!worked) throw std::runtime_error(what);
  print_row({what, number_text(static_cast<double>(made) / kTimes)});
  return made;
}

int measure() {
  const TmpfsDir directory;
  Goals goals;
  const unsigned long before = allocations;
  const std::string counted(1000, ' ');
  if (allocations == before) throw std::runtime_error("malloc is not counted");
  goals.at_most("bytes a slot / 384", {Site::kSlotBytes / 384.0, 1, 1}, 1);

  Site site(directory / "site", 100, 50), full(directory / "full", 100, 100);
  Random random(1);
  Site::Seat seat{};
  std::uint64_t at_ms = 1'000'000;
  unsigned long made = 0;
  printf("Memory: %zu bytes a slot. Allocations (malloc, new) a call, mean of %u:\n\n",
         Site::kSlotBytes, kTimes);
  print_head({"call", "allocations"});
  made += count("gate: admit, bind, release", [&] {
    return site.take(random.key(), random.key(), seat) && site.bind(random.key(), seat) &&
           site.give_up(seat);
  });
  made += count("gate: touch", [&] { return site.touch(7, at_ms += 100); });
  made += count("gate: refusal", [&] { return full.is_full(); });
  goals.none("allocations, gate level", made);
  made = count("Registry: admit, release", [&] { return site.admit() && site.release(); });
  made += count("Registry: reserve, bind, touch, release", [&] {
    return site.reserve() && site.bind_reserved() && site.touch_held(at_ms += 100) &&
           site.release();
  });
  made += count("Registry: refusal", [&] { return !full.reserve(); });
  goals.none("allocations, whole library calls", made);
  printf("\n");
  goals.print();
  return 0;
}

}  // namespace
}  // namespace bench

int main() {
  try {
    return bench::measure();
  } catch (const std::exception& e) {
    fprintf(stderr, "bench_memory: %s\n", e.what());
    return 1;
  }
}
