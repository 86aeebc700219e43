// The table of slots: claiming, placement, and consistent reading. Who holds a seat is gate.h's.
//
// Concurrency: every function may be called by any number of processes and threads over the same
// memory.
//
// Placement is the index. The sessions of a user stand at the user's home (a slot index made of the
// hash of the name) or after it, modulo the number of slots; the home's stray word says how far. Those
// with a device key have a home of their own, so that looking for one is linear in the user's devices,
// and not in how far the user's other sessions are spread.
// The order that keeps this true: claim, raise the stray word, and only then take a seat. Every
// claim raises the word's version even when the distance does not grow, so a distance is lowered
// only if no claim came in between: read the word, look at the slots, CAS the word.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "registry/layout.h"
#include "registry/record.h"
#include "registry/words.h"

namespace sessreg {

enum class Home { of_user, of_devices };

struct Claimer {
  std::uint32_t pid;
  std::uint32_t hash;  // of the start time; cut to the width of the field
};

template <class Atom>
class SlotTable {
 public:
  explicit SlotTable(std::span<Slot<Atom>> slots)
      : slots_(slots), widths_(static_cast<std::uint32_t>(slots.size())) {}

  const Widths& widths() const { return widths_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(slots_.size()); }
  Slot<Atom>& operator[](std::uint32_t slot) const { return slots_[slot]; }

  // --- FREE <-> CLAIMED ---

  // Claims the first free slot at or after `start` (modulo the number of slots) for a session of
  // that user, whose home is `of`; nullopt: none free.
  std::optional<SlotRef> claim(std::uint64_t start, const UserHash& user, Claimer claimer,
                               Home of = Home::of_user) {
    const std::uint32_t n = size();
    const std::uint32_t bucket = home(user, of);
    auto i = static_cast<std::uint32_t>(start % n);
    // In a large table each of these is a cache miss: let them happen at the same time.
    __builtin_prefetch(&slots_[bucket].stray, 1);
    prefetch(i);
    for (std::uint32_t tried = 0; tried < n; ++tried, i = i + 1 == n ? 0 : i + 1) {
      std::uint64_t seen = slots_[i].state.load(std::memory_order_relaxed);
      const StateWord word = widths_.state(seen);
      if (word.stage != Stage::free) continue;
      const StateWord mine{Stage::claimed, widths_.next_generation(word.generation), claimer.pid,
                           claimer.hash};
      // Acquire: pairs with the release that freed the slot. A failure means that somebody else
      // claimed it, so go on to the next.
      if (!slots_[i].state.compare_exchange_strong(
              seen, widths_.pack(mine), std::memory_order_acquire, std::memory_order_relaxed))
        continue;
      raise_stray(bucket, i);
      return SlotRef{i, mine.generation};
    }
    return std::nullopt;
  }

  // Writes the record of a claimed slot. Only the claimer may, and only before its gate operation.
  void write_record(SlotRef claim, const RecordImage& record) {
    Slot<Atom>& slot = slots_[claim.slot];
    std::array<std::uint64_t, kRecordWords> words;
    std::memcpy(words.data(), &record, sizeof record);
    words[kVictimSlotWord] = std::uint64_t{record.victim_slot} << 32 | claim.epoch;
    // Release fence: a reader that sees any of these stores also sees the claim when it reads the
    // state again (it has an acquire fence before that), so it drops what it copied.
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kRecordWords; ++i)
      slot.record[i].store(words[i], std::memory_order_relaxed);
    slot.last_activity.store(activity_word(claim.epoch, record.opened_boottime_ms),
                             std::memory_order_relaxed);
    slot.mark.store(mark_word(claim.epoch, MarkStage::none), std::memory_order_relaxed);
  }

  // Names the victim of a MOVE in the record of a slot that is still only claimed.
  void write_victim(SlotRef claim, std::uint32_t victim_slot, std::uint32_t victim_generation,
                    VictimFate fate) {
    Slot<Atom>& slot = slots_[claim.slot];
    // Each shares its word with one other field: the epoch, and the fate.
    slot.record[kVictimSlotWord].store(std::uint64_t{victim_slot} << 32 | claim.epoch,
                                       std::memory_order_relaxed);
    slot.record[kVictimGenerationWord].store(
        static_cast<std::uint64_t>(fate) << 32 | victim_generation, std::memory_order_relaxed);
  }

  // Has the record of a slot that is still only claimed count in these groups.
  void write_groups(SlotRef claim, std::uint64_t groups) {
    slots_[claim.slot].record[kGroupsWord].store(groups, std::memory_order_relaxed);
  }

  // The claimer gives its claim back.
  void abandon(SlotRef claim) {
    change_stage(claim.slot, claim.epoch, Stage::claimed, Stage::free);
  }

  // --- Stages ---

  StateWord state(std::uint32_t slot) const {
    return widths_.state(slots_[slot].state.load(std::memory_order_acquire));
  }

  bool is_at(std::uint32_t slot, std::uint32_t generation, Stage stage) const {
    if (slot >= slots_.size()) return false;  // only in a damaged file
    const StateWord word = state(slot);
    return word.stage == stage && word.generation == generation;
  }

  // Harmless if it is done already: the generation no longer matches.
  bool change_stage(std::uint32_t slot, std::uint32_t generation, Stage from, Stage to) {
    if (slot >= slots_.size()) return false;
    std::uint64_t seen = slots_[slot].state.load(std::memory_order_acquire);
    StateWord word = widths_.state(seen);
    if (word.stage != from || word.generation != generation) return false;
    word.stage = to;
    word.generation = widths_.next_generation(generation);
    if (to == Stage::free) word.claimer_pid = word.claimer_hash = 0;
    // Acquire and release: whoever settles passes on what the gate showed it.
    return slots_[slot].state.compare_exchange_strong(
        seen, widths_.pack(word), std::memory_order_acq_rel, std::memory_order_acquire);
  }

  // --- Users ---

  // An even slot for the user, an odd one for the devices: no bucket's stray word is of both. Sessions
  // that are spread, because their user has no limit, stray far, and would make each look for a device
  // whose home were theirs as long.
  std::uint32_t home(const UserHash& user, Home of = Home::of_user) const {
    if (size() < 2) return 0;
    // The hash is keyed, so each part is as good as a hash of its own. 32 bits, as this is divided for
    // many a slot of a look.
    std::array<std::uint32_t, 4> parts;
    std::memcpy(parts.data(), user.data(), sizeof parts);
    const std::uint32_t pair = parts[of == Home::of_user ? 0 : 2] % (size() / 2);
    return 2 * pair + (of == Home::of_user ? 0 : 1);
  }

  bool is_user(std::uint32_t slot, const UserHash& user) const {
    std::array<std::uint64_t, 2> words;
    std::memcpy(words.data(), user.data(), sizeof words);
    const auto& record = slots_[slot].record;
    return record[kUserHashWord].load(std::memory_order_relaxed) == words[0] &&
           record[kUserHashWord + 1].load(std::memory_order_relaxed) == words[1];
  }

  // Calls visit(slot, state) once for each slot that may hold a session of that user and is not free.
  // Linear in the distances from both homes.
  template <class Visit>
  void for_each_near_home(const UserHash& user, Visit visit) {
    const std::uint32_t bucket = home(user, Home::of_user);
    const std::uint32_t visited = for_each_behind(bucket, visit);
    for_each_behind(home(user, Home::of_devices), [&](std::uint32_t slot, const StateWord& at) {
      if (distance(bucket, slot) > visited) visit(slot, at);
    });
  }

  // The same of the slots that may hold a session whose home is that bucket. Returns how far it went;
  // the distance shrinks here when it is much larger than it need be.
  // A look along many is made of cache misses, and of each page's first address: `lines` of each slot
  // are asked for some slots ahead.
  template <class Visit>
  std::uint32_t for_each_behind(std::uint32_t bucket, Visit visit, std::size_t lines = 1) {
    constexpr std::uint32_t kAhead = 8;
    const std::uint32_t n = size();
    Atom& word = slots_[bucket].stray;
    // Acquire: pairs with the raising of a claim, so that the claim itself is seen.
    std::uint64_t seen = word.load(std::memory_order_acquire);
    const StrayWord stray = Widths::stray(seen);
    const std::uint32_t farthest = std::min(stray.distance, n - 1);
    // Whose a slot is has to be read from its record, which is one more cache miss: of the nearer half
    // only if the farther half has nobody of this bucket.
    bool is_needed = farthest == 0;
    for (std::uint32_t offset = 0, i = bucket; offset <= farthest;
         ++offset, i = i + 1 == n ? 0 : i + 1) {
      if (offset + kAhead <= farthest) prefetch_head((i + kAhead) % n, lines);
      const StateWord at = state(i);
      if (at.stage == Stage::free) continue;
      if (!is_needed && 2 * offset >= farthest) is_needed = may_be_of(i, at, bucket);
      visit(i, at);
    }
    if (!is_needed) {
      std::uint32_t needed = farthest / 2;
      const auto slot_at = [&](std::uint32_t offset) {
        return static_cast<std::uint32_t>((std::uint64_t{bucket} + offset) % n);
      };
      while (needed != 0 && !may_be_of(slot_at(needed), state(slot_at(needed)), bucket))
        --needed;
      word.compare_exchange_strong(seen, Widths::pack(StrayWord{stray.version + 1, needed}),
                                   std::memory_order_acq_rel, std::memory_order_relaxed);
    }
    return farthest;
  }

  // --- Devices ---

  // The session of that device, of that user: seated, parked or exempt. To be believed only as long
  // as the gate does not move. `ret_has_notes`: another occupancy of it waits as evicted; none can
  // begin to without a session that is found, or a move of the gate.
  std::optional<std::pair<std::uint32_t, StateWord>> find_device(const UserHash& user,
                                                                 const DeviceHash& device,
                                                                 bool& ret_has_notes) {
    std::optional<std::pair<std::uint32_t, StateWord>> found;
    for_each_behind(
        home(user, Home::of_devices),
        [&](std::uint32_t slot, const StateWord& at) {
          const bool is_session =
              at.stage == Stage::seated || at.stage == Stage::parked || at.stage == Stage::exempt;
          if (!is_session && at.stage != Stage::evicted) return;
          // The user's hash is beside the state, the device's on other cache lines.
          if (!is_user(slot, user) || !is_device(slot, device)) return;
          if (is_session)
            found = {slot, at};
          else
            ret_has_notes = true;
        },
        2);
    return found;
  }

  // --- Reading and marking ---

  // A consistent copy of an occupied slot. False: it is free or claimed, or changed during each of
  // a few tries, and nothing in `ret` means anything.
  bool snapshot(std::uint32_t index, Snapshot& ret) const {
    const Slot<Atom>& slot = slots_[index];
    for (int attempt = 0; attempt < 8; ++attempt) {
      const std::uint64_t before = slot.state.load(std::memory_order_acquire);
      ret.state = widths_.state(before);
      if (ret.state.stage == Stage::free || ret.state.stage == Stage::claimed ||
          ret.state.stage > Stage::exempt)
        return false;
      for (std::size_t i = 0; i < kRecordWords; ++i)
        put_word(ret.record, i, slot.record[i].load(std::memory_order_relaxed));
      const std::uint64_t activity = slot.last_activity.load(std::memory_order_relaxed);
      // Acquire: pairs with the release that completed the mark, so its reason is seen whole.
      const std::uint64_t mark = slot.mark.load(std::memory_order_acquire);
      const bool is_marked = mark >> 32 == ret.record.epoch && (mark & 3) != 0;
      if (is_marked)  // else there is none, and its cache line need not be read
        for (std::size_t i = 0; i < kReasonWords; ++i)
          put_word(ret.reason, i, slot.reason[i].load(std::memory_order_relaxed));
      std::atomic_thread_fence(std::memory_order_acquire);
      if (slot.state.load(std::memory_order_relaxed) != before) continue;
      ret.ref = {index, ret.record.epoch};
      const bool current = activity >> 32 == ret.record.epoch;
      ret.last_activity_ms = current ? time_of(activity) : 0;
      ret.use_is_told = current && (activity & kUseIsTold) != 0;
      ret.mark =
          mark >> 32 == ret.record.epoch ? static_cast<MarkStage>(mark & 3) : MarkStage::none;
      ret.grace_s = static_cast<std::uint32_t>(mark & 0xffff) >> 2;
      ret.reason_checksum = static_cast<std::uint16_t>(mark >> 16);
      return true;
    }
    return false;
  }

  // Whether its occupant, if it has one, is revoked.
  bool is_marked(std::uint32_t slot) const {
    return (slots_[slot].mark.load(std::memory_order_relaxed) & 3) != 0;
  }

  // CLOCK_BOOTTIME of the last activity, rounded down to kActivityUnit_ms.
  std::uint64_t last_activity_ms(std::uint32_t slot) const {
    return time_of(slots_[slot].last_activity.load(std::memory_order_relaxed));
  }

  // Sets the claim's last activity. Only the claimer may, and only while the slot is claimed:
  // nobody else writes the word then, as its epoch fits no other occupancy.
  void stamp(SlotRef claim, std::uint64_t boottime_ms) {
    slots_[claim.slot].last_activity.store(activity_word(claim.epoch, boottime_ms),
                                           std::memory_order_relaxed);
  }

  // Moves the last activity of that occupancy forward, and returns the word as it is now; nullopt:
  // the slot has another occupant. If this ends a rest of more than half of longest_rest_ms(), or
  // the end of one is still being made known, the word has kWaking: the caller moves the gate, then
  // calls woken().
  std::optional<std::uint64_t> touch(SlotRef ref, std::uint64_t boottime_ms, UseIsTold told,
                                     std::uint64_t (*clock)()) {
    Atom& word = slots_[ref.slot].last_activity;
    const std::uint64_t mine = activity_word(ref.epoch, boottime_ms);
    // Acquire: pairs with woken(), so that whoever finds the bit gone sees what moved the gate.
    std::uint64_t seen = word.load(std::memory_order_acquire);
    while (seen >> 32 == ref.epoch) {
      std::uint64_t next = std::max(seen & ~kActivityBitsMask, mine & ~kActivityBitsMask) |
                           (seen & kActivityBitsMask);
      if (told != UseIsTold::as_before) next &= ~std::uint64_t{kUseIsTold};
      if (told == UseIsTold::yes) next |= kUseIsTold;
      // By the clock as it is between load and CAS, not by the time given: several times that
      // were taken long ago could each seem to end only a short rest. Sessions that are never
      // idle are spared the clock.
      const std::uint64_t rest_ms = longest_rest_ms(ref.slot);
      if (rest_ms != 0 && clock() >= time_of(seen) + rest_ms / 2) next |= kWaking;
      if (next == seen || word.compare_exchange_strong(seen, next, std::memory_order_acq_rel,
                                                       std::memory_order_acquire))
        return next;
    }
    return std::nullopt;
  }

  // The gate has moved since the word was `seen`. If it has changed, whoever
  // changed it does the same.
  void woken(std::uint32_t slot, std::uint64_t seen) {
    slots_[slot].last_activity.compare_exchange_strong(
        seen, seen & ~std::uint64_t{kWaking}, std::memory_order_release, std::memory_order_relaxed);
  }

  // Marks that occupancy as revoked (`how`: by whom). The first to mark it writes the reason (if
  // that one dies half-way, the revocation has no reason); where that was its user, a later mark
  // by others takes the mark over, and leaves the reason. False: another occupant.
  bool mark_revoked(SlotRef ref, std::span<const char> reason, std::uint16_t checksum,
                    std::uint32_t grace_s = 0, MarkStage how = MarkStage::revoked) {
    Slot<Atom>& slot = slots_[ref.slot];
    std::uint64_t seen = mark_word(ref.epoch, MarkStage::none);
    const std::uint64_t writing = mark_word(ref.epoch, MarkStage::writing, 0, grace_s);
    if (!slot.mark.compare_exchange_strong(seen, writing, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
      // Release: whoever sees this sees the reason as well; it fails only if another taker was
      // faster, or the slot has another occupant.
      if (seen >> 32 == ref.epoch && how == MarkStage::revoked &&
          static_cast<MarkStage>(seen & 3) == MarkStage::revoked_by_its_user)
        slot.mark.compare_exchange_strong(
            seen, (seen & ~std::uint64_t{3}) | static_cast<std::uint64_t>(how),
            std::memory_order_acq_rel, std::memory_order_relaxed);
      return seen >> 32 == ref.epoch;
    }
    std::array<char, kReasonBytes> bytes{};
    std::copy_n(reason.begin(), std::min(reason.size(), bytes.size()), bytes.begin());
    std::array<std::uint64_t, kReasonWords> words;
    std::memcpy(words.data(), bytes.data(), sizeof words);
    for (std::size_t i = 0; i < kReasonWords; ++i)
      slot.reason[i].store(words[i], std::memory_order_relaxed);
    seen = writing;
    // Release: publishes the reason to readers of the mark.
    return slot.mark.compare_exchange_strong(seen, mark_word(ref.epoch, how, checksum, grace_s),
                                             std::memory_order_release, std::memory_order_relaxed);
  }

  // --- Words of a record that settling needs ---

  // Whose seat an occupant took over.
  struct Loser {
    std::uint32_t slot;
    std::uint32_t generation;
    VictimFate fate;
  };
  // To be believed only if the slot's state is read again after an acquire fence.
  Loser victim_of(std::uint32_t slot) const {
    const auto& record = slots_[slot].record;
    const std::uint64_t generation = record[kVictimGenerationWord].load(std::memory_order_relaxed);
    return {
        static_cast<std::uint32_t>(record[kVictimSlotWord].load(std::memory_order_relaxed) >> 32),
        static_cast<std::uint32_t>(generation), static_cast<VictimFate>(generation >> 32)};
  }
  // What follows comes from the words of the record, and means nothing if the slot has
  // another occupant by now.

  // How long it may rest before its seat may be taken from it: until it is idle, and without a
  // process also until its time to live is over. 0: for ever.
  std::uint64_t longest_rest_ms(std::uint32_t slot) const {
    const std::uint64_t word = slots_[slot].record[kIdleWord].load(std::memory_order_relaxed);
    const std::uint64_t idle_s = word & 0xffffffff, ttl_s = word >> 32;
    if (ttl_s == 0 || (idle_s != 0 && idle_s <= ttl_s) || has_process_in(slot))
      return idle_s * 1000;
    return ttl_s * 1000;
  }
  std::uint64_t groups_of(std::uint32_t slot) const {
    return slots_[slot].record[kGroupsWord].load(std::memory_order_relaxed);
  }
  UserHash user_of(std::uint32_t slot) const {
    const std::array<std::uint64_t, 2> words = {
        slots_[slot].record[kUserHashWord].load(std::memory_order_relaxed),
        slots_[slot].record[kUserHashWord + 1].load(std::memory_order_relaxed)};
    UserHash user;
    std::memcpy(user.data(), words.data(), sizeof user);
    return user;
  }
  std::uint32_t epoch_of(std::uint32_t slot) const {
    return static_cast<std::uint32_t>(
        slots_[slot].record[kVictimSlotWord].load(std::memory_order_relaxed));
  }
  bool is_reservation(std::uint32_t slot) const {
    return slots_[slot].record[kKindWord].load(std::memory_order_relaxed) >> 32 ==
           static_cast<std::uint64_t>(RecordKind::reservation);
  }
  bool has_process_in(std::uint32_t slot) const {
    const std::uint64_t word = slots_[slot].record[kUserLimitWord].load(std::memory_order_relaxed);
    return !has(static_cast<RecordFlags>(word >> 32), RecordFlags::no_process);
  }
  bool is_device(std::uint32_t slot, const DeviceHash& device) const {
    std::array<std::uint64_t, 2> words;
    std::memcpy(words.data(), device.data(), sizeof words);
    const auto& record = slots_[slot].record;
    return record[kDeviceWord].load(std::memory_order_relaxed) == words[0] &&
           record[kDeviceWord + 1].load(std::memory_order_relaxed) == words[1] &&
           !has_process_in(slot);
  }
  std::int32_t user_limit_of(std::uint32_t slot) const {
    return static_cast<std::int32_t>(
        slots_[slot].record[kUserLimitWord].load(std::memory_order_relaxed) & 0xffffffff);
  }

 private:
  static constexpr std::size_t kUserHashWord = offsetof(RecordImage, user_hash) / 8;
  static constexpr std::size_t kDeviceWord = offsetof(RecordImage, leader_start_ticks) / 8;
  static constexpr std::size_t kVictimSlotWord = offsetof(RecordImage, victim_slot) / 8;
  static constexpr std::size_t kVictimGenerationWord = offsetof(RecordImage, victim_generation) / 8;
  static constexpr std::size_t kGroupsWord = offsetof(RecordImage, groups) / 8;
  static constexpr std::size_t kIdleWord = offsetof(RecordImage, idle_after_s) / 8;
  static constexpr std::size_t kKindWord = offsetof(RecordImage, kind) / 8;
  static constexpr std::size_t kUserLimitWord = offsetof(RecordImage, user_limit) / 8;

  template <class T>
  static void put_word(T& ret, std::size_t index, std::uint64_t word) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof word == 0);
    std::memcpy(reinterpret_cast<char*>(&ret) + index * sizeof word, &word, sizeof word);
  }

  static constexpr std::size_t kLine_bytes = 64;

  // All of it, for writing.
  void prefetch(std::uint32_t slot) const {
    const char* const begin = reinterpret_cast<const char*>(&slots_[slot]);
    for (std::size_t offset = 0; offset < sizeof(Slot<Atom>); offset += kLine_bytes)
      __builtin_prefetch(begin + offset, 1);
  }
  // Its first lines, for reading.
  void prefetch_head(std::uint32_t slot, std::size_t lines) const {
    const char* const begin = reinterpret_cast<const char*>(&slots_[slot]);
    for (std::size_t line = 0; line < lines; ++line)
      __builtin_prefetch(begin + line * kLine_bytes, 0);
  }

  std::uint32_t distance(std::uint32_t bucket, std::uint32_t slot) const {
    return slot >= bucket ? slot - bucket : slot + size() - bucket;
  }

  // Whether its occupant may have that bucket for a home. The record of a claim may not be written
  // yet. Which of its user's two homes a session has is not asked: one too many costs a look.
  bool may_be_of(std::uint32_t slot, const StateWord& at, std::uint32_t bucket) const {
    if (at.stage == Stage::free) return false;
    if (at.stage == Stage::claimed) return true;
    return home(user_of(slot), bucket % 2 == 0 ? Home::of_user : Home::of_devices) == bucket;
  }

  void raise_stray(std::uint32_t bucket, std::uint32_t slot) {
    const std::uint32_t offset = distance(bucket, slot);
    Atom& word = slots_[bucket].stray;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    for (;;) {
      const StrayWord stray = Widths::stray(seen);
      const StrayWord next{stray.version + 1, std::max(stray.distance, offset)};
      // Release: whoever reads the new word sees the claim.
      if (word.compare_exchange_strong(seen, Widths::pack(next), std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
        return;
    }
  }

  static constexpr std::uint64_t kActivityBitsMask = kWaking | kUseIsTold;

  static std::uint64_t activity_word(std::uint32_t epoch, std::uint64_t boottime_ms) {
    const std::uint64_t units =
        std::min(boottime_ms / kActivityUnit_ms, std::uint64_t{0xffffffff} >> 2);
    return std::uint64_t{epoch} << 32 | units << 2;
  }
  static std::uint64_t time_of(std::uint64_t activity) {
    return ((activity & 0xffffffff) >> 2) * kActivityUnit_ms;
  }

  static std::uint64_t mark_word(std::uint32_t epoch, MarkStage stage, std::uint16_t checksum = 0,
                                 std::uint32_t grace_s = 0) {
    return std::uint64_t{epoch} << 32 | std::uint64_t{checksum} << 16 |
           std::min(grace_s, kLongestGrace_s) << 2 | static_cast<std::uint64_t>(stage);
  }

  std::span<Slot<Atom>> slots_;
  Widths widths_;
};

}  // namespace sessreg
