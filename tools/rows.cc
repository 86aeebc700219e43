#include "rows.h"

#include <algorithm>
#include <boost/sort/spreadsort/integer_sort.hpp>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "parallel.h"

namespace sessreg {
namespace {

// Of equal texts: 0.
int compare_texts(const Row& a, const Row& b, Order order) {
  switch (order) {
    case Order::user:
      return a.user().compare(b.user());
    case Order::host:
      return a.host().compare(b.host());
    case Order::service:
      return a.service().compare(b.service());
    case Order::state:
      return static_cast<int>(a.state) - static_cast<int>(b.state);
    default:
      return 0;
  }
}

// What sessions are ordered by, so that sorting a million of them touches few rows.
struct Key {
  std::uint64_t first;  // a time in milliseconds, and the begin of the id
  const Row* row;

  bool operator<(const Key& other) const {
    return first != other.first ? first < other.first : row->id < other.row->id;
  }
};

void sort(std::span<Key> keys) {
  const auto by_first = [](const Key& a, const Key& b) { return a.first < b.first; };
  boost::sort::spreadsort::integer_sort(
      keys.begin(), keys.end(), [](const Key& key, unsigned bits) { return key.first >> bits; },
      by_first);
  for (auto run = keys.begin(); run != keys.end();) {
    const auto end =
        std::find_if(run, keys.end(), [&](const Key& key) { return key.first != run->first; });
    if (end - run > 1) std::sort(run, end);
    run = end;
  }
}

Key key_of(const Row& row, Order order) {
  constexpr std::uint64_t kLongest_ms = (std::uint64_t{1} << 40) - 1;  // 34 years
  const std::uint64_t ms = order == Order::opened
                               ? std::min(row.opened_boottime_ms, kLongest_ms)
                               : kLongest_ms - std::min(row.idle_ms, kLongest_ms);
  return {ms << 24 | std::uint64_t{row.id[0]} << 16 | std::uint64_t{row.id[1]} << 8 | row.id[2],
          &row};
}

// Whether `a` comes before `b`; of equal ones the name decides.
bool is_before(const UserRow& a, const UserRow& b, Order order) {
  switch (order) {
    case Order::dangling:
      if (a.dangling != b.dangling) return a.dangling > b.dangling;
      [[fallthrough]];
    case Order::sessions:
      if (a.sessions != b.sessions) return a.sessions > b.sessions;
      break;
    case Order::activity:
      if (a.idle_ms != b.idle_ms) return a.idle_ms > b.idle_ms;
      break;
    case Order::opened:
      if (a.oldest_boottime_ms != b.oldest_boottime_ms)
        return a.oldest_boottime_ms < b.oldest_boottime_ms;
      break;
    default:
      break;
  }
  return a.user != b.user ? a.user < b.user : *a.site < *b.site;
}

// To the end, so that a compiler can take many bytes in one step.
bool has_no_specials(std::string_view text) {
  bool is_plain = true;
  for (const char c : text)
    is_plain &= (c >= ' ') & (c < '\x7f') & (c != '\\') & (c != '"') & (c != ',');
  return is_plain;
}

bool may_be_formula(std::string_view text) {
  if (text.empty()) return false;
  const char first = text.front();
  return first == '=' || first == '+' || first == '-' || first == '@';
}

}  // namespace

std::optional<std::int64_t> Row::expires_realtime_ms() const {
  if (!expires) return std::nullopt;
  std::int64_t realtime_ms = 0;
  std::memcpy(&realtime_ms, this + 1, sizeof realtime_ms);
  return realtime_ms;
}

std::string_view Row::text(std::size_t index) const {
  const char* at = reinterpret_cast<const char*>(this + 1);
  if (expires) at += sizeof(std::int64_t);
  for (std::size_t i = 0; i < index; ++i)
    at += text_sizes[i];
  return {at, text_sizes[index]};
}

void RowStore::add(const Session& session, Seconds dangling_after) {
  constexpr std::size_t kFirst_bytes = 64 * 1024;
  constexpr std::size_t kLongestText = 255;  // none of a registry's is as long
  if (memory_.empty())
    memory_.push_back(
        std::make_unique<std::pmr::monotonic_buffer_resource>(kFirst_bytes, &huge_pages()));
  if (sites_.empty() || *sites_.back() != session.site)
    sites_.push_back(std::make_unique<std::string>(session.site));
  const RecordImage& record = session.snapshot.record;
  std::array texts = {session.user(), session.service(), session.host(), session.tty(),
                      std::string_view(session.reason)};
  std::size_t size_bytes = sizeof(Row) + (session.expires_realtime_ms ? sizeof(std::int64_t) : 0);
  for (std::string_view& text : texts) {
    text = text.substr(0, kLongestText);
    size_bytes += text.size();
  }

  static_assert(std::is_trivially_destructible_v<Row>);
  void* memory = memory_.back()->allocate(size_bytes, alignof(Row));
  Row& row = *new (memory) Row;
  row.id = record.id;
  row.site = sites_.back().get();
  std::memcpy(&row.user_hash, record.user_hash.data(), sizeof row.user_hash);
  row.idle_ms = session.idle_ms;
  row.opened_boottime_ms = record.opened_boottime_ms;
  row.opened_realtime_ms = session.opened_realtime_ms;
  row.last_activity_realtime_ms = session.last_activity_realtime_ms;
  row.pid = session.leader.pid;
  row.recorded_uid = session.uid.value_or(kNoUid);
  row.state = session.state;
  row.has_seat = session.has_seat;
  row.is_dangling = session.is_idle_for(dangling_after);

  char* at = static_cast<char*>(memory) + sizeof(Row);
  if (session.expires_realtime_ms) {
    row.expires = true;
    std::memcpy(at, &*session.expires_realtime_ms, sizeof(std::int64_t));
    at += sizeof(std::int64_t);
  }
  const char* const first_text = at;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    row.text_sizes[i] = static_cast<std::uint8_t>(texts[i].size());
    row.is_plain = row.is_plain && !may_be_formula(texts[i]);
    at += texts[i].copy(at, texts[i].size());
  }
  row.is_plain = row.is_plain && has_no_specials({first_text, at});
  rows_.push_back(&row);
}

void RowStore::append(RowStore&& other) {
  std::move(other.memory_.begin(), other.memory_.end(), std::back_inserter(memory_));
  std::move(other.sites_.begin(), other.sites_.end(), std::back_inserter(sites_));
  rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end());
  other = RowStore();
}

Rows sorted(std::span<const Row* const> rows, Order order, bool reverse) {
  return sorted(rows, order, reverse, [](std::size_t, const Row&) {});
}

Rows sorted(std::span<const Row* const> rows, Order order, bool reverse, const LookAtRow& look) {
  std::pmr::vector<Key> keys(rows.size(), &huge_pages());
  const std::size_t parts = threads_for(rows.size());
  const auto begin = [&](std::size_t part) { return part_begin(rows.size(), part, parts); };
  share_work(parts, [&](std::size_t part) {
    for (std::size_t i = begin(part); i < begin(part + 1); ++i) {
      look(part, *rows[i]);
      keys[i] = key_of(*rows[i], order);
    }
    sort(std::span(keys).subspan(begin(part), begin(part + 1) - begin(part)));
  });
  // The least of all comes first in one of them.
  std::vector<std::span<const Key>> heads;
  for (std::size_t part = 0; part < parts; ++part)
    heads.push_back(std::span(keys).subspan(begin(part), begin(part + 1) - begin(part)));
  Rows result(&huge_pages());
  result.reserve(rows.size());
  while (result.size() < rows.size()) {
    auto& least = *std::min_element(heads.begin(), heads.end(), [](const auto& a, const auto& b) {
      return !a.empty() && (b.empty() || a.front() < b.front());
    });
    result.push_back(least.front().row);
    least = least.subspan(1);
  }
  if (order != Order::activity && order != Order::opened)
    std::stable_sort(result.begin(), result.end(),
                     [&](const Row* a, const Row* b) { return compare_texts(*a, *b, order) < 0; });
  if (reverse) std::reverse(result.begin(), result.end());
  return result;
}

std::vector<UserRow> by_user(std::span<const Row* const> rows, Order order, bool reverse) {
  std::vector<UserRow> users;
  // By the hash of the whole name: what is recorded of two long names may be equal. Each site has
  // hashes of its own.
  std::map<std::uint64_t, std::size_t> places;
  for (const Row* each : rows) {
    const Row& row = *each;
    const auto [place, is_new] = places.try_emplace(row.user_hash, users.size());
    if (is_new) {
      UserRow& user = users.emplace_back();
      user.site = row.site;
      user.user = row.user();
      user.uid = row.uid();
      user.last_activity_realtime_ms = row.last_activity_realtime_ms;
      user.idle_ms = row.idle_ms;
      user.oldest_boottime_ms = row.opened_boottime_ms;
    }
    UserRow& user = users[place->second];
    ++user.sessions;
    if (row.has_seat) ++user.seats;
    if (row.is_dangling) ++user.dangling;
    user.oldest_boottime_ms = std::min(user.oldest_boottime_ms, row.opened_boottime_ms);
    if (row.idle_ms < user.idle_ms) {
      user.idle_ms = row.idle_ms;
      user.last_activity_realtime_ms = row.last_activity_realtime_ms;
    }
  }
  std::sort(users.begin(), users.end(),
            [order](const UserRow& a, const UserRow& b) { return is_before(a, b, order); });
  if (reverse) std::reverse(users.begin(), users.end());
  return users;
}

}  // namespace sessreg
