// Which failed authentications are counted, and when they are forgotten, by remote host.
//
// Concurrency: as failure_store.h, which keeps the records.
//
// Rules:
//   1. A host whose failures reach the limit is blacklisted. Each attempt while it is (also a
//      failure that was under way) starts the time anew; after it the host starts from zero.
//   2. A host that is not blacklisted also starts from zero when its last failure is as old as the
//      blacklist would last, and at least kForgetFailures_ms. (Failures do not expire one by one: a
//      host that goes on slowly gets nothing back.)
//   3. A user's success erases that user's failures from that host. For each host the last
//      kUsersKept users who failed are kept apart; the failures of earlier ones stay in the host's
//      total, and only 1 and 2 end them. A success does not lift a blacklist.
//   4. When there are as many hosts as fit, the hosts of a crowded network (failure_networks.h) are
//      counted as one from then on, with the failures of all: by rule 1 that is blacklisted if one of
//      them was, or if all together reach the limit.
//   5. If there is none, a new host takes the place of one that counts as nothing (damaged, or from
//      zero by 1 and 2), else of the one that is not blacklisted and whose last failure is oldest.
//   6. Some places are left for hosts that are not blacklisted (see kRoomToCount): else two of them
//      that fail by turns would never be counted. When more are blacklisted, 4 is done, or the one
//      whose time ends first is forgotten.
#pragma once

#include <algorithm>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "config/remote_host.h"
#include "registry/failure_networks.h"
#include "registry/failure_store.h"
#include "registry/failures.h"

namespace sessreg {

inline constexpr std::uint64_t kForgetFailures_ms = 15 * 60 * 1000;  // as pam_faillock(8)

// The part of the hosts that is never blacklisted: one in so many.
inline constexpr std::size_t kRoomToCount = 8;

// Callers read the clock before they look, so a time may be a little ahead of theirs. One that is
// further ahead is damage: if it were believed, it would last for ever.
inline constexpr std::uint64_t kClockSlack_ms = 60 * 1000;

template <class Atom>
class FailureTable {
 public:
  using HostHash = Failures::HostHash;

  // 2 … 0xffff entries. `key` is secret and the same for all who use the memory.
  FailureTable(Atom& gate, std::span<FailureEntry<Atom>> entries, const HashKey& key,
               FailureRules rules)
      : store_(gate, entries),
        most_(failure_hosts(entries.size())),
        most_blacklisted_(most_ * (kRoomToCount - 1) / kRoomToCount),
        key_(key),
        rules_(rules) {}
  FailureTable(FailureWords<Atom>& words, const HashKey& key, FailureRules rules)
      : FailureTable(words.gate, words.entries, key, rules) {}

  // A failed authentication of `user` from `host` at `now_ms`. The answer is what it led to.
  FailureStatus failed(const RemoteHost& host, std::string_view user, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    const FailureRecord blank = blank_record(host);
    const std::uint32_t user_hash = hash_of(user);
    FailureStatus status;
    bool is_new = false, was_blacklisted = false;
    const bool done =
        change(places_of(host), now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
          is_new = found == nullptr;
          was_blacklisted = found != nullptr && status_of(*found, now_ms).blacklisted;
          ret_next = found != nullptr && !is_stale(*found, now_ms) ? *found : blank;
          count(ret_next, user_hash);
          ret_next.last_failure_ms = later(ret_next.last_failure_ms, now_ms);
          if (ret_next.blacklisted != 0 || failures_of(ret_next) >= rules_.max_failures) {
            ret_next.blacklisted = 1;
            ret_next.last_attempt_ms = later(ret_next.last_attempt_ms, now_ms);
          }
          status = status_of(ret_next, now_ms);
          return FailureEdit::publish;
        });
    if (!done) return {};
    if ((is_new && store_.is_full()) || (status.blacklisted && !was_blacklisted))
      make_room(blank.host_hash, now_ms);
    return status;
  }

  // An attempt to log in, before anything is known of it: if the host is blacklisted, its time
  // starts anew.
  FailureStatus attempt(const RemoteHost& host, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    FailureStatus status;
    change(places_of(host), now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
      status = found != nullptr ? status_of(*found, now_ms) : FailureStatus{};
      if (!status.blacklisted || found->last_attempt_ms >= now_ms) return FailureEdit::none;
      ret_next = *found;
      ret_next.last_attempt_ms = now_ms;
      status = status_of(ret_next, now_ms);
      return FailureEdit::publish;
    });
    return status;
  }

  // What is known of the host; changes nothing.
  FailureStatus status(const RemoteHost& host, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    FailureStatus status;
    change(places_of(host), now_ms, [&](const FailureRecord* found, FailureRecord&) {
      status = found != nullptr ? status_of(*found, now_ms) : FailureStatus{};
      return FailureEdit::none;
    });
    return status;
  }

  // A successful authentication: erases the user's failures from that host, no one else's.
  void succeeded(const RemoteHost& host, std::string_view user, std::uint64_t now_ms) {
    if (!counts(host)) return;
    const std::uint32_t user_hash = hash_of(user);
    change(places_of(host), now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
      if (found == nullptr || is_stale(*found, now_ms) || found->blacklisted != 0)
        return FailureEdit::none;
      ret_next = *found;
      if (!erase(ret_next, user_hash)) return FailureEdit::none;
      return failures_of(ret_next) == 0 ? FailureEdit::remove : FailureEdit::publish;
    });
  }

  // Forgets a host, blacklisted or not, with all of the network as which it is counted. The answer is
  // what was forgotten, empty if there was nothing that counted.
  std::string reset(const RemoteHost& host, std::uint64_t now_ms) {
    if (host.kind() == RemoteHost::Kind::none) return {};
    return reset(places_of(host), now_ms);
  }
  bool reset(const HostHash& host_hash, std::uint64_t now_ms) {
    return !reset(Places{host_hash}, now_ms).empty();
  }

  // Forgets every host that is known when it begins. Returns how many counted.
  std::size_t reset_all(std::uint64_t now_ms) {
    std::size_t counted = 0;
    for (const HostFailures& host : list(now_ms))
      counted += reset(host.host_hash, now_ms);
    // What is left counts as nothing, or came since; damaged entries give way by themselves.
    return counted;
  }

  // Each host that has failures that count, all as they were at one instant; but see
  // read_all() of the store.
  std::vector<HostFailures> list(std::uint64_t now_ms) {
    std::vector<HostFailures> hosts;
    for (const FailureRecord& record : store_.read_all()) {
      if (is_stale(record, now_ms)) continue;
      hosts.push_back({record.host_hash, text_of(record), std::min(record.last_failure_ms, now_ms),
                       status_of(record, now_ms)});
    }
    return hosts;
  }

 private:
  using Places = std::vector<HostHash>;

  Places places_of(const RemoteHost& host) const {
    Places places;
    for (const RemoteHost& place : counted_as(host))
      places.push_back(hash_of(place));
    return places;
  }

  template <class Edit>
  bool change(const Places& places, std::uint64_t now_ms, Edit edit) {
    const auto rank = [&](const FailureRecord& record) { return rank_of(record, now_ms); };
    return store_.change(places, now_ms, rank, edit);
  }

  std::string reset(const Places& places, std::uint64_t now_ms) {
    std::string counted;
    change(places, now_ms, [&](const FailureRecord* found, FailureRecord&) {
      counted = found != nullptr && !is_stale(*found, now_ms) ? text_of(*found) : std::string();
      return FailureEdit::remove;
    });
    return counted;
  }

  // --- When there is no room ---

  // See 4 and 6 above; `newest` came just now. What memory is wanting for is done with the next one.
  void make_room(const HostHash& newest, std::uint64_t now_ms) {
    try {
      // Each time some hosts are gone. Others may add as many meanwhile: it is their turn then.
      for (std::size_t times = 0; times < kMostTimes; ++times) {
        const std::vector<FailureRecord> records = records_that_count(now_ms);
        const FailureRecord* ends_first = nullptr;
        std::size_t blacklisted = 0;
        for (const FailureRecord& record : records) {
          if (record.blacklisted == 0) continue;
          ++blacklisted;
          if (record.host_hash == newest) continue;
          if (ends_first == nullptr || record.last_attempt_ms < ends_first->last_attempt_ms)
            ends_first = &record;
        }
        const bool are_too_many = blacklisted > most_blacklisted_;
        if (!are_too_many && records.size() < most_) return;
        if (const auto crowd = crowded_network(records, key_))
          count_as_one(crowd->network, now_ms);
        else if (are_too_many && ends_first != nullptr)
          forget(ends_first->host_hash, now_ms);
        else
          return;
      }
    } catch (const std::bad_alloc&) {
    }
  }

  std::vector<FailureRecord> records_that_count(std::uint64_t now_ms) {
    std::vector<FailureRecord> records = store_.read_all();
    std::erase_if(records, [&](const FailureRecord& each) { return is_stale(each, now_ms); });
    return records;
  }

  // Published in one step with what its members had at that instant, it is found in their place. Those
  // that are left if this process is killed are removed by the next one.
  void count_as_one(const RemoteHost& network, std::uint64_t now_ms) {
    std::optional<CrowdedNetwork> crowd;
    // One of its members gives way to it, and nobody else.
    const auto rank = [&](const FailureRecord& record) {
      const bool is_member = std::ranges::count(crowd->members, record.host_hash) > 0;
      return is_member ? FailureRank{} : rank_of(record, now_ms);
    };
    const auto edit = [&](const FailureRecord* found, FailureRecord& ret_next) {
      crowd = crowded_network(records_that_count(now_ms), key_);
      if (crowd && crowd->network.identity() != network.identity()) crowd.reset();
      if (!crowd || (found != nullptr && !is_stale(*found, now_ms))) return FailureEdit::none;
      ret_next = record_of(*crowd);
      return FailureEdit::publish;
    };
    const bool done = store_.change(places_of(network), now_ms, rank, edit);
    if (!done || !crowd) return;
    for (const HostHash& member : crowd->members)
      forget(member, now_ms);
  }

  FailureRecord record_of(const CrowdedNetwork& crowd) const {
    FailureRecord record = blank_record(crowd.network);
    record.other_failures = crowd.failures;
    record.last_failure_ms = crowd.last_failure_ms;
    record.blacklisted = crowd.blacklisted || crowd.failures >= rules_.max_failures;
    record.last_attempt_ms = crowd.blacklisted ? crowd.last_attempt_ms : crowd.last_failure_ms;
    return record;
  }

  void forget(const HostHash& host, std::uint64_t now_ms) {
    change({host}, now_ms,
           [](const FailureRecord*, FailureRecord&) { return FailureEdit::remove; });
  }

  // See 5 above.
  FailureRank rank_of(const FailureRecord& record, std::uint64_t now_ms) const {
    if (is_stale(record, now_ms)) return {};
    if (record.blacklisted == 0) return {1, record.last_failure_ms};
    return {2, record.last_attempt_ms};
  }

  // --- What a record says ---

  bool counts(const RemoteHost& host) const {
    return rules_.max_failures != 0 && host.kind() != RemoteHost::Kind::none;
  }

  static std::uint64_t later(std::uint64_t a_ms, std::uint64_t b_ms) {
    return std::max(a_ms, b_ms);
  }

  // Whether the host starts from zero; see 1 and 2 above.
  bool is_stale(const FailureRecord& record, std::uint64_t now_ms) const {
    const bool blacklisted = record.blacklisted != 0;
    const std::uint64_t since_ms = blacklisted ? record.last_attempt_ms : record.last_failure_ms;
    const std::uint64_t lasts_ms =
        blacklisted ? rules_.blacklist_ms : std::max(rules_.blacklist_ms, kForgetFailures_ms);
    if (since_ms > now_ms) return since_ms - now_ms > kClockSlack_ms;
    return now_ms - since_ms >= lasts_ms;
  }

  FailureStatus status_of(const FailureRecord& record, std::uint64_t now_ms) const {
    if (is_stale(record, now_ms)) return {};
    FailureStatus status{failures_of(record), record.blacklisted != 0, 0};
    if (status.blacklisted)
      status.until_ms = std::min(record.last_attempt_ms, now_ms) + rules_.blacklist_ms;
    return status;
  }

  static std::uint32_t plus(std::uint32_t a, std::uint32_t b) {
    return a > 0xffffffff - b ? 0xffffffff : a + b;
  }

  static void count(FailureRecord& record, std::uint32_t user_hash) {
    auto& users = record.users;
    auto user = std::find_if(users.begin(), users.end(), [&](const FailureRecord::User& kept) {
      return kept.failures != 0 && kept.hash == user_hash;
    });
    if (user == users.end()) {
      user = users.end() - 1;
      record.other_failures = plus(record.other_failures, user->failures);
      *user = {user_hash, 0};
    }
    user->failures = plus(user->failures, 1);
    std::rotate(users.begin(), user, user + 1);
  }

  // False: the user has none.
  static bool erase(FailureRecord& record, std::uint32_t user_hash) {
    auto& users = record.users;
    const auto user = std::find_if(users.begin(), users.end(), [&](const FailureRecord::User& u) {
      return u.failures != 0 && u.hash == user_hash;
    });
    if (user == users.end()) return false;
    *user = {};
    std::rotate(user, user + 1, users.end());
    return true;
  }

  HostHash hash_of(const RemoteHost& host) const { return hash128(key_, host.identity()); }
  std::uint32_t hash_of(std::string_view user) const {
    return static_cast<std::uint32_t>(hash64(key_, user));
  }

  static std::string text_of(const FailureRecord& record) {
    return {record.text.begin(), std::find(record.text.begin(), record.text.end(), '\0')};
  }

  FailureRecord blank_record(const RemoteHost& host) const {
    FailureRecord record{};
    record.host_hash = hash_of(host);
    constexpr std::string_view kCut = "...";
    std::string text = host.text();
    if (text.size() > record.text.size())
      text = std::string(utf8_prefix(text, record.text.size() - kCut.size())) += kCut;
    std::copy(text.begin(), text.end(), record.text.begin());
    return record;
  }

  static constexpr std::size_t kMostTimes = 64;

  FailureStore<Atom> store_;
  const std::size_t most_, most_blacklisted_;
  HashKey key_;
  FailureRules rules_;
};

}  // namespace sessreg
