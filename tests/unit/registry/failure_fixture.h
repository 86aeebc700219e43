// Memory for a table of failures, and atoms that can be killed or interrupted at any access.
#pragma once

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "../../support/catch.h"
#include "registry/failure_table.h"

namespace sessreg {

inline constexpr HashKey kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
inline constexpr std::uint64_t kBlacklist_ms = 60'000;
inline constexpr std::uint64_t kForget_ms = kForgetFailures_ms;
inline constexpr std::uint64_t kStart_ms = 1'000'000;

using PlainAtom = std::atomic<std::uint64_t>;

struct Killed {};

// As std::atomic<std::uint64_t>, but before an access of an operation under test something happens:
// it is killed (an exception that nothing catches on the way), or others run to their end.
class InterruptedAtom {
 public:
  static inline std::function<void()> before_access;

  InterruptedAtom() = default;
  std::uint64_t load(std::memory_order) const {
    interrupt();
    return value_;
  }
  bool compare_exchange_strong(std::uint64_t& seen, std::uint64_t next, std::memory_order,
                               std::memory_order) {
    interrupt();
    if (value_ != seen) {
      seen = value_;
      return false;
    }
    value_ = next;
    return true;
  }
  std::uint64_t value() const { return value_; }
  void set(std::uint64_t value) { value_ = value; }

 private:
  static void interrupt() {
    if (before_access) before_access();
  }
  std::uint64_t value_ = 0;
};

// Runs `act`; before its access number `at` (from 0), `then`. False: it made fewer accesses.
inline bool interrupt_at(std::size_t at, const std::function<void()>& act,
                         const std::function<void()>& then) {
  bool reached = false;
  std::size_t access = 0;
  InterruptedAtom::before_access = [&] {
    if (access++ != at) return;
    reached = true;
    auto saved = std::move(InterruptedAtom::before_access);
    InterruptedAtom::before_access = nullptr;
    then();
    // Back only if nobody was killed here; the counter is past `at`.
    InterruptedAtom::before_access = std::move(saved);
  };
  try {
    act();
  } catch (const Killed&) {
  }
  InterruptedAtom::before_access = nullptr;
  return reached;
}
inline bool kill_at(std::size_t at, const std::function<void()>& act) {
  return interrupt_at(at, act, [] { throw Killed(); });
}

template <class Atom>
struct Memory {
  explicit Memory(std::size_t size = kFailureEntries) : entries(size) {}
  Atom gate{};
  std::vector<FailureEntry<Atom>> entries;

  FailureTable<Atom> table(std::uint32_t max_failures = 3,
                           std::uint64_t blacklist_ms = kBlacklist_ms) {
    return {gate, entries, kKey, {max_failures, blacklist_ms}};
  }
};

inline RemoteHost host(std::string_view rhost) {
  return RemoteHost::from_rhost(rhost);
}
// Each of them in a network of its own.
inline RemoteHost numbered(std::uint32_t number) {
  return host(std::to_string(10 + (number >> 16)) + "." + std::to_string(number >> 8 & 0xff) + "." +
              std::to_string(number & 0xff) + ".1");
}
// In one network of 48 bits: each has 64 bits of its own.
inline RemoteHost in_48(std::uint32_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "2001:db8:7:%x::1", number & 0xffff);
  return host(text.data());
}
inline const RemoteHost kHost = host("192.0.2.1");
inline const RemoteHost kOther = host("198.51.100.1");

template <class Table>
std::map<std::string, FailureStatus> listed(Table table, std::uint64_t now_ms) {
  std::map<std::string, FailureStatus> hosts;
  for (const HostFailures& found : table.list(now_ms))
    CHECK(hosts.emplace(found.text, found.status).second);
  return hosts;
}

template <class Table>
std::uint32_t failures(Table table, const RemoteHost& of, std::uint64_t now_ms = kStart_ms) {
  return table.status(of, now_ms).failures;
}

// Changes the record of the one live entry, as damage would.
inline void forge(Memory<PlainAtom>& m, const std::function<void(FailureRecord&)>& edit) {
  for (auto& entry : m.entries) {
    if ((entry.state & 3) != 2) continue;
    std::array<std::uint8_t, kFailureRecordWords * 5> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::uint8_t>(entry.record[i / 5] >> (24 + i % 5 * 8));
    FailureRecord record;
    std::memcpy(&record, bytes.data(), sizeof record);
    edit(record);
    std::memcpy(bytes.data(), &record, sizeof record);
    for (std::size_t word = 0; word < kFailureRecordWords; ++word) {
      std::uint64_t next = entry.record[word] & 0xffffff;
      for (std::size_t i = 0; i < 5; ++i)
        next |= std::uint64_t{bytes[word * 5 + i]} << (24 + i * 8);
      entry.record[word] = next;
    }
    return;
  }
  FAIL("no live entry");
}

}  // namespace sessreg
