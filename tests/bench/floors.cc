#include "floors.h"

#include <atomic>
#include <vector>

#include "peers.h"
#include "shared_file.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {
namespace {

using Word = std::atomic<std::uint64_t>;
constexpr std::size_t kLine = 64;

class PairFloor final : public Task {
 public:
  PairFloor(const Scale& scale, std::uint32_t slots, std::size_t slot_bytes, std::size_t written)
      : file_(scale.directory + "/floor", 2 * kLine + slots * slot_bytes),
        slots_(slots),
        slot_bytes_(slot_bytes),
        words_(written / sizeof(Word)) {}
  std::string name() const override {
    return "floor: 4 CAS on 2 shared lines, " + std::to_string(words_ * sizeof(Word)) +
           " bytes to a random slot";
  }
  void run(std::uint64_t iterations, Random& random) override {
    Word& one = *reinterpret_cast<Word*>(file_.data());
    Word& other = *reinterpret_cast<Word*>(file_.data() + kLine);
    for (; iterations > 0; --iterations) {
      const Key id = random.key(), user = random.key();
      change(one, +1);
      auto* slot =
          reinterpret_cast<Word*>(file_.data() + 2 * kLine + slot_bytes_ * (id[0] % slots_));
      for (std::size_t i = 0; i < words_; ++i)
        slot[i].store(user[i & 1], std::memory_order_relaxed);
      change(other, +1);
      change(one, -1);
      change(other, -1);
    }
  }

 private:
  static void change(Word& word, std::int64_t by) {
    std::uint64_t seen = word.load(std::memory_order_acquire);
    while (!word.compare_exchange_strong(seen, seen + static_cast<std::uint64_t>(by),
                                         std::memory_order_acq_rel, std::memory_order_acquire)) {
    }
  }

  SharedFile file_;
  const std::uint32_t slots_;
  const std::size_t slot_bytes_, words_;
};

class TouchFloor final : public Task {
 public:
  TouchFloor(const std::string& directory, std::uint32_t sessions, std::uint32_t slots,
             std::size_t slot_bytes, const std::function<std::uint32_t(std::uint32_t)>& slot_of)
      : file_(directory + "/touch-floor", slots * slot_bytes), slot_bytes_(slot_bytes) {
    for (std::uint32_t i = 0; i < sessions; ++i)
      slot_of_.push_back({slot_of(i), 0});
  }
  std::string name() const override { return "touch floor"; }
  void run(std::uint64_t iterations, Random& random) override {
    const auto sessions = static_cast<std::uint32_t>(slot_of_.size());
    for (; iterations > 0; --iterations) {
      timespec t{};
      clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
      const std::uint32_t slot = slot_of_[random.below(sessions)].slot;
      reinterpret_cast<Word*>(file_.data() + slot_bytes_ * slot)
          ->store(static_cast<std::uint64_t>(t.tv_nsec), std::memory_order_relaxed);
    }
  }

 private:
  struct Ref {
    std::uint32_t slot, unused;
  };
  SharedFile file_;
  const std::size_t slot_bytes_;
  std::vector<Ref> slot_of_;
};

std::uint64_t read_plain(std::span<const std::byte> bytes) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes.data());
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size() / sizeof *words; ++i)
    sum += words[i];
  return sum;
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] std::uint64_t read_avx2(std::span<const std::byte> bytes) {
  const auto* blocks = reinterpret_cast<const __m256i*>(bytes.data());
  __m256i sum[4] = {};
  for (std::size_t i = 0; i + 4 <= bytes.size() / sizeof *blocks; i += 4)
    for (std::size_t k = 0; k < 4; ++k)
      sum[k] = _mm256_add_epi64(sum[k], _mm256_loadu_si256(blocks + i + k));
  const __m256i all =
      _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0) + _mm256_extract_epi64(all, 1) +
                                    _mm256_extract_epi64(all, 2) + _mm256_extract_epi64(all, 3));
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2");
}
#else
std::uint64_t read_avx2(std::span<const std::byte> bytes) {
  return read_plain(bytes);
}
bool has_avx2() {
  return false;
}
#endif

class ReadFloor final : public Task {
 public:
  explicit ReadFloor(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::string name() const override { return has_avx2() ? "AVX2 read" : "plain read"; }
  void run(std::uint64_t iterations, Random&) override {
    for (; iterations > 0; --iterations) {
      const std::uint64_t sum = has_avx2() ? read_avx2(bytes_) : read_plain(bytes_);
      asm volatile("" : : "r"(sum));
    }
  }

 private:
  const std::span<const std::byte> bytes_;
};

}  // namespace

std::unique_ptr<Task> pair_floor(const Scale& scale, std::uint32_t slots, std::size_t slot_bytes,
                                 std::size_t written) {
  return std::make_unique<PairFloor>(scale, slots, slot_bytes, written);
}
std::unique_ptr<Task> touch_floor(const std::string& directory, std::uint32_t sessions,
                                  std::uint32_t slots, std::size_t slot_bytes,
                                  const std::function<std::uint32_t(std::uint32_t)>& slot_of) {
  return std::make_unique<TouchFloor>(directory, sessions, slots, slot_bytes, slot_of);
}
std::unique_ptr<Task> read_floor(std::span<const std::byte> bytes) {
  return std::make_unique<ReadFloor>(bytes);
}

}  // namespace bench
