// The records of failed authentications: a table of fixed size in shared memory, without locks.
//
// Concurrency: every function may be called by any number of processes and threads over the same
// memory. A process may be killed or stopped for ever between any two accesses; nobody waits for
// it. All zeros is a valid, empty table.
//
// A record is never changed in place. To count a failure, the host's record is copied to a free
// entry, with the change, and put in the old one's place in one step:
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
//   3. Only the claimer writes into a claimed entry, and only while the claim is its own: it loads
//      a word, looks at the state, and replaces the word by CAS. So a claimer that was taken for
//      dead and wakes up does no harm.
//   4. No index, count or time read from the memory is used unchecked, and every loop is bounded.
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
#include <type_traits>
#include <vector>

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
  std::uint32_t other_failures;        // of users no longer kept apart
  std::array<User, kUsersKept> users;  // the last to fail comes first
  std::array<char, kFailureTextBytes> text;
};
static_assert(sizeof(FailureRecord) == 152 && std::is_trivially_copyable_v<FailureRecord>);

inline constexpr std::uint16_t kNoFailureEntry = 0xffff;

// Of all users. A damaged record may have more than fit.
inline std::uint32_t failures_of(const FailureRecord& record) {
  std::uint64_t sum = record.other_failures;
  for (const FailureRecord::User& user : record.users)
    sum += user.failures;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, 0xffffffff));
}

// --- The store ---

// The record of the least rank gives way to that of a new host when there are as many as fit.
struct FailureRank {
  int worth = 0;  // 0: of nobody, also what is damaged
  std::uint64_t time_ms = 0;
  auto operator<=>(const FailureRank&) const = default;
};

enum class FailureEdit { none, publish, remove };

// Where one host may be counted: by itself, or as one of the networks around it.
inline constexpr std::size_t kMostPlaces = 3;

template <class Atom>
class FailureStore {
 public:
  using HostHash = std::array<std::uint8_t, 16>;

  // 2 … 0xffff entries.
  FailureStore(Atom& gate, std::span<FailureEntry<Atom>> entries)
      : gate_(&gate), entries_(entries) {}

  // The one way to change a host: calls edit(found, ret_next) until what it decides is done.
  // `found` is the host's record or nullptr; ret_next is what is to be published. Only the
  // last call counts. rank_of(record) is asked if another host has to give way. False: given
  // up; see kMaxTries.
  //
  // `hosts`, 1 … kMostPlaces: what is found is the record of the first of them that has one.
  template <class Rank, class Edit>
  bool change(std::span<const HostHash> hosts, std::uint64_t now_ms, Rank rank_of, Edit edit) {
    std::optional<Ref> claim;
    bool done = false;
    for (int tries = 0; tries < kMaxTries && !done; ++tries) {
      const std::uint64_t seen = settled_gate();
      const std::optional<Found> found = find(hosts);
      FailureRecord next;
      const FailureEdit wanted = edit(found ? &found->record : nullptr, next);
      if (wanted == FailureEdit::none || (wanted == FailureEdit::remove && !found)) {
        // A record that was found was live then. That none was found is true of one instant only
        // if nothing moved meanwhile.
        done = found || !has_moved(seen);
      } else if (wanted == FailureEdit::remove) {
        done = change_gate(seen, EntryOp::free, found->ref);
      } else if (!claim && !(claim = claim_entry(hosts.back(), now_ms))) {
        if (const auto taken = unclaimable(now_ms, rank_of))
          change_gate(seen, EntryOp::free, *taken);
      } else {
        const auto replaced = found ? std::optional(found->ref) : gives_way(rank_of);
        next.replaced = replaced ? replaced->entry : kNoFailureEntry;
        next.replaced_epoch = replaced ? replaced->epoch : 0;
        if (!write(*claim, next)) {
          give_back(*claim);
          claim.reset();
        } else if (change_gate(seen, EntryOp::publish, *claim)) {
          return true;
        }
      }
    }
    if (claim) give_back(*claim);
    return done;
  }

  // As many hosts have a record as fit.
  bool is_full() const { return live_entries() >= failure_hosts(entries_.size()); }

  // Every live record, all as they were at one instant. If others change the table during every
  // try, a host that changed meanwhile may be missing or come twice.
  std::vector<FailureRecord> read_all() {
    std::vector<FailureRecord> records;
    for (int tries = 0; tries < kMaxListTries; ++tries) {
      records.clear();
      const std::uint64_t seen = settled_gate();
      for (std::size_t i = 0; i < entries_.size(); ++i) {
        const EntryState at = state_of(i);
        if (at.stage != EntryStage::live) continue;
        if (const auto record = read({static_cast<std::uint16_t>(i), at.epoch}))
          records.push_back(*record);
      }
      if (!has_moved(seen)) break;
    }
    return records;
  }

 private:
  enum class EntryStage : std::uint8_t { free = 0, claimed = 1, live = 2 };  // 3: damage
  enum class EntryOp : std::uint8_t { none = 0, publish = 1, free = 2 };

  static constexpr unsigned kStageBits = 2;
  static constexpr unsigned kEpochBits = 24;
  static constexpr unsigned kOpBits = 2;
  static constexpr unsigned kEntryBits = 16;
  static constexpr unsigned kTimeBits = 64 - kStageBits - kEpochBits;
  static constexpr std::uint32_t kEpochMask = (1u << kEpochBits) - 1;
  static constexpr std::size_t kBytesPerWord = 5;
  static_assert(kBytesPerWord * 8 + kEpochBits == 64);
  static_assert(kFailureRecordWords * kBytesPerWord >= sizeof(FailureRecord));

  // A call gives up only if others change the memory without end: then a failure is not counted, or
  // a host is found not to be blacklisted.
  static constexpr int kMaxTries = 10'000;
  static constexpr int kMaxListTries = 100;

  struct EntryState {
    EntryStage stage;
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

  static std::uint64_t pack(const EntryState& s) {
    return s.claimed_ms << (kEpochBits + kStageBits) | std::uint64_t{s.epoch} << kStageBits |
           static_cast<std::uint64_t>(s.stage);
  }
  static EntryState state(std::uint64_t word) {
    return {static_cast<EntryStage>(word & ((1u << kStageBits) - 1)),
            static_cast<std::uint32_t>(word >> kStageBits) & kEpochMask,
            word >> (kEpochBits + kStageBits)};
  }
  // Acquire: pairs with the CAS that made it, so the record of a live entry is seen.
  EntryState state_of(std::size_t entry) const {
    return state(entries_[entry].state.load(std::memory_order_acquire));
  }
  bool is_claimed(Ref ref) const {
    const EntryState at = state_of(ref.entry);
    return at.stage == EntryStage::claimed && at.epoch == ref.epoch;
  }

  // --- The gate ---

  // Needs no gate: the gate never named this claim, and nobody decides by it. Does nothing if
  // the claim was taken.
  void give_back(Ref claim) { settle(claim, EntryStage::claimed, EntryStage::free); }

  // The gate, with the operation it names settled.
  std::uint64_t settled_gate() {
    // Acquire: pairs with the CAS that made it, so the record it publishes is seen.
    const std::uint64_t word = gate_->load(std::memory_order_acquire);
    settle(word);
    return word;
  }

  bool has_moved(std::uint64_t seen) const {
    // Comes after the loads of the look, as they are all acquire.
    return gate_->load(std::memory_order_acquire) != seen;
  }

  bool change_gate(std::uint64_t seen, EntryOp op, Ref ref) {
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

  // Does what is left of the operation that the gate names. Harmless if it is done already, or the
  // gate has long moved on: then the epochs no longer match.
  void settle(std::uint64_t word) {
    const auto op = static_cast<EntryOp>(word & ((1u << kOpBits) - 1));
    const Ref ref{static_cast<std::uint16_t>(word >> kOpBits),
                  static_cast<std::uint32_t>(word >> (kOpBits + kEntryBits)) & kEpochMask};
    if (ref.entry >= entries_.size()) return;  // only in a damaged file
    if (op == EntryOp::free) {
      const EntryState at = state_of(ref.entry);
      if (at.stage != EntryStage::free) settle(ref, at.stage, EntryStage::free);
    } else if (op == EntryOp::publish && is_claimed(ref)) {
      // Named by the gate, so it was whole, and its words are not written again in this epoch.
      const auto record = read(ref);
      if (!record) return;  // settled and used again; or damaged, and collected as a claim
      const Ref replaced{record->replaced, record->replaced_epoch};
      // The old one first: were the new one live first, there would be two.
      if (replaced.entry < entries_.size()) settle(replaced, EntryStage::live, EntryStage::free);
      settle(ref, EntryStage::claimed, EntryStage::live);
    }
  }

  void settle(Ref ref, EntryStage from, EntryStage to) {
    Atom& word = entries_[ref.entry].state;
    std::uint64_t seen = word.load(std::memory_order_acquire);
    EntryState at = state(seen);
    if (at.stage != from || at.epoch != ref.epoch) return;
    at.stage = to;
    // Acquire and release: whoever settles passes on what the gate showed it.
    word.compare_exchange_strong(seen, pack(at), std::memory_order_acq_rel,
                                 std::memory_order_acquire);
  }

  // --- Entries ---

  std::optional<Ref> claim_entry(const HostHash& host, std::uint64_t now_ms) {
    std::uint64_t start = 0;  // differs, or all would meet at the same free entry
    std::memcpy(&start, host.data(), sizeof start);
    const std::size_t n = entries_.size();
    for (std::size_t tried = 0; tried < n; ++tried) {
      const std::size_t i = (start % n + tried) % n;
      std::uint64_t seen = entries_[i].state.load(std::memory_order_acquire);
      EntryState at = state(seen);
      if (at.stage != EntryStage::free) continue;
      at = {EntryStage::claimed, (at.epoch + 1) & kEpochMask, now_ms};
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
      // Acquire: pairs with the CAS below by whoever took the claim. If its word is seen here, the
      // state shows the loss; if it comes after this load, the CAS fails.
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

  // The live entry of the first of these hosts that has one; see change(). The whole table is
  // searched, two words an entry: a thousand entries take a few microseconds, and an index would be
  // one more thing that can be wrong.
  std::optional<Found> find(std::span<const HostHash> hosts) const {
    std::array<std::uint64_t, kMostPlaces> begins{};
    std::transform(hosts.begin(), hosts.end(), begins.begin(), begin_of);
    std::optional<Found> found;
    for (std::size_t i = 0; i < entries_.size() && !hosts.empty(); ++i) {
      const EntryState at = state_of(i);
      if (at.stage != EntryStage::live) continue;
      const std::uint64_t word = entries_[i].record[0].load(std::memory_order_acquire);
      const auto end = begins.begin() + static_cast<std::ptrdiff_t>(hosts.size());
      if (std::find(begins.begin(), end, word - at.epoch) == end) continue;
      const Ref ref{static_cast<std::uint16_t>(i), at.epoch};
      const auto record = read(ref);
      if (!record) continue;
      const auto host = std::find(hosts.begin(), hosts.end(), record->host_hash);
      if (host == hosts.end()) continue;
      found = Found{ref, *record};
      hosts = hosts.first(static_cast<std::size_t>(host - hosts.begin()));
    }
    return found;
  }

  // The first word of a record of that host, without its epoch.
  static std::uint64_t begin_of(const HostHash& host) {
    std::uint64_t word = 0;
    for (std::size_t byte = 0; byte < kBytesPerWord; ++byte)
      word |= std::uint64_t{host[byte]} << (kEpochBits + byte * 8);
    return word;
  }

  std::size_t live_entries() const {
    std::size_t live = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i)
      live += state_of(i).stage == EntryStage::live;
    return live;
  }

  // --- Who gives way ---

  // The host that gives way to a new one; nullopt: there is room.
  template <class Rank>
  std::optional<Ref> gives_way(Rank rank_of) const {
    if (!is_full()) return std::nullopt;
    std::optional<Ref> stalest;
    FailureRank least;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const EntryState at = state_of(i);
      if (at.stage != EntryStage::live) continue;
      const Ref ref{static_cast<std::uint16_t>(i), at.epoch};
      const auto record = read(ref);
      const FailureRank rank = record ? rank_of(*record) : FailureRank{};
      if (stalest && !(rank < least)) continue;
      stalest = ref;
      least = rank;
    }
    return stalest;
  }

  // To free when no entry is: the oldest claim, whose claimer is dead or can claim another; if
  // there is none (only in a damaged file), any entry.
  template <class Rank>
  std::optional<Ref> unclaimable(std::uint64_t now_ms, Rank rank_of) const {
    std::optional<Ref> oldest;
    std::int64_t oldest_age_ms = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const EntryState at = state_of(i);
      if (at.stage == EntryStage::free) return std::nullopt;  // by now
      if (at.stage == EntryStage::live) continue;
      // The difference modulo 2^kTimeBits, signed: a claimer's clock may have been read later.
      const std::int64_t age_ms =
          static_cast<std::int64_t>((now_ms - at.claimed_ms) << (64 - kTimeBits)) >>
          (64 - kTimeBits);
      if (oldest && age_ms <= oldest_age_ms) continue;
      oldest = Ref{static_cast<std::uint16_t>(i), at.epoch};
      oldest_age_ms = age_ms;
    }
    return oldest ? oldest : gives_way(rank_of);
  }

  Atom* gate_;
  std::span<FailureEntry<Atom>> entries_;
};

}  // namespace sessreg
