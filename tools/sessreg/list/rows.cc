#include "sessreg/list/rows.h"

#include <algorithm>
#include <boost/sort/spreadsort/integer_sort.hpp>
#include <cstring>
#include <map>

#include "common/parallel.h"

namespace sessreg {
namespace {

// 0 if the texts are equal, and if the order compares none.
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

RowKey key_of(const Row& row, Order order) {
  constexpr std::uint64_t kLongest_ms = (std::uint64_t{1} << 40) - 1;  // 34 years
  const std::uint64_t ms = order == Order::opened
                               ? std::min(row.opened_boottime_ms, kLongest_ms)
                               : kLongest_ms - std::min(row.idle_ms, kLongest_ms);
  return {ms << 24 | std::uint64_t{row.id[0]} << 16 | std::uint64_t{row.id[1]} << 8 | row.id[2],
          &row};
}

class ComesBefore {
 public:
  explicit ComesBefore(Order order) : order_(order) {}
  bool operator()(const RowKey& a, const RowKey& b) const {
    if (const int texts = compare_texts(*a.row, *b.row, order_); texts != 0) return texts < 0;
    return a.first != b.first ? a.first < b.first : a.row->id < b.row->id;
  }

 private:
  Order order_;
};

bool is_of_texts(Order order) {
  return order == Order::user || order == Order::host || order == Order::service ||
         order == Order::state;
}

// Whether `a` comes before `b`. If they are equal, the name decides.
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

constexpr auto kIsSpecial = [] {
  std::array<bool, 256> is_special{};
  for (std::size_t byte = 0; byte < is_special.size(); ++byte)
    is_special[byte] = byte < ' ' || byte >= 0x7f || byte == '\\' || byte == '"' || byte == ',';
  return is_special;
}();

// Always reads to the end: that is faster than a branch for each character.
bool has_no_specials(std::string_view text) {
  bool has_special = false;
  for (const char c : text)
    has_special |= kIsSpecial[static_cast<std::uint8_t>(c)];
  return !has_special;
}

bool may_be_formula(std::string_view text) {
  if (text.empty()) return false;
  const char first = text.front();
  return first == '=' || first == '+' || first == '-' || first == '@';
}

}  // namespace

const Row& RowStore::add(const Session& session, Seconds dangling_after, const Place& place) {
  constexpr std::size_t kFirst_bytes = 64 * 1024;
  constexpr std::size_t kLongestText = 255;  // longer than any text in a registry
  if (!memory_) {
    memory_ = std::make_unique<std::pmr::monotonic_buffer_resource>(kFirst_bytes, &huge_pages());
    site_ = std::make_unique<std::string>(session.site);
  }
  const RecordImage& record = session.snapshot.record;
  std::array texts = {session.user(),
                      session.service(),
                      session.host(),
                      session.tty(),
                      std::string_view(session.reason),
                      std::string_view(place.terminal),
                      std::string_view(place.command)};
  std::size_t size_bytes = sizeof(Row) + (session.expires_realtime_ms ? sizeof(std::int64_t) : 0);
  for (std::string_view& text : texts) {
    text = text.substr(0, kLongestText);
    size_bytes += text.size();
  }

  static_assert(std::is_trivially_destructible_v<Row>);
  void* memory = memory_->allocate(size_bytes, alignof(Row));
  Row& row = *new (memory) Row;
  row.id = record.id;
  row.site = site_.get();
  std::memcpy(&row.user_hash, record.user_hash.data(), sizeof row.user_hash);
  row.idle_ms = session.idle_ms;
  row.opened_boottime_ms = record.opened_boottime_ms;
  row.opened_realtime_ms = session.opened_realtime_ms;
  row.last_activity_realtime_ms = session.last_activity_realtime_ms;
  row.pid = session.pid();
  row.recorded_uid = session.uid.value_or(kNoUid);
  row.state = session.state;
  row.has_seat = session.has_seat;
  row.is_dangling = session.is_idle_for(dangling_after);
  row.is_here = place.is_here;

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
  keys_.push_back(key_of(row, order_));
  return row;
}

void RowStore::sort() {
  const ComesBefore comes_before(order_);
  if (is_of_texts(order_)) {
    std::sort(keys_.begin(), keys_.end(), comes_before);
    return;
  }
  const auto by_first = [](const RowKey& a, const RowKey& b) { return a.first < b.first; };
  boost::sort::spreadsort::integer_sort(
      keys_.begin(), keys_.end(),
      [](const RowKey& key, unsigned bits) { return key.first >> bits; }, by_first);
  for (auto run = keys_.begin(); run != keys_.end();) {
    const auto end =
        std::find_if(run, keys_.end(), [&](const RowKey& key) { return key.first != run->first; });
    if (end - run > 1) std::sort(run, end, comes_before);
    run = end;
  }
}

void append_merged(Rows& ret, std::span<const RowStore* const> stores, bool reverse) {
  if (stores.empty()) return;
  const ComesBefore comes_before(stores.front()->order());
  std::size_t total = 0;
  std::span<const RowKey> longest;
  for (const RowStore* store : stores) {
    total += store->keys().size();
    if (store->keys().size() > longest.size()) longest = store->keys();
  }
  const std::size_t old_size = ret.size();
  ret.resize(old_size + total);

  // Each part of the result is merged from one part of each store. The parts are divided at keys of
  // the longest store: whatever sorts before such a key is in an earlier part.
  const std::size_t parts = threads_for(total);
  const auto begin_in = [&](std::span<const RowKey> keys, std::size_t part) {
    if (part == 0) return keys.begin();
    if (part == parts) return keys.end();
    return std::lower_bound(keys.begin(), keys.end(),
                            longest[part_begin(longest.size(), part, parts)], comes_before);
  };
  share_work(parts, [&](std::size_t part) {
    std::vector<std::span<const RowKey>> heads;
    std::size_t place = old_size, rest = 0;
    for (const RowStore* store : stores) {
      const auto begin = begin_in(store->keys(), part);
      place += static_cast<std::size_t>(begin - store->keys().begin());
      heads.emplace_back(begin, begin_in(store->keys(), part + 1));
      rest += heads.back().size();
    }
    for (; rest > 0; --rest) {
      auto& least =
          *std::min_element(heads.begin(), heads.end(), [&](const auto& a, const auto& b) {
            return !a.empty() && (b.empty() || comes_before(a.front(), b.front()));
          });
      ret[place++] = least.front().row;
      least = least.subspan(1);
    }
  });
  if (reverse) std::reverse(ret.begin() + static_cast<std::ptrdiff_t>(old_size), ret.end());
}

std::vector<UserRow> by_user(std::span<const Row* const> rows, Order order, bool reverse) {
  std::vector<UserRow> users;
  // By the hash of the whole name: two long names may be recorded alike. Each site has hashes of
  // its own.
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
