// The user sessions as `list` keeps them: small and flat, as there may be a million.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "huge_pages.h"
#include "session.h"

namespace sessreg {

// Texts are as they were recorded; see text_of().
struct alignas(64) Row {
  SessionId id;
  std::array<std::uint8_t, 16> user_hash;
  std::array<char, sizeof(RecordImage::user)> user;
  std::array<char, sizeof(RecordImage::service)> service;
  std::array<char, sizeof(RecordImage::host)> host;
  std::array<char, sizeof(RecordImage::tty)> tty;
  const std::string* site;
  const std::string* reason;  // nullptr: none
  std::uint64_t idle_ms;
  std::uint64_t opened_boottime_ms;
  std::int64_t opened_realtime_ms;
  std::int64_t last_activity_realtime_ms;
  std::optional<std::int64_t> expires_realtime_ms;
  std::optional<std::uint32_t> uid;
  pid_t pid;
  State state;
  bool has_seat;
  bool is_dangling;
};

// One user of one site.
struct UserRow {
  const std::string* site = nullptr;
  std::string user;
  std::optional<std::uint32_t> uid;
  std::uint64_t sessions = 0;
  std::uint64_t seats = 0;
  std::uint64_t dangling = 0;
  std::int64_t last_activity_realtime_ms = 0;  // of the session used last
  std::uint64_t idle_ms = 0;
  std::uint64_t oldest_boottime_ms = 0;  // when the first of the sessions was opened
};

// Rows, and the texts that they point to.
class RowStore {
 public:
  RowStore() = default;
  RowStore(RowStore&&) = default;
  RowStore& operator=(RowStore&&) = default;

  void add(const Session& session, Seconds dangling_after);
  // There will be some `more` rows.
  void expect(std::size_t more) { rows_.reserve(rows_.size() + more); }

  std::span<const Row> rows() const { return rows_; }

 private:
  std::vector<Row, HugePages<Row>> rows_;
  std::deque<std::string> texts_;      // stay where they are when others are added
  const std::string* site_ = nullptr;  // the last one
};

enum class Order { activity, opened, user, host, service, state, sessions, dangling };

// The rows in that order, as indices: stalest, oldest or alphabetically first; equal ones stalest
// first. `sessions` and `dangling` are of users, and here as `activity`.
std::vector<std::uint32_t> sorted(std::span<const Row> rows, Order order, bool reverse);

// Calls visit(row) with each of them. The rows lie all over the memory: those that come soon are
// asked for ahead.
template <class Visit>
void for_each_in(const std::vector<std::uint32_t>& order, std::span<const Row> rows, Visit visit) {
  constexpr std::size_t kAhead = 16;
  constexpr std::size_t kCacheLine_bytes = 64;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i + kAhead < order.size()) {
      const char* row = reinterpret_cast<const char*>(&rows[order[i + kAhead]]);
      for (std::size_t at = 0; at < sizeof(Row); at += kCacheLine_bytes)
        __builtin_prefetch(row + at);
    }
    visit(rows[order[i]]);
  }
}

// In that order: of `activity` the user who was away longest first, of `opened` the one with the
// oldest session, of `sessions` and `dangling` the one with most.
std::vector<UserRow> by_user(std::span<const Row> rows, Order order, bool reverse);

}  // namespace sessreg
