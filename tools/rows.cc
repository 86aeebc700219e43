#include "rows.h"

#include <algorithm>
#include <boost/sort/spreadsort/integer_sort.hpp>
#include <cstring>
#include <map>
#include <utility>

namespace sessreg {
namespace {

template <std::size_t N>
int compare(const std::array<char, N>& a, const std::array<char, N>& b) {
  return std::memcmp(a.data(), b.data(), N);
}

// Of equal texts: 0.
int compare_texts(const Row& a, const Row& b, Order order) {
  switch (order) {
    case Order::user:
      return compare(a.user, b.user);
    case Order::host:
      return compare(a.host, b.host);
    case Order::service:
      return compare(a.service, b.service);
    case Order::state:
      return static_cast<int>(a.state) - static_cast<int>(b.state);
    default:
      return 0;
  }
}

// What sessions are ordered by, so that sorting a million of them touches no row.
struct Key {
  std::uint64_t first;
  std::uint64_t id;
  std::uint32_t row;

  bool operator<(const Key& other) const {
    if (first != other.first) return first < other.first;
    return id != other.id ? id < other.id : row < other.row;
  }
};

// By `first` and then `id`; most of the many that a busy site has used in one moment are equal in
// the first, so both are sorted by their digits.
void sort(std::vector<Key>& keys) {
  using boost::sort::spreadsort::integer_sort;
  integer_sort(
      keys.begin(), keys.end(), [](const Key& key, unsigned bits) { return key.first >> bits; },
      [](const Key& a, const Key& b) { return a.first < b.first; });
  for (auto run = keys.begin(); run != keys.end();) {
    const auto end = std::find_if(
        run, keys.end(), [first = run->first](const Key& key) { return key.first != first; });
    integer_sort(run, end, [](const Key& key, unsigned bits) { return key.id >> bits; });
    run = end;
  }
}

Key key_of(const Row& row, std::uint32_t index, Order order) {
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < sizeof id; ++i)
    id = id << 8 | row.id[i];
  return {order == Order::opened ? row.opened_boottime_ms : ~row.idle_ms, id, index};
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

}  // namespace

void RowStore::add(const Session& session, Seconds dangling_after) {
  const RecordImage& record = session.snapshot.record;
  if (site_ == nullptr || *site_ != session.site) site_ = &texts_.emplace_back(session.site);
  Row& row = rows_.emplace_back();
  row.id = record.id;
  row.user_hash = record.user_hash;
  row.user = record.user;
  row.service = record.service;
  row.host = record.host;
  row.tty = record.tty;
  row.site = site_;
  row.reason = session.reason.empty() ? nullptr : &texts_.emplace_back(session.reason);
  row.idle_ms = session.idle_ms;
  row.opened_boottime_ms = record.opened_boottime_ms;
  row.opened_realtime_ms = session.opened_realtime_ms;
  row.last_activity_realtime_ms = session.last_activity_realtime_ms;
  row.expires_realtime_ms = session.expires_realtime_ms;
  row.uid = session.uid;
  row.pid = session.leader.pid;
  row.state = session.state;
  row.has_seat = session.has_seat;
  row.is_dangling = session.is_idle_for(dangling_after);
}

std::vector<std::uint32_t> sorted(std::span<const Row> rows, Order order, bool reverse) {
  std::vector<Key> keys;
  keys.reserve(rows.size());
  for (std::uint32_t i = 0; i < rows.size(); ++i)
    keys.push_back(key_of(rows[i], i, order));
  sort(keys);
  std::vector<std::uint32_t> indices;
  indices.reserve(keys.size());
  for (const Key& key : keys)
    indices.push_back(key.row);
  if (order != Order::activity && order != Order::opened)
    std::stable_sort(indices.begin(), indices.end(), [&](std::uint32_t a, std::uint32_t b) {
      return compare_texts(rows[a], rows[b], order) < 0;
    });
  if (reverse) std::reverse(indices.begin(), indices.end());
  return indices;
}

std::vector<UserRow> by_user(std::span<const Row> rows, Order order, bool reverse) {
  std::vector<UserRow> users;
  // By the hash of the whole name: what is recorded of two long names may be equal. Each site has
  // hashes of its own.
  std::map<std::array<std::uint8_t, 16>, std::size_t> places;
  for (const Row& row : rows) {
    const auto [place, is_new] = places.try_emplace(row.user_hash, users.size());
    if (is_new) {
      UserRow& user = users.emplace_back();
      user.site = row.site;
      user.user = text_of(row.user);
      user.uid = row.uid;
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
