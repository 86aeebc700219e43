// The user sessions as `list` keeps them: small, as there may be a million.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "huge_pages.h"
#include "session.h"

namespace sessreg {

// RowStore makes them: when it expires and the texts, as they were recorded, lie behind it.
struct Row {
  Row() = default;
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  std::string_view user() const { return text(0); }
  std::string_view service() const { return text(1); }
  std::string_view host() const { return text(2); }
  std::string_view tty() const { return text(3); }
  std::string_view reason() const { return text(4); }  // empty: none
  std::optional<std::int64_t> expires_realtime_ms() const;
  std::optional<std::uint32_t> uid() const {
    return recorded_uid == kNoUid ? std::nullopt : std::optional(recorded_uid);
  }

  SessionId id{};
  const std::string* site = nullptr;
  std::uint64_t user_hash = 0;  // half of it, which tells users apart as well
  std::uint64_t idle_ms = 0;
  std::uint64_t opened_boottime_ms = 0;
  std::int64_t opened_realtime_ms = 0;
  std::int64_t last_activity_realtime_ms = 0;
  pid_t pid = 0;
  std::uint32_t recorded_uid = kNoUid;
  State state = State::active;
  bool has_seat : 1 = false;
  bool is_dangling : 1 = false;
  bool expires : 1 = false;
  bool is_plain : 1 = true;  // every format writes its texts as they are
  std::array<std::uint8_t, 5> text_sizes{};

 private:
  std::string_view text(std::size_t index) const;
};

// The 32 of an id.
class IdDigits {
 public:
  explicit IdDigits(const SessionId& id) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (std::size_t i = 0; i < id.size(); ++i) {
      text_[2 * i] = kDigits[id[i] >> 4];
      text_[2 * i + 1] = kDigits[id[i] & 15];
    }
  }
  std::string_view text() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, sizeof(SessionId) * 2> text_;
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

using Rows = std::pmr::vector<const Row*>;

class RowStore {
 public:
  void add(const Session& session, Seconds dangling_after);
  // Takes over the rows of `other`.
  void append(RowStore&& other);
  // There will be some `more` rows.
  void expect(std::size_t more) { rows_.reserve(rows_.size() + more); }

  std::span<const Row* const> rows() const { return rows_; }

 private:
  // Each gives back its memory at once; rows have nothing to destroy.
  std::vector<std::unique_ptr<std::pmr::monotonic_buffer_resource>> memory_;
  std::vector<std::unique_ptr<std::string>> sites_;
  Rows rows_{&huge_pages()};
};

enum class Order { activity, opened, user, host, service, state, sessions, dangling };

// Stalest, oldest or alphabetically first; equal ones stalest first. `sessions` and `dangling` are
// of users, and here as `activity`.
Rows sorted(std::span<const Row* const> rows, Order order, bool reverse);
// Calls look(part, row) with each of them on the way; the rows of one part, of which there are
// threads_for(rows.size()), by one thread.
using LookAtRow = std::function<void(std::size_t part, const Row& row)>;
Rows sorted(std::span<const Row* const> rows, Order order, bool reverse, const LookAtRow& look);

// In that order: of `activity` the user who was away longest first, of `opened` the one with the
// oldest session, of `sessions` and `dangling` the one with most.
std::vector<UserRow> by_user(std::span<const Row* const> rows, Order order, bool reverse);

}  // namespace sessreg
