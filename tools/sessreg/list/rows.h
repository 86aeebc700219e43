// The user sessions as `list` keeps them: small, because there may be a million.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/session.h"
#include "sessreg/list/huge_pages.h"
#include "sessreg/list/place.h"

namespace sessreg {

// Made by RowStore. The time of expiry and the texts, as recorded, lie right after it in memory.
struct Row {
  Row() = default;
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  std::string_view user() const { return text(0); }
  std::string_view service() const { return text(1); }
  std::string_view host() const { return text(2); }
  std::string_view tty() const { return text(3); }
  std::string_view reason() const { return text(4); }    // empty: none
  std::string_view terminal() const { return text(5); }  // as in Place
  std::string_view command() const { return text(6); }
  std::optional<std::int64_t> expires_realtime_ms() const {
    if (!expires) return std::nullopt;
    std::int64_t realtime_ms = 0;
    std::memcpy(&realtime_ms, this + 1, sizeof realtime_ms);
    return realtime_ms;
  }
  std::optional<std::uint32_t> uid() const {
    return recorded_uid == kNoUid ? std::nullopt : std::optional(recorded_uid);
  }

  SessionId id{};
  const std::string* site = nullptr;  // the store's
  std::uint64_t user_hash = 0;        // half of the hash: enough to tell users apart
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
  bool is_here : 1 = false;
  bool is_plain : 1 = true;  // every format can write its texts as they are
  std::array<std::uint8_t, 7> text_sizes{};

 private:
  std::string_view text(std::size_t index) const {
    const char* at = reinterpret_cast<const char*>(this + 1);
    if (expires) at += sizeof(std::int64_t);
    for (std::size_t i = 0; i < index; ++i)
      at += text_sizes[i];
    return {at, text_sizes[index]};
  }
};

// The 32 digits of an id.
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

enum class Order { activity, opened, user, host, service, state, sessions, dangling };

// A row and its sort key, so that sorting a million of them touches few rows.
struct RowKey {
  std::uint64_t first;  // a time in milliseconds, and the beginning of the id
  const Row* row;
};

// The rows that one thread reads.
class RowStore {
 public:
  // Stalest, oldest or alphabetically first; equal ones stalest first. `sessions` and `dangling`
  // are orders of users, and sort like `activity` here.
  explicit RowStore(Order order) : order_(order) {}

  const Row& add(const Session& session, Seconds dangling_after, const Place& place = {});
  // About that many `more` rows will be added.
  void expect(std::size_t more) { keys_.reserve(keys_.size() + more); }
  void sort();

  Order order() const { return order_; }
  std::span<const RowKey> keys() const { return keys_; }  // as added, or sorted

 private:
  Order order_;
  // Frees all memory at once: rows have nothing to destroy.
  std::unique_ptr<std::pmr::monotonic_buffer_resource> memory_;
  std::unique_ptr<std::string> site_;
  std::pmr::vector<RowKey> keys_{&huge_pages()};
};

using Rows = std::pmr::vector<const Row*>;

// Merges the rows of these stores, all sorted in the same order, and appends them in that order.
void append_merged(Rows& ret, std::span<const RowStore* const> stores, bool reverse);

// In that order: by `activity`, the user away longest comes first; by `opened`, the one with the
// oldest session; by `sessions` and `dangling`, the one with most.
std::vector<UserRow> by_user(std::span<const Row* const> rows, Order order, bool reverse);

}  // namespace sessreg
