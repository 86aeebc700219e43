// Failed authentications by remote host: a table of fixed size in shared memory, without locks.
//
// Concurrency: every function may be called by any number of processes and threads over the same
// memory. A process may be killed or stopped for ever between any two accesses; nobody waits for
// it. All zeros is a valid, empty table.
//
// A record is never changed. To count a failure is to copy the host's record, to change the copy
// in a free entry, and to put it in the old one's place in one step:
//
//   free -> claimed -> live -> free           claimed -> free: not needed, or its claimer is gone
//
// That step is a CAS of the one gate, which names the operation that made it what it is:
//
//   PUBLISH entry   claimed -> live; first the entry that its record replaces: live -> free
//   FREE entry      claimed or live -> free
//
// Invariants:
//   1. What is live changes by gate operations only, and whoever replaces the gate word has settled
//      the operation it names. So what was looked at between a load of the gate and the CAS that
//      succeeds on it is still true at that CAS, which is the linearization point: no failure is
//      lost or counted twice, and a host has at most one live entry.
//   2. Each word of a record carries the epoch, the generation of the claim it was written under.
//      A live entry whose words all have its epoch holds one whole record; any other is damaged,
//      counts as nothing, and is the first to give way.
//   3. Only the claimer writes into a claimed entry, and only as long as it is its own: a word is
//      loaded, the state is looked at, the word is replaced by CAS. So a claimer that was taken for
//      dead and wakes up spoils nothing.
//   4. No index, count or time read from the memory is used unchecked, and every loop is bounded.
//
// What is counted and forgotten:
//   5. A host whose failures reach the limit is blacklisted. Each attempt while it is (also a
//      failure that was under way) starts the time anew; after it the host starts from zero.
//   6. A host that is not blacklisted starts from zero, too, when its last failure is as old as the
//      blacklist would last, and at least kForgetFailures_ms. (Not each failure by itself: a host
//      that goes on slowly gets nothing back.)
//   7. A user's success erases that user's failures from that host. For each host the last
//      kUsersKept users who failed are kept apart; the failures of earlier ones stay in the host's
//      number, and only 5 and 6 end them. A success does not lift a blacklist.
//   8. When there are as many hosts as fit, a new one takes the place of a host that counts as
//      nothing (damaged, or from zero by 5 and 6), else of the one whose last failure is oldest;
//      of a blacklisted one only if all are blacklisted, then of the one that is so the shortest.
//
// ABA: a CAS could be fooled after 2^24 claims of one entry within one stall of a process, if the
// word's other fields are then equal too.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "config/remote_host.h"

namespace sessreg {

// --- Layout ---

// One entry in five is kept free of hosts: a change of a host needs a second entry for a moment,
// and those that died in that moment are collected only when no entry is free.
inline constexpr std::size_t kFailureEntries = 1280;
constexpr std::size_t failure_hosts(std::size_t entries) {
  return entries - (entries + 4) / 5;
}
static_assert(failure_hosts(kFailureEntries) == 1024);

inline constexpr std::size_t kFailureRecordWords = 31;

template <class Atom>
struct alignas(64) FailureEntry {
  Atom state;                                    // claim time | epoch | stage
  std::array<Atom, kFailureRecordWords> record;  // each: 5 bytes of the FailureRecord | epoch
};

template <class Atom>
struct FailureWords {
  alignas(64) Atom gate;  // version | epoch | entry | operation
  std::array<FailureEntry<Atom>, kFailureEntries> entries;
};

inline constexpr std::size_t kFailureBytes = 64 + kFailureEntries * 256;
static_assert(sizeof(FailureWords<std::atomic<std::uint64_t>>) == kFailureBytes);

inline constexpr std::size_t kUsersKept = 8;

// Beyond this many bytes a name is cut. It is only shown; the hash decides.
inline constexpr std::size_t kFailureTextBytes = 44;

struct FailureRecord {
  struct User {
    std::uint32_t hash;
    std::uint32_t failures;  // 0: unused
  };
  std::array<std::uint8_t, 16> host_hash;
  std::uint64_t last_failure_ms;  // CLOCK_BOOTTIME, as all times here
  std::uint64_t last_attempt_ms;  // of a blacklisted host: the failure or attempt it counts from
  std::uint32_t replaced_epoch;
  std::uint16_t replaced;  // the entry whose place this takes; kNoFailureEntry: none
  std::uint16_t blacklisted;
  std::uint32_t other_failures;        // of users not kept apart any more
  std::array<User, kUsersKept> users;  // the last to fail comes first
  std::array<char, kFailureTextBytes> text;
};
static_assert(sizeof(FailureRecord) == 152 && std::is_trivially_copyable_v<FailureRecord>);

inline constexpr std::uint16_t kNoFailureEntry = 0xffff;

// --- Rules and answers ---

struct FailureRules {
  std::uint32_t max_failures = 0;  // max_failed_auth_per_host; 0: nothing is counted or refused
  std::uint64_t blacklist_ms = 0;  // blacklist_time
};

inline constexpr std::uint64_t kForgetFailures_ms = 15 * 60 * 1000;  // as pam_faillock(8)

// Callers read the clock before they look, so a time may be a little ahead of theirs. One that is
// more so is damage: believed, it would last for ever.
inline constexpr std::uint64_t kClockSlack_ms = 60 * 1000;

struct FailureStatus {
  std::uint32_t failures = 0;
  bool blacklisted = false;
  std::uint64_t until_ms = 0;  // blacklisted: until then, if there is no attempt before
};

struct HostFailures {
  std::array<std::uint8_t, 16> host_hash;
  std::string text;  // raw, perhaps cut: escape it before it is shown
  std::uint64_t last_failure_ms;
  FailureStatus status;
};

// --- The table ---

template <class Atom>
class FailureTable {
 public:
  using HostHash = std::array<std::uint8_t, 16>;

  // 2 … 0xffff entries. `key` is secret and the same for all who use the memory.
  FailureTable(Atom& gate, std::span<FailureEntry<Atom>> entries, const HashKey& key,
               FailureRules rules)
      : gate_(&gate), entries_(entries), key_(key), rules_(rules) {}
  FailureTable(FailureWords<Atom>& words, const HashKey& key, FailureRules rules)
      : FailureTable(words.gate, words.entries, key, rules) {}

  // A failed authentication of `user` from `host` at `now_ms`. The answer is what it led to.
  FailureStatus failed(const RemoteHost& host, std::string_view user, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    const FailureRecord blank = blank_record(host);
    const std::uint32_t user_hash = hash_of(user);
    FailureStatus status;
    const bool done =
        change(blank.host_hash, now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
          ret_next = found != nullptr && !is_stale(*found, now_ms) ? *found : blank;
          count(ret_next, user_hash);
          ret_next.last_failure_ms = later(ret_next.last_failure_ms, now_ms);
          if (ret_next.blacklisted != 0 || failures_of(ret_next) >= rules_.max_failures) {
            ret_next.blacklisted = 1;
            ret_next.last_attempt_ms = later(ret_next.last_attempt_ms, now_ms);
          }
          status = status_of(ret_next, now_ms);
          return Change::publish;
        });
    return done ? status : FailureStatus{};
  }

  // An attempt to log in, before anything is known of it: if the host is blacklisted, its time
  // starts anew.
  FailureStatus attempt(const RemoteHost& host, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    FailureStatus status;
    change(hash_of(host), now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
      status = found != nullptr ? status_of(*found, now_ms) : FailureStatus{};
      if (!status.blacklisted || found->last_attempt_ms >= now_ms) return Change::none;
      ret_next = *found;
      ret_next.last_attempt_ms = now_ms;
      status = status_of(ret_next, now_ms);
      return Change::publish;
    });
    return status;
  }

  // What is known of the host; changes nothing.
  FailureStatus status(const RemoteHost& host, std::uint64_t now_ms) {
    if (!counts(host)) return {};
    FailureStatus status;
    change(hash_of(host), now_ms, [&](const FailureRecord* found, FailureRecord&) {
      status = found != nullptr ? status_of(*found, now_ms) : FailureStatus{};
      return Change::none;
    });
    return status;
  }

  // A successful authentication: erases the user's failures from that host, no one else's.
  void succeeded(const RemoteHost& host, std::string_view user, std::uint64_t now_ms) {
    if (!counts(host)) return;
    const std::uint32_t user_hash = hash_of(user);
    change(hash_of(host), now_ms, [&](const FailureRecord* found, FailureRecord& ret_next) {
      if (found == nullptr || is_stale(*found, now_ms) || found->blacklisted != 0)
        return Change::none;
      ret_next = *found;
      if (!erase(ret_next, user_hash)) return Change::none;
      return failures_of(ret_next) == 0 ? Change::remove : Change::publish;
    });
  }

  // Forgets a host, blacklisted or not. False: there was nothing that counted.
  bool reset(const RemoteHost& host, std::uint64_t now_ms) {
    return host.kind() != RemoteHost::Kind::none && reset(hash_of(host), now_ms);
  }
  bool reset(const HostHash& host_hash, std::uint64_t now_ms) {
    bool counted = false;
    change(host_hash, now_ms, [&](const FailureRecord* found, FailureRecord&) {
      counted = found != nullptr && !is_stale(*found, now_ms);
      return Change::remove;
    });
    return counted;
  }

  // Forgets every host that is known when it begins. Returns how many counted.
  std::size_t reset_all(std::uint64_t now_ms) {
    std::size_t counted = 0;
    for (const HostFailures& host : list(now_ms))
      counted += reset(host.host_hash, now_ms);
    // What is left counts as nothing, or came since; damaged entries give way by themselves.
    return counted;
  }

  // Calls visit(const HostFailures&) for each host that has failures that count: all as they were
  // at one instant, unless others change the table each of the times that this is tried; then a
  // host that changed meanwhile may be missing or come twice. Allocates.
  template <class Visit>
  void for_each(std::uint64_t now_ms, Visit visit) {
    for (const HostFailures& host : list(now_ms))
      visit(host);
  }

 private:
  enum class Stage : std::uint8_t { free = 0, claimed = 1, live = 2 };  // 3: damage
  enum class Op : std::uint8_t { none = 0, publish = 1, free = 2 };
  enum class Change { none, publish, remove };

  static constexpr unsigned kStageBits = 2;
  static constexpr unsigned kEpochBits = 24;
  static constexpr unsigned kOpBits = 2;
  static constexpr unsigned kEntryBits = 16;
  static constexpr unsigned kTimeBits = 64 - kStageBits - kEpochBits;
  static constexpr std::uint32_t kEpochMask = (1u << kEpochBits) - 1;
  static constexpr std::size_t kBytesPerWord = 5;
  static_assert(kBytesPerWord * 8 + kEpochBits == 64);
  static_assert(kFailureRecordWords * kBytesPerWord >= sizeof(FailureRecord));

  // Only a memory that others change without end can make a call give up: a failure is then not
  // counted, a host found not blacklisted.
  static constexpr int kMaxTries = 10'000;
  static constexpr int kMaxListTries = 100;

  struct State {
    Stage stage;
    std::uint32_t epoch;
    std::uint64_t claimed_ms;  // the low bits; stays until the next claim
  };
  // One occupancy of one entry.
  struct Ref {
    std::uint16_t entry;
    std::uint32_t epoch;
  };
  struct Found {
    Ref ref;
    FailureRecord record;
  };

  static std::uint64_t pack(const State& s) {
    return s.claimed_ms << (kEpochBits + kStageBits) | std::uint64_t{s.epoch} << kStageBits |
           static_cast<std::uint64_t>(s.stage);
  }
  static State state(std::uint64_t word) {
    return {static_cast<Stage>(word & ((1u << kStageBits) - 1)),
            static_cast<std::uint32_t>(word >> kStageBits) & kEpochMask,
            word >> (kEpochBits + kStageBits)};
  }
  // Acquire: pairs with the CAS that made it, so the record of a live entry is seen.
  State state_of(std::size_t entry) const {
    return state(entries_[entry].state.load(std::memory_order_acquire));
  }
  bool is_claimed(Ref ref) const {
    const State at = state_of(ref.entry);
    return at.stage == Stage::claimed && at.epoch == ref.epoch;
  }

  // --- The one way to change a host ---

  // Calls edit(found, ret_next) until what it decides is done. `found` is the host's record or
  // nullptr; ret_next is what shall be published. The last call is the one that counts. False: it
  // was given up; see kMaxTries.
  template <class Edit>
  bool change(const HostHash& host, std::uint64_t now_ms, Edit edit) {
    std::optional<Ref> claim;
    bool done = false;
    for (int tries = 0; tries < kMaxTries && !done; ++tries) {
      const std::uint64_t seen = settled_gate();
      const std::optional<Found> found = find(host);
      FailureRecord next;
      const Change wanted = edit(found ? &found->record : nullptr, next);
      if (wanted == Change::none || (wanted == Change::remove && !found)) {
        // A record that was found was live then. That none was found is true of one instant only
        // if nothing moved meanwhile.
        done = found || !has_moved(seen);
      } else if (wanted == Change::remove) {
        done = change_gate(seen, Op::free, found->ref);
      } else if (!claim && !(claim = claim_entry(host, now_ms))) {
        if (const auto taken = unclaimable(now_ms)) change_gate(seen, Op::free, *taken);
      } else {
        const auto replaced = found ? std::optional(found->ref) : gives_way(now_ms);
        next.replaced = replaced ? replaced->entry : kNoFailureEntry;
        next.replaced_epoch = replaced ? replaced->epoch : 0;
        if (!write(*claim, next)) {
          give_back(*claim);
          claim.reset();
        } else if (change_gate(seen, Op::publish, *claim)) {
          return true;
        }
      }
    }
    if (claim) give_back(*claim);
    return done;
  }

  // Needs no gate: the gate never named this claim, and nobody decides by it. Harmless if it was
  // taken.
  void give_back(Ref claim) { settle(claim, Stage::claimed, Stage::free); }

  // The gate, with the operation it names settled.
  std::uint64_t settled_gate() {
    // Acquire: pairs with the CAS that made it, so the record it publishes is seen.
    const std::uint64_t word = gate_->load(std::memory_order_acquire);
    settle(word);
    return word;
  }

  bool has_moved(std::uint64_t seen) const {
    // Not before the loads of the look: they are all acquire.
    return gate_->load(std::memory_order_acquire) != seen;
  }

  bool change_gate(std::uint64_t seen, Op op, Ref ref) {
    constexpr unsigned kVersionShift = kOpBits + kEntryBits + kEpochBits;
    const std::uint64_t word = ((seen >> kVersionShift) + 1) << kVersionShift |
                               std::uint64_t{ref.epoch} << (kOpBits + kEntryBits) |
                               std::uint64_t{ref.entry} << kOpBits | static_cast<std::uint64_t>(op);
    // Release publishes the record and the settling before it; acquire as above.
    if (!gate_->compare_exchange_strong(seen, word, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
      return false;
    settle(word);
    return true;
  }

  // Does what is left of the operation that the gate names. Harmless when it is done already, or
  // the gate has long moved on: the epochs do not fit any more.
  void settle(std::uint64_t word) {
    const auto op = static_cast<Op>(word & ((1u << kOpBits) - 1));
    const Ref ref{static_cast<std::uint16_t>(word >> kOpBits),
                  static_cast<std::uint32_t>(word >> (kOpBits + kEntryBits)) & kEpochMask};
    if (ref.entry >= entries_.size()) return;  // only in a damaged file
    if (op == Op::free) {
      const State at = state_of(ref.entry);
      if (at.stage != Stage::free) settle(ref, at.stage, Stage::free);
    } else if (op == Op::publish && is_claimed(ref)) {
      // Named by the gate, so it was whole, and its words are not written again in this epoch.
      const auto record = read(ref);
      if (!record) return;  // settled and used again; or damaged, and collected as a claim
      const Ref replaced{record->replaced, record->replaced_epoch};
      // The old one first: were the new one live first, there would be two.
      if (replaced.entry < entries_.size()) settle(replaced, Stage::live, Stage::free);
      settle(ref, Stage::claimed, Stage::live);
    }
  }

  void settle(Ref ref, Stage from, Stage to) {
    Atom& word = entries_[ref.entry].state;
    std::uint64_t seen = word.load(std::memory_order_acquire);
    State at = state(seen);
    if (at.stage != from || at.epoch != ref.epoch) return;
    at.stage = to;
    // Acquire and release: whoever settles passes on what the gate showed it.
    word.compare_exchange_strong(seen, pack(at), std::memory_order_acq_rel,
                                 std::memory_order_acquire);
  }

  // --- Entries ---

  std::optional<Ref> claim_entry(const HostHash& host, std::uint64_t now_ms) {
    std::uint64_t start = 0;  // not the same for all, who would meet at the same free entry
    std::memcpy(&start, host.data(), sizeof start);
    const std::size_t n = entries_.size();
    for (std::size_t tried = 0; tried < n; ++tried) {
      const std::size_t i = (start % n + tried) % n;
      std::uint64_t seen = entries_[i].state.load(std::memory_order_acquire);
      State at = state(seen);
      if (at.stage != Stage::free) continue;
      at = {Stage::claimed, (at.epoch + 1) & kEpochMask, now_ms};
      // Release, so that whoever sees a word of the new record sees the claim; see write().
      if (entries_[i].state.compare_exchange_strong(seen, pack(at), std::memory_order_acq_rel,
                                                    std::memory_order_acquire))
        return Ref{static_cast<std::uint16_t>(i), at.epoch};
    }
    return std::nullopt;
  }

  // Writes the record of a claim. False: the claim was taken, or an earlier claimer, whose claim
  // was taken, woke up in here.
  bool write(Ref claim, const FailureRecord& record) {
    const auto words = words_of(record, claim.epoch);
    for (std::size_t i = 0; i < words.size(); ++i) {
      Atom& word = entries_[claim.entry].record[i];
      // Acquire: pairs with the CAS below of somebody who took the claim. If that is what is seen
      // here, the state shows it; if it comes after this load, the CAS fails.
      std::uint64_t seen = word.load(std::memory_order_acquire);
      if (!is_claimed(claim)) return false;
      if (!word.compare_exchange_strong(seen, words[i], std::memory_order_acq_rel,
                                        std::memory_order_acquire))
        return false;
    }
    return true;
  }

  // nullopt: it has another occupant by now, or is damaged.
  std::optional<FailureRecord> read(Ref ref) const {
    std::array<char, kFailureRecordWords * kBytesPerWord> bytes;
    for (std::size_t i = 0; i < kFailureRecordWords; ++i) {
      const std::uint64_t word = entries_[ref.entry].record[i].load(std::memory_order_acquire);
      if ((word & kEpochMask) != ref.epoch) return std::nullopt;
      for (std::size_t byte = 0; byte < kBytesPerWord; ++byte)
        bytes[i * kBytesPerWord + byte] = static_cast<char>(word >> (kEpochBits + byte * 8));
    }
    FailureRecord record;
    std::memcpy(&record, bytes.data(), sizeof record);
    return record;
  }

  static std::array<std::uint64_t, kFailureRecordWords> words_of(const FailureRecord& record,
                                                                 std::uint32_t epoch) {
    std::array<std::uint8_t, kFailureRecordWords * kBytesPerWord> bytes{};
    std::memcpy(bytes.data(), &record, sizeof record);
    std::array<std::uint64_t, kFailureRecordWords> words;
    for (std::size_t i = 0; i < words.size(); ++i) {
      words[i] = epoch;
      for (std::size_t byte = 0; byte < kBytesPerWord; ++byte)
        words[i] |= std::uint64_t{bytes[i * kBytesPerWord + byte]} << (kEpochBits + byte * 8);
    }
    return words;
  }

  // The host's live entry. All of the table is looked at, two words an entry: a thousand entries
  // take a few microseconds, and an index would be one more thing that can be wrong.
  std::optional<Found> find(const HostHash& host) const {
    FailureRecord sought{};
    sought.host_hash = host;
    const std::uint64_t begins = words_of(sought, 0)[0];
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const State at = state_of(i);
      if (at.stage != Stage::live) continue;
      if (entries_[i].record[0].load(std::memory_order_acquire) != (begins | at.epoch)) continue;
      const Ref ref{static_cast<std::uint16_t>(i), at.epoch};
      const auto record = read(ref);
      if (record && record->host_hash == host) return Found{ref, *record};
    }
    return std::nullopt;
  }

  // --- Who gives way ---

  // The host in whose place a new one comes; nullopt: there is room.
  std::optional<Ref> gives_way(std::uint64_t now_ms) const {
    std::size_t live = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i)
      live += state_of(i).stage == Stage::live;
    if (live < failure_hosts(entries_.size())) return std::nullopt;
    std::optional<Ref> stalest;
    Rank least{};
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const State at = state_of(i);
      if (at.stage != Stage::live) continue;
      const Ref ref{static_cast<std::uint16_t>(i), at.epoch};
      const Rank rank = rank_of(read(ref), now_ms);
      if (stalest && !(rank < least)) continue;
      stalest = ref;
      least = rank;
    }
    return stalest;
  }

  // See 8 above.
  struct Rank {
    int worth;
    std::uint64_t time_ms;
    auto operator<=>(const Rank&) const = default;
  };
  Rank rank_of(const std::optional<FailureRecord>& record, std::uint64_t now_ms) const {
    if (!record || is_stale(*record, now_ms)) return {0, 0};
    if (record->blacklisted == 0) return {1, record->last_failure_ms};
    return {2, record->last_attempt_ms};
  }

  // No entry is free: the oldest claim, whose claimer is dead or can claim another; if there is
  // none (only in a damaged file), any entry.
  std::optional<Ref> unclaimable(std::uint64_t now_ms) const {
    std::optional<Ref> oldest;
    std::int64_t oldest_age_ms = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const State at = state_of(i);
      if (at.stage == Stage::free) return std::nullopt;  // by now
      if (at.stage == Stage::live) continue;
      // The difference modulo 2^kTimeBits, signed: a claimer's clock may have been read later.
      const std::int64_t age_ms =
          static_cast<std::int64_t>((now_ms - at.claimed_ms) << (64 - kTimeBits)) >>
          (64 - kTimeBits);
      if (oldest && age_ms <= oldest_age_ms) continue;
      oldest = Ref{static_cast<std::uint16_t>(i), at.epoch};
      oldest_age_ms = age_ms;
    }
    return oldest ? oldest : gives_way(now_ms);
  }

  // --- What a record says ---

  bool counts(const RemoteHost& host) const {
    return rules_.max_failures != 0 && host.kind() != RemoteHost::Kind::none;
  }

  static std::uint64_t later(std::uint64_t a_ms, std::uint64_t b_ms) {
    return std::max(a_ms, b_ms);
  }

  // Whether the host starts from zero; see 5 and 6 above.
  bool is_stale(const FailureRecord& record, std::uint64_t now_ms) const {
    const bool blacklisted = record.blacklisted != 0;
    const std::uint64_t since_ms = blacklisted ? record.last_attempt_ms : record.last_failure_ms;
    const std::uint64_t lasts_ms =
        blacklisted ? rules_.blacklist_ms : std::max(rules_.blacklist_ms, kForgetFailures_ms);
    if (since_ms > now_ms) return since_ms - now_ms > kClockSlack_ms;
    return now_ms - since_ms >= lasts_ms;
  }

  static std::uint32_t failures_of(const FailureRecord& record) {
    std::uint64_t sum = record.other_failures;
    for (const FailureRecord::User& user : record.users)
      sum += user.failures;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, 0xffffffff));
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

  std::vector<HostFailures> list(std::uint64_t now_ms) {
    std::vector<HostFailures> hosts;
    for (int tries = 0; tries < kMaxListTries; ++tries) {
      hosts.clear();
      const std::uint64_t seen = settled_gate();
      for (std::size_t i = 0; i < entries_.size(); ++i) {
        const State at = state_of(i);
        if (at.stage != Stage::live) continue;
        const auto record = read({static_cast<std::uint16_t>(i), at.epoch});
        if (!record || is_stale(*record, now_ms)) continue;
        const auto end = std::find(record->text.begin(), record->text.end(), '\0');
        hosts.push_back({record->host_hash, std::string(record->text.begin(), end),
                         std::min(record->last_failure_ms, now_ms), status_of(*record, now_ms)});
      }
      if (!has_moved(seen)) break;
    }
    return hosts;
  }

  Atom* gate_;
  std::span<FailureEntry<Atom>> entries_;
  HashKey key_;
  FailureRules rules_;
};

}  // namespace sessreg
