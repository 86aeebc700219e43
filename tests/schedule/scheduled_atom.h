// The Atom of the schedule tests: as std::atomic<std::uint64_t>, but each access lets the scheduler
// choose first who makes the next one. What is tried is sequentially consistent: the weaker orders
// that gate.h names are argued in lib/registry/README.md, not here.
#pragma once

#include <atomic>
#include <cstdint>

// Called before each access of an actor; nullptr: outside of a schedule.
inline void (*before_access)() = nullptr;
// Set by every access that wrote.
inline bool memory_changed = false;

class ScheduledAtom {
 public:
  std::uint64_t load(std::memory_order) const {
    pause();
    return value_;
  }
  void store(std::uint64_t value, std::memory_order) {
    pause();
    value_ = value;
    memory_changed = true;
  }
  bool compare_exchange_strong(std::uint64_t& seen, std::uint64_t next, std::memory_order,
                               std::memory_order) {
    pause();
    if (value_ != seen) {
      seen = value_;
      return false;
    }
    value_ = next;
    memory_changed = true;
    return true;
  }
  std::uint64_t fetch_add(std::uint64_t more, std::memory_order) {
    pause();
    const std::uint64_t before = value_;
    value_ += more;
    memory_changed = true;
    return before;
  }

  // For the invariants, which look at every word after every access.
  std::uint64_t peek() const { return value_; }

 private:
  static void pause() {
    if (before_access != nullptr) before_access();
  }
  std::uint64_t value_ = 0;
};
