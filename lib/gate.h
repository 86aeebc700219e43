// The gate: an exact, crash-proof, lock-free count of seats.
//
// Concurrency: every function may be called by any number of processes and threads over the same
// memory. A process may be killed or stopped for ever between any two of its accesses.
//
// Invariants, each true whenever the gate word changes:
//   1. count == number of slots that are seated once the operation the gate names is settled.
//   2. At most that one operation is unsettled, and settle() by anybody completes it.
//   3. Only a gate operation makes a slot seated, or takes seated away.
//   4. A record is written only while its slot is claimed, by the claimer alone.
//
// Every operation is one loop: load the gate; settle what it names; look (are the slots as
// expected? is there room?); CAS the gate to the new operation; settle that. What was looked at is
// valid because the gate did not move in between. A process that dies before its CAS has changed
// nothing that counts; after it, anybody finishes for it. README.md in this folder argues it step
// by step.
#pragma once

#include <atomic>
#include <cstring>
#include <optional>
#include <span>

#include "layout.h"
#include "words.h"

namespace sessreg {

// One occupancy of one slot. `epoch` is the generation of the claim that began it, so a SlotRef
// never fits a later occupant.
struct SlotRef {
  std::uint32_t slot = kNoSlot;
  std::uint32_t epoch = 0;
  bool operator==(const SlotRef&) const = default;
};

struct Claimer {
  std::uint32_t pid;
  std::uint32_t hash;  // of the start time; cut to the width of the field
};

enum class AddResult {
  done,
  site_full,            // count >= limit
  table_full,           // count >= capacity
  stale_configuration,  // the limit in the registry comes from another configuration than the
                        // caller's
};

// The limit the caller read from its configuration.
struct ConfiguredLimit {
  std::uint32_t identity;
  std::int32_t limit;
  bool operator==(const ConfiguredLimit&) const = default;
};

struct Snapshot {
  SlotRef ref;
  StateWord state;
  RecordImage record;
  std::uint64_t last_activity_ms;  // CLOCK_BOOTTIME; 0: none
  MarkStage mark;
  std::uint16_t reason_checksum;
  std::array<char, kReasonBytes> reason;
};

template <class Atom>
class Gate {
 public:
  using SlotT = Slot<Atom>;

  // The caller keeps the memory mapped. `slots` and `capacity` were checked against the file's size
  // and are kept here: nothing in the file is used as an index unchecked.
  Gate(SharedWords<Atom>& shared, std::span<SlotT> slots, std::uint32_t capacity)
      : shared_(&shared),
        slots_(slots),
        capacity_(capacity),
        widths_(static_cast<std::uint32_t>(slots.size())) {}

  const Widths& widths() const { return widths_; }
  std::uint32_t slot_count() const { return static_cast<std::uint32_t>(slots_.size()); }
  std::uint32_t capacity() const { return capacity_; }

  // --- Claiming: FREE <-> CLAIMED, the only transitions without the gate ---

  // Claims the first free slot at or after `hint` (modulo the number of slots); nullopt: none free.
  std::optional<SlotRef> claim(std::uint64_t hint, Claimer claimer) {
    const std::uint32_t n = slot_count();
    std::uint32_t i = static_cast<std::uint32_t>(hint % n);
    for (std::uint32_t tried = 0; tried < n; ++tried, i = i + 1 == n ? 0 : i + 1) {
      std::uint64_t seen = slots_[i].state.load(std::memory_order_relaxed);
      const StateWord word = widths_.state(seen);
      if (word.stage != Stage::free) continue;
      const StateWord mine{Stage::claimed, widths_.next_generation(word.generation), claimer.pid,
                           claimer.hash};
      // Acquire: pairs with the release that freed the slot. A failure means that somebody else
      // claimed it, so go on to the next.
      if (slots_[i].state.compare_exchange_strong(
              seen, widths_.pack(mine), std::memory_order_acquire, std::memory_order_relaxed))
        return SlotRef{i, mine.generation};
    }
    return std::nullopt;
  }

  // Writes the record of a claimed slot. Only the claimer may, and only before its gate operation.
  void write_record(SlotRef claim, RecordImage record) {
    SlotT& slot = slots_[claim.slot];
    record.epoch = claim.epoch;
    std::array<std::uint64_t, kRecordWords> words;
    std::memcpy(words.data(), &record, sizeof record);
    // Release fence: a reader that sees any of these stores also sees the claim when it reads the
    // state again (it has an acquire fence before that), so it drops what it copied.
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kRecordWords; ++i)
      slot.record[i].store(words[i], std::memory_order_relaxed);
    slot.last_activity.store(activity_word(claim.epoch, record.opened_boottime_ms),
                             std::memory_order_relaxed);
    slot.mark.store(mark_word(claim.epoch, 0, MarkStage::none), std::memory_order_relaxed);
  }

  // The claimer gives its claim back.
  void abandon(SlotRef claim) {
    change_stage(claim.slot, claim.epoch, Stage::claimed, Stage::free);
  }

  // Frees the claim of a dead process. It may have died after its gate operation, so that is
  // settled first; then the slot is not claimed any more and this does nothing. The claimer was
  // seen dead before this gate load, so it cannot make the gate name the slot later.
  bool free_dead_claim(std::uint32_t slot, std::uint32_t generation) {
    settled_gate();
    return change_stage(slot, generation, Stage::claimed, Stage::free);
  }

  // A session that is listed and never counted; no seat is involved, so no gate either.
  void list_exempt(SlotRef claim) {
    change_stage(claim.slot, claim.epoch, Stage::claimed, Stage::exempt);
  }
  bool unlist_exempt(std::uint32_t slot, std::uint32_t generation) {
    return change_stage(slot, generation, Stage::exempt, Stage::free);
  }

  // --- Gate operations ---

  // CLAIMED -> SEATED, count + 1, if there is room. On anything but `done` the claim is still the
  // caller's. ret_count and ret_limit are what the decision was made with.
  AddResult add(SlotRef claim, ConfiguredLimit mine, std::uint32_t* ret_count,
                std::int32_t* ret_limit) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      const AddResult room = look_for_room(seen, mine, ret_count, ret_limit);
      if (room != AddResult::done && has_moved(seen)) continue;
      if (room != AddResult::done) return room;
      const std::uint64_t next =
          widths_.pack(GateWord{*ret_count + 1, claim.slot, claim.epoch, GateOp::add});
      if (change_gate(seen, next)) {
        *ret_count += 1;
        return AddResult::done;
      }
    }
  }

  // The same decision without taking anything: `done` means that there was room.
  AddResult check_room(ConfiguredLimit mine, std::uint32_t* ret_count, std::int32_t* ret_limit) {
    for (;;) {
      const std::uint64_t seen = settled_gate();
      const AddResult room = look_for_room(seen, mine, ret_count, ret_limit);
      if (room == AddResult::done || !has_moved(seen)) return room;
    }
  }

  // SEATED -> FREE, count - 1. False: the slot is not seated in that generation any more.
  bool remove(std::uint32_t slot, std::uint32_t generation) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      const GateWord gate = widths_.gate(seen);
      if (!is_at(slot, generation, Stage::seated)) return false;
      if (gate.count == 0) return false;  // only in a damaged file
      if (change_gate(seen,
                      widths_.pack(GateWord{gate.count - 1, slot, generation, GateOp::remove})))
        return true;
    }
  }

  // The claim takes over the seat of the victim that its record names: victim SEATED -> FREE, then
  // CLAIMED -> SEATED; the count stays. False: the victim has no seat any more.
  bool move(SlotRef claim, std::uint32_t victim_slot, std::uint32_t victim_generation) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      if (!is_at(victim_slot, victim_generation, Stage::seated)) return false;
      const GateWord gate = widths_.gate(seen);
      if (change_gate(seen,
                      widths_.pack(GateWord{gate.count, claim.slot, claim.epoch, GateOp::move})))
        return true;
    }
  }

  // Changes nothing but the gate word, so that every look begun before this fails its CAS.
  void nop() {
    for (;;) {
      std::uint64_t seen = settled_gate();
      // After the gate load: if a NOP came in between, the gate has moved and the CAS fails.
      const std::uint64_t generation = shared_->nop.load(std::memory_order_acquire);
      const GateWord gate = widths_.gate(seen);
      if (change_gate(seen,
                      widths_.pack(GateWord{gate.count, slot_count(),
                                            static_cast<std::uint32_t>(generation), GateOp::nop})))
        return;
    }
  }

  // --- Limits ---

  ConfiguredLimit configured() const {
    const std::uint64_t word = shared_->configured.load(std::memory_order_acquire);
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::int32_t>(word & 0xffffffff)};
  }
  std::optional<std::int32_t> override_limit() const {
    const std::uint64_t word = shared_->override_limit.load(std::memory_order_acquire);
    if ((word & kOverrideSet) == 0) return std::nullopt;
    return static_cast<std::int32_t>(word & 0xffffffff);
  }
  // First stored, then NOP: a login that looked before the store finds the gate moved, or was
  // admitted before the change. Nobody inside is thrown out.
  // False: `seen` is not what is stored any more.
  bool set_configured(ConfiguredLimit seen, ConfiguredLimit limit) {
    std::uint64_t expected = limit_word(seen);
    if (!shared_->configured.compare_exchange_strong(
            expected, limit_word(limit), std::memory_order_acq_rel, std::memory_order_acquire))
      return false;
    nop();
    return true;
  }
  void set_override(std::optional<std::int32_t> limit) {
    shared_->override_limit.store(limit ? kOverrideSet | static_cast<std::uint32_t>(*limit) : 0,
                                  std::memory_order_release);
    nop();
  }

  // --- Reading and marking ---

  std::uint32_t count() { return widths_.gate(settled_gate()).count; }

  StateWord state(std::uint32_t slot) const {
    return widths_.state(slots_[slot].state.load(std::memory_order_acquire));
  }

  // A consistent copy of an occupied slot; false: it is free or claimed, or changed each of the few
  // times it was tried.
  bool snapshot(std::uint32_t index, Snapshot& ret) const {
    const SlotT& slot = slots_[index];
    for (int attempt = 0; attempt < 8; ++attempt) {
      const std::uint64_t before = slot.state.load(std::memory_order_acquire);
      ret.state = widths_.state(before);
      if (ret.state.stage != Stage::seated && ret.state.stage != Stage::exempt) return false;
      std::array<std::uint64_t, kRecordWords> words;
      for (std::size_t i = 0; i < kRecordWords; ++i)
        words[i] = slot.record[i].load(std::memory_order_relaxed);
      const std::uint64_t activity = slot.last_activity.load(std::memory_order_relaxed);
      // Acquire: pairs with the release that completed the mark, so its reason is seen whole.
      const std::uint64_t mark = slot.mark.load(std::memory_order_acquire);
      std::array<std::uint64_t, kReasonWords> reason;
      for (std::size_t i = 0; i < kReasonWords; ++i)
        reason[i] = slot.reason[i].load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (slot.state.load(std::memory_order_relaxed) != before) continue;
      std::memcpy(&ret.record, words.data(), sizeof ret.record);
      std::memcpy(ret.reason.data(), reason.data(), sizeof ret.reason);
      ret.ref = {index, ret.record.epoch};
      ret.last_activity_ms = activity >> 32 == ret.record.epoch ? (activity & 0xffffffff) * 100 : 0;
      ret.mark =
          mark >> 32 == ret.record.epoch ? static_cast<MarkStage>(mark & 0xffff) : MarkStage::none;
      ret.reason_checksum = static_cast<std::uint16_t>(mark >> 16);
      return true;
    }
    return false;
  }

  // Moves the last activity of that occupancy upwards; false: the slot has another occupant.
  bool touch(SlotRef ref, std::uint64_t boottime_ms) {
    Atom& word = slots_[ref.slot].last_activity;
    const std::uint64_t next = activity_word(ref.epoch, boottime_ms);
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (seen >> 32 == ref.epoch) {
      // Relaxed: the word stands for itself alone.
      if (seen >= next || word.compare_exchange_strong(seen, next, std::memory_order_relaxed,
                                                       std::memory_order_relaxed))
        return true;
    }
    return false;
  }

  // Marks that occupancy as revoked. The first to mark it writes the reason (one that died
  // half-way shows as a revocation without a reason). False: another occupant.
  bool mark_revoked(SlotRef ref, std::span<const char> reason, std::uint16_t checksum) {
    SlotT& slot = slots_[ref.slot];
    std::uint64_t seen = mark_word(ref.epoch, 0, MarkStage::none);
    const std::uint64_t writing = mark_word(ref.epoch, 0, MarkStage::writing);
    if (!slot.mark.compare_exchange_strong(seen, writing, std::memory_order_acquire,
                                           std::memory_order_relaxed))
      return seen >> 32 == ref.epoch;
    std::array<std::uint64_t, kReasonWords> words{};
    std::memcpy(words.data(), reason.data(), std::min(reason.size(), sizeof words));
    for (std::size_t i = 0; i < kReasonWords; ++i)
      slot.reason[i].store(words[i], std::memory_order_relaxed);
    seen = writing;
    // Release: publishes the reason to readers of the mark.
    return slot.mark.compare_exchange_strong(seen,
                                             mark_word(ref.epoch, checksum, MarkStage::revoked),
                                             std::memory_order_release, std::memory_order_relaxed);
  }

  SharedWords<Atom>& shared() { return *shared_; }
  const SharedWords<Atom>& shared() const { return *shared_; }

 private:
  // The gate, with the operation it names settled.
  std::uint64_t settled_gate() {
    // Acquire: pairs with the CAS that made it, so the newcomer's record and claim are seen.
    const std::uint64_t word = shared_->gate.load(std::memory_order_acquire);
    settle(word);
    return word;
  }

  // A refusal must be true of one instant: the limit that was read goes with the count only if the
  // gate did not move meanwhile. Behind an acquire fence, so that the loads of the look come first.
  bool has_moved(std::uint64_t seen) const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return shared_->gate.load(std::memory_order_acquire) != seen;
  }

  bool change_gate(std::uint64_t seen, std::uint64_t next) {
    // Release publishes the claim, the record and the settling before it; acquire as above.
    if (!shared_->gate.compare_exchange_strong(seen, next, std::memory_order_acq_rel,
                                               std::memory_order_acquire))
      return false;
    settle(next);
    return true;
  }

  // Does what is left of the operation that the gate names. Harmless when it is done already, or
  // when the gate has long moved on: the generations do not fit any more.
  void settle(std::uint64_t word) {
    const GateWord gate = widths_.gate(word);
    switch (gate.op) {
      case GateOp::add:
        change_stage(gate.slot, gate.generation, Stage::claimed, Stage::seated);
        break;
      case GateOp::remove:
        change_stage(gate.slot, gate.generation, Stage::seated, Stage::free);
        break;
      case GateOp::move:
        settle_move(gate);
        break;
      case GateOp::nop: {
        std::uint64_t seen = gate.generation;
        shared_->nop.compare_exchange_strong(seen, widths_.next_generation(gate.generation),
                                             std::memory_order_acq_rel, std::memory_order_acquire);
        break;
      }
      case GateOp::none:
        break;
    }
  }

  void settle_move(const GateWord& gate) {
    if (gate.slot >= slots_.size()) return;
    SlotT& slot = slots_[gate.slot];
    if (!is_at(gate.slot, gate.generation, Stage::claimed)) return;  // settled
    // The record tells the victim, and may be trusted only if the slot still had this generation
    // after it was read: a stale settler could otherwise read the next occupant's record.
    constexpr std::size_t kSlotWord = offsetof(RecordImage, victim_slot) / 8;
    constexpr std::size_t kGenerationWord = offsetof(RecordImage, victim_generation) / 8;
    const auto victim_slot =
        static_cast<std::uint32_t>(slot.record[kSlotWord].load(std::memory_order_relaxed) >> 32);
    const auto victim_generation =
        static_cast<std::uint32_t>(slot.record[kGenerationWord].load(std::memory_order_relaxed));
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!is_at(gate.slot, gate.generation, Stage::claimed)) return;
    // The victim first: were the newcomer seated first, there would be one seat too many.
    change_stage(victim_slot, victim_generation, Stage::seated, Stage::free);
    change_stage(gate.slot, gate.generation, Stage::claimed, Stage::seated);
  }

  bool is_at(std::uint32_t slot, std::uint32_t generation, Stage stage) const {
    if (slot >= slots_.size()) return false;
    const StateWord word = state(slot);
    return word.stage == stage && word.generation == generation;
  }

  bool change_stage(std::uint32_t slot, std::uint32_t generation, Stage from, Stage to) {
    if (slot >= slots_.size()) return false;  // only in a damaged file
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

  AddResult look_for_room(std::uint64_t seen, ConfiguredLimit mine, std::uint32_t* ret_count,
                          std::int32_t* ret_limit) const {
    *ret_count = widths_.gate(seen).count;
    *ret_limit = mine.limit;
    // Limits are read after the gate load; a change is stored before its NOP.
    if (configured() != mine) return AddResult::stale_configuration;
    if (const auto changed = override_limit()) *ret_limit = *changed;
    if (*ret_limit >= 0 && *ret_count >= static_cast<std::uint32_t>(*ret_limit))
      return AddResult::site_full;
    if (*ret_count >= capacity_) {
      *ret_limit = static_cast<std::int32_t>(capacity_);
      return AddResult::table_full;
    }
    return AddResult::done;
  }

  static std::uint64_t limit_word(ConfiguredLimit limit) {
    return std::uint64_t{limit.identity} << 32 | static_cast<std::uint32_t>(limit.limit);
  }
  static std::uint64_t activity_word(std::uint32_t epoch, std::uint64_t boottime_ms) {
    return std::uint64_t{epoch} << 32 | std::min<std::uint64_t>(boottime_ms / 100, 0xffffffff);
  }
  static std::uint64_t mark_word(std::uint32_t epoch, std::uint16_t checksum, MarkStage stage) {
    return std::uint64_t{epoch} << 32 | std::uint64_t{checksum} << 16 |
           static_cast<std::uint64_t>(stage);
  }

  SharedWords<Atom>* shared_;
  std::span<SlotT> slots_;
  std::uint32_t capacity_;
  Widths widths_;
};

}  // namespace sessreg
