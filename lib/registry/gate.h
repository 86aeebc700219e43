// The gate: exact, crash-proof, lock-free counts of seats.
//
// Concurrency: every function may be called by any number of processes and threads over the same
// memory. A process may be killed or stopped for ever between any two of its accesses.
//
// Invariants, each true whenever the gate word changes:
//   1. count == number of slots that are seated once the operation the gate names is settled; the
//      same for each limited group and the seats of its members.
//   2. At most that one operation is unsettled, and settle() by anybody completes it.
//   3. Only a gate operation makes a slot seated, or takes seated or parked away.
//   4. A record is written only while its slot is claimed, by the claimer alone.
//
// Every operation is one loop: load the gate; settle what it names; look (are the slots as
// expected? is there room?); CAS the gate to the new operation; settle that. What was looked at is
// valid because the gate did not move in between. A process that dies before its CAS has changed
// nothing that counts; after it, anybody finishes for it. README.md in this folder argues it step
// by step.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "registry/decision.h"
#include "registry/layout.h"
#include "registry/slots.h"
#include "registry/terms.h"
#include "registry/words.h"

namespace sessreg {

// What an admission is checked against. Negative limits mean none.
struct Rules {
  ConfiguredLimit site;
  std::int32_t held_back = 0;  // seats of the site that are not for this login
  UserHash user{};
  std::int32_t user_limit = -1;
  std::span<const GroupRule> groups;
  // The newcomer's, of `user`, which is set then whether or not there is a user limit. A seat is only
  // taken while that device has no session: else the outcome is one of device_….
  DeviceHash device = kNoDevice;
};

// A session that is to give up its seat.
struct Victim {
  std::uint32_t slot = kNoSlot;
  std::uint32_t generation = 0;  // while seated
};

// CLOCK_BOOTTIME in milliseconds.
using BoottimeClock = std::uint64_t (*)();

template <class Atom>
class Gate {
 public:
  // The caller keeps the memory mapped. `slots` and `capacity` were checked against the file's size
  // and are kept here: nothing in the file is used as an index unchecked.
  Gate(SharedWords<Atom>& shared, std::span<Slot<Atom>> slots, std::uint32_t capacity,
       BoottimeClock clock = &boottime_ms)
      : shared_(&shared), table_(slots), capacity_(capacity), clock_(clock) {}

  SlotTable<Atom>& table() { return table_; }
  const SlotTable<Atom>& table() const { return table_; }
  const Widths& widths() const { return table_.widths(); }
  std::uint32_t capacity() const { return capacity_; }
  SharedWords<Atom>& shared() { return *shared_; }
  const SharedWords<Atom>& shared() const { return *shared_; }

  std::uint32_t count() { return widths().gate(settled_gate()).count; }

  // --- Taking a seat ---

  // Whoever takes a seat is active: the time is written between gate load and CAS. So a search,
  // which begins with a NOP, either finds a session or knows that it is no older than the search.
  // (Nobody asks this of sessions that are never idle; they are spared the clock.)

  // ADD: claimed -> seated, count + 1, if every limit leaves room. On anything but `done` the claim
  // is still the caller's.
  Decision add(SlotRef claim, const Rules& rules) {
    // Clears what a hand-over that failed wrote: nobody's seat is to be given back for this one.
    table_.write_victim(claim, kNoSlot, 0, VictimFate::freed);
    for (;;) {
      std::uint64_t seen = settled_gate();
      stamp(claim);
      Decision decision = look_for_room(seen, rules);
      if (!decision.done() && has_moved(seen)) continue;
      if (!decision.done()) return decision;
      if (change_gate(seen, {decision.count + 1, claim.slot, claim.epoch, GateOp::add})) {
        ++decision.count;
        return decision;
      }
    }
  }

  // The same decision without taking anything: `done` means that there was room, or would be
  // without those in `leaving` (`gone`: one of them has no seat any more).
  Decision check_room(const Rules& rules, std::span<const Victim> leaving = {}) {
    for (;;) {
      const std::uint64_t seen = settled_gate();
      const Decision decision = look_for_room(seen, rules, leaving);
      if (decision.done() || !has_moved(seen)) return decision;
    }
  }

  // The session of the rules' device; `done`: it has none.
  Decision find_device(const Rules& rules) {
    for (;;) {
      const std::uint64_t seen = settled_gate();
      const Decision decision = look_for_device(rules);
      if (!has_moved(seen)) return decision;
    }
  }

  // MOVE of a reservation: its seat goes to the claim, whatever the limits are by now; the reservation
  // is freed. Of the rules only the device counts.
  Outcome bind(SlotRef claim, const Victim& reservation) {
    return bind(claim, reservation, Rules{}).outcome;
  }
  Decision bind(SlotRef claim, const Victim& reservation, const Rules& rules) {
    table_.write_victim(claim, reservation.slot, reservation.generation, VictimFate::freed);
    for (;;) {
      std::uint64_t seen = settled_gate();
      stamp(claim);
      if (!table_.is_at(reservation.slot, reservation.generation, Stage::seated))
        return {Outcome::gone, -1, 0};
      const Decision device = look_for_device(rules);
      if (!device.done()) return device;
      if (change_gate(seen, {widths().gate(seen).count, claim.slot, claim.epoch, GateOp::move}))
        return device;
    }
  }

  // MOVE of the seat of a session to a claim of the same device, whatever the limits are by now: nobody
  // new comes in, and the claim counts in the groups that the session counted in. `fate`: freed, or
  // evicted_at_bind where the claim is a reservation's.
  Decision hand_over(SlotRef claim, const Victim& session, VictimFate fate, const Rules& rules) {
    table_.write_victim(claim, session.slot, session.generation, fate);
    for (;;) {
      std::uint64_t seen = settled_gate();
      stamp(claim);
      const std::uint64_t groups = table_.groups_of(session.slot);
      // The record is believed only if it still was that session's after it was read.
      std::atomic_thread_fence(std::memory_order_acquire);
      if (!table_.is_at(session.slot, session.generation, Stage::seated))
        return {Outcome::gone, -1, 0};
      table_.write_groups(claim, groups);
      const std::uint32_t count = widths().gate(seen).count;
      if (change_gate(seen, {count, claim.slot, claim.epoch, GateOp::move}))
        return {Outcome::done, override_limit().value_or(rules.site.limit), count};
    }
  }

  // MOVE with eviction: the victim's seat goes to the claim if every limit leaves room once the
  // victim is counted as gone. `fate`: evicted, or evicted_at_bind where the claim is a
  // reservation's, which may give the seat back.
  Decision evict(SlotRef claim, const Victim& victim, VictimFate fate, const Rules& rules) {
    table_.write_victim(claim, victim.slot, victim.generation, fate);
    for (;;) {
      std::uint64_t seen = settled_gate();
      stamp(claim);
      Decision decision = look_for_room(seen, rules, {&victim, 1});
      if (!decision.done() && has_moved(seen)) continue;
      if (!decision.done()) return decision;
      if (change_gate(seen, {widths().gate(seen).count, claim.slot, claim.epoch, GateOp::move}))
        return decision;
    }
  }

  // MOVE of an idle session's seat, where the limits leave no room for an ADD (if they do:
  // `has_room`), but all do with the victim gone (if not, more than one has to give way: park()
  // first). The victim is parked if it was not used since `idle_since_ms` (CLOCK_BOOTTIME).
  Decision take_idle(SlotRef claim, const Victim& victim, std::uint64_t idle_since_ms,
                     const Rules& rules) {
    table_.write_victim(claim, victim.slot, victim.generation, VictimFate::parked);
    for (;;) {
      std::uint64_t seen = settled_gate();
      stamp(claim);
      Decision decision = look_for_room(seen, rules, {&victim, 1});
      if (!decision.done() && has_moved(seen)) continue;
      if (!decision.done()) return decision;
      if (look_for_room(seen, rules).done())
        return {Outcome::has_room, decision.limit, decision.count};
      // Between gate load and CAS: whoever uses the session after this look does a NOP (wake).
      if (table_.last_activity_ms(victim.slot) > idle_since_ms)
        return {Outcome::not_idle, decision.limit, decision.count};
      if (change_gate(seen, {widths().gate(seen).count, claim.slot, claim.epoch, GateOp::move}))
        return decision;
    }
  }

  // RETURN: parked -> seated, count + 1, if every limit leaves room. `over_limit`: even if not.
  Decision return_to_seat(std::uint32_t slot, std::uint32_t generation, const Rules& rules,
                          bool over_limit) {
    if (slot >= table_.size()) return {Outcome::gone, -1, 0};
    for (;;) {
      std::uint64_t seen = settled_gate();
      Decision decision = look_for_room(seen, rules);
      if (!decision.done() && has_moved(seen)) continue;
      const bool stale = decision.outcome == Outcome::stale_configuration;
      if (!decision.done() && (!over_limit || stale)) return decision;
      // Read before the stage: if the slot has another occupant by then, nobody's
      // activity is marked.
      const std::uint32_t epoch = table_.epoch_of(slot);
      if (!table_.is_at(slot, generation, Stage::parked)) return {Outcome::gone, -1, 0};
      const std::uint32_t count = widths().gate(seen).count;
      if (count >= capacity_)
        return {Outcome::table_full, static_cast<std::int32_t>(capacity_), count};
      const auto activity = table_.touch({slot, epoch}, clock_(), UseIsTold::as_before, clock_);
      if (change_gate(seen, {count + 1, slot, generation, GateOp::return_})) {
        // That CAS has moved the gate. If it fails the bit stays, and the next
        // touch moves the gate.
        if (activity) table_.woken(slot, *activity);
        return {Outcome::done, decision.limit, count + 1};
      }
    }
  }

  // --- Giving a seat up ---

  // REMOVE: seated -> free, count - 1. False: no longer seated in that generation.
  bool remove(std::uint32_t slot, std::uint32_t generation) {
    return give_up(slot, generation, Stage::seated, GateOp::remove);
  }

  // PARK: seated -> parked, count - 1, if it was not used since `idle_since_ms` and counts in a
  // limit that would not leave room even if its seat were handed over (has_room: take_idle or evict
  // do that). Any other outcome: why it would be in vain.
  Outcome park(const Victim& victim, std::uint64_t idle_since_ms, const Rules& rules) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      const Decision look = look_for_room(seen, rules, {&victim, 1});
      if (look.done()) return Outcome::has_room;
      if (!counts_in(victim, look, rules)) return look.outcome;
      const std::uint32_t count = widths().gate(seen).count;
      if (count == 0) return Outcome::gone;  // only in a damaged file
      if (table_.last_activity_ms(victim.slot) > idle_since_ms) return Outcome::not_idle;
      if (change_gate(seen, {count - 1, victim.slot, victim.generation, GateOp::park}))
        return Outcome::done;
    }
  }

  // Ends a reservation. The session whose seat it had taken over gets that back in the same step
  // (RETURN that names a seated slot) if it is still parked and its own limits allow; else REMOVE.
  // False: no longer seated in that generation.
  bool give_back(std::uint32_t slot, std::uint32_t generation) {
    for (;;)
      if (const auto ended = end_reservation(settled_gate(), slot, generation)) return *ended;
  }

  // The same for a newcomer, if a limit that the reservation counts in leaves it no room (has_room:
  // it does). Any other outcome: why it would be in vain.
  Outcome give_way(const Victim& reservation, const Rules& rules) {
    for (;;) {
      const std::uint64_t seen = settled_gate();
      if (!table_.is_at(reservation.slot, reservation.generation, Stage::seated))
        return Outcome::gone;
      const Decision look = look_for_room(seen, rules);
      if (look.done()) return Outcome::has_room;
      if (!counts_in(reservation, look, rules)) return look.outcome;
      if (const auto ended = end_reservation(seen, reservation.slot, reservation.generation))
        return *ended ? Outcome::done : Outcome::gone;
    }
  }

  // PARK without a look: seated -> parked, count - 1. For a session that is marked, and so does not
  // return; bar() comes next.
  bool unseat(std::uint32_t slot, std::uint32_t generation) {
    return give_up(slot, generation, Stage::seated, GateOp::park);
  }

  // Parked -> evicted (PARK that names a parked slot): it may not come back.
  bool bar(std::uint32_t slot, std::uint32_t generation) {
    return give_up(slot, generation, Stage::parked, GateOp::park);
  }

  // DROP: parked -> free; the count stays. By the gate, because a RETURN may name the same slot.
  bool drop(std::uint32_t slot, std::uint32_t generation) {
    return give_up(slot, generation, Stage::parked, GateOp::drop);
  }

  // REMOVE, or DROP, of a session without a process whose time to live is over, if it was not used
  // since `unused_since_ms` (CLOCK_BOOTTIME).
  bool expire(std::uint32_t slot, const StateWord& at, std::uint64_t unused_since_ms) {
    return give_up(slot, at.generation, at.stage,
                   at.stage == Stage::seated ? GateOp::remove : GateOp::drop, unused_since_ms);
  }

  // --- Without a seat: no gate needed, but for a device ---

  void list_exempt(SlotRef claim) {
    table_.change_stage(claim.slot, claim.epoch, Stage::claimed, Stage::exempt);
  }
  // PARK that names a claim: claimed -> exempt; the count stays. By the gate, because somebody may
  // look for a session of that device.
  Decision list_exempt(SlotRef claim, const Rules& rules) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      table_.stamp(claim, clock_());
      const Decision device = look_for_device(rules);
      if (!device.done()) return device;
      if (change_gate(seen, {widths().gate(seen).count, claim.slot, claim.epoch, GateOp::park}))
        return device;
    }
  }
  // An exempt session without a process is kept as a note when it is revoked.
  bool bar_exempt(std::uint32_t slot, std::uint32_t generation) {
    return table_.change_stage(slot, generation, Stage::exempt, Stage::evicted);
  }
  bool unlist_exempt(std::uint32_t slot, std::uint32_t generation) {
    return table_.change_stage(slot, generation, Stage::exempt, Stage::free);
  }
  bool unlist_evicted(std::uint32_t slot, std::uint32_t generation) {
    return table_.change_stage(slot, generation, Stage::evicted, Stage::free);
  }

  // Frees the claim of a dead process. It may have died after its gate operation, so that is
  // settled first; then the slot is no longer claimed and this does nothing. The claimer was
  // seen dead before this gate load, so it cannot make the gate name the slot later.
  bool free_dead_claim(std::uint32_t slot, std::uint32_t generation) {
    settled_gate();
    return table_.change_stage(slot, generation, Stage::claimed, Stage::free);
  }

  // --- Making earlier looks fail ---

  // NOP: changes nothing but the gate word.
  void nop() {
    for (;;) {
      std::uint64_t seen = settled_gate();
      // After the gate load: if a NOP came in between, the gate has moved and the CAS fails.
      const auto generation =
          static_cast<std::uint32_t>(shared_->nop.load(std::memory_order_acquire));
      const GateWord gate = widths().gate(seen);
      if (change_gate(seen, {gate.count, table_.size(), generation, GateOp::nop})) return;
    }
  }

  // Marks activity. A look for the idle that began before this fails once this has returned: if the
  // activity ends a rest, or another touch that ends one is not done yet, the gate is moved. False:
  // the slot has another occupant.
  bool touch(SlotRef ref, std::uint64_t boottime_ms, UseIsTold told = UseIsTold::as_before) {
    const auto activity = table_.touch(ref, boottime_ms, told, clock_);
    if (!activity) return false;
    if ((*activity & kWaking) != 0) {
      nop();
      table_.woken(ref.slot, *activity);
    }
    return true;
  }

  // --- Limits ---

  ConfiguredLimit configured() const {
    const std::uint64_t word = shared_->configured.load(std::memory_order_acquire);
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::int32_t>(word & 0xffffffff)};
  }
  std::optional<std::int32_t> override_limit() const {
    const std::uint64_t word = shared_->override_limit.load(std::memory_order_acquire);
    if ((word & kLimitSet) == 0) return std::nullopt;
    return static_cast<std::int32_t>(word & 0xffffffff);
  }
  // Stored first, then a NOP: a login that looked before the store finds the gate moved, or was
  // admitted before the change. Nobody inside is thrown out.
  // False: `seen` is no longer what is stored.
  bool set_configured(ConfiguredLimit seen, ConfiguredLimit limit) {
    std::uint64_t expected = limit_word(seen);
    if (!shared_->configured.compare_exchange_strong(
            expected, limit_word(limit), std::memory_order_acq_rel, std::memory_order_acquire))
      return false;
    nop();
    return true;
  }
  void set_override(std::optional<std::int32_t> limit) {
    shared_->override_limit.store(limit ? kLimitSet | static_cast<std::uint32_t>(*limit) : 0,
                                  std::memory_order_release);
    nop();
  }

  // --- Groups ---

  // The entry of the limited group with that hash of its name (not 0), made if there is none;
  // nullopt: all are in use. A group counts the sessions that were opened since it was made.
  std::optional<std::uint32_t> group_index(std::uint64_t name_hash) {
    for (std::uint32_t i = 0; i < kMaxGroups; ++i) {
      Atom& entry = shared_->groups[i].name_hash;
      std::uint64_t seen = entry.load(std::memory_order_acquire);
      if (seen == 0 && entry.compare_exchange_strong(seen, name_hash, std::memory_order_acq_rel,
                                                     std::memory_order_acquire))
        return i;
      if (seen == name_hash) return i;
    }
    return std::nullopt;
  }
  // For give_back(), which has no configuration at hand.
  void note_group_limit(std::uint32_t index, std::int32_t limit) {
    const std::uint64_t word = limit < 0 ? 0 : kLimitSet | static_cast<std::uint32_t>(limit);
    Atom& noted = shared_->groups[index].limit;
    // Mostly it has not changed, and is not written then: the cache line is shared.
    if (noted.load(std::memory_order_relaxed) != word) noted.store(word, std::memory_order_relaxed);
  }
  std::int32_t group_limit(std::uint32_t index) const {
    const std::uint64_t word = shared_->groups[index].limit.load(std::memory_order_relaxed);
    return (word & kLimitSet) == 0 ? -1 : static_cast<std::int32_t>(word & 0xffffffff);
  }
  // Seats that the group's members hold, as of the last settled operation.
  std::uint32_t group_count(std::uint32_t index) {
    settled_gate();
    return seats_of_group(index);
  }

 private:
  void stamp(SlotRef claim) {
    if (table_.longest_rest_ms(claim.slot) != 0) table_.stamp(claim, clock_());
  }

  // The gate, with the operation it names settled.
  std::uint64_t settled_gate() {
    // Acquire: pairs with the CAS that made it, so the newcomer's record and claim are seen.
    const std::uint64_t word = shared_->gate.load(std::memory_order_acquire);
    settle(word);
    return word;
  }

  bool change_gate(std::uint64_t seen, const GateWord& next) {
    const std::uint64_t word = widths().pack(next);
    // Release publishes the claim, the record and the settling before it; acquire as above.
    if (!shared_->gate.compare_exchange_strong(seen, word, std::memory_order_acq_rel,
                                               std::memory_order_acquire))
      return false;
    settle(word);
    return true;
  }

  // A refusal must be true of one instant: what was looked at (limits, groups, the user's slots)
  // goes with the count only if the gate did not move meanwhile. This load comes after an acquire
  // fence, so that the loads of the look come first.
  bool has_moved(std::uint64_t seen) const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return shared_->gate.load(std::memory_order_acquire) != seen;
  }

  // One try, by a look at the gate `seen`; nullopt: it has moved.
  std::optional<bool> end_reservation(std::uint64_t seen, std::uint32_t slot,
                                      std::uint32_t generation) {
    if (!table_.is_at(slot, generation, Stage::seated)) return false;
    GateWord next{widths().gate(seen).count, slot, generation, GateOp::return_};
    if (!may_get_back(slot)) {
      if (next.count == 0) return false;  // only in a damaged file
      --next.count;
      next.op = GateOp::remove;
    }
    if (!change_gate(seen, next)) return std::nullopt;
    return true;
  }

  bool give_up(std::uint32_t slot, std::uint32_t generation, Stage from, GateOp op,
               std::uint64_t unused_since_ms = ~std::uint64_t{0}) {
    for (;;) {
      std::uint64_t seen = settled_gate();
      if (!table_.is_at(slot, generation, from)) return false;
      // Between gate load and CAS, as in take_idle().
      if (table_.last_activity_ms(slot) > unused_since_ms) return false;
      std::uint32_t count = widths().gate(seen).count;
      if (from == Stage::seated) {
        if (count == 0) return false;  // only in a damaged file
        --count;
      }
      if (change_gate(seen, {count, slot, generation, op})) return true;
    }
  }

  // --- Settling ---

  // Does what is left of the operation that the gate names. Harmless if it is done already, or the
  // gate has long moved on: then the generations no longer match.
  void settle(std::uint64_t word) {
    const GateWord gate = widths().gate(word);
    switch (gate.op) {
      case GateOp::none:
        break;
      case GateOp::add:
        settle_seat(word, gate, Stage::claimed, Stage::seated, +1);
        break;
      case GateOp::remove:
        settle_seat(word, gate, Stage::seated, Stage::free, -1);
        break;
      case GateOp::park:  // the generation is that of one stage only
        settle_seat(word, gate, Stage::seated, Stage::parked, -1);
        table_.change_stage(gate.slot, gate.generation, Stage::parked, Stage::evicted);
        table_.change_stage(gate.slot, gate.generation, Stage::claimed, Stage::exempt);
        break;
      case GateOp::return_:
        settle_seat(word, gate, Stage::parked, Stage::seated, +1);
        settle_give_back(word, gate);
        break;
      case GateOp::drop:
        table_.change_stage(gate.slot, gate.generation, Stage::parked, Stage::free);
        break;
      case GateOp::move:
        settle_move(word, gate);
        break;
      case GateOp::nop: {
        std::uint64_t seen = gate.generation;
        shared_->nop.compare_exchange_strong(seen, widths().next_generation(gate.generation),
                                             std::memory_order_acq_rel, std::memory_order_acquire);
        break;
      }
    }
  }

  // One slot's seat and the groups it counts in. The groups first: once the slot has changed,
  // nobody looks at them again.
  void settle_seat(std::uint64_t word, const GateWord& gate, Stage from, Stage to, int change) {
    if (!table_.is_at(gate.slot, gate.generation, from)) return;
    const std::uint64_t groups = table_.groups_of(gate.slot);
    // The record is believed only if it still was that occupant's after it was read.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!table_.is_at(gate.slot, gate.generation, from)) return;
    if (!settle_groups(word, gate, groups, change)) return;
    table_.change_stage(gate.slot, gate.generation, from, to);
  }

  void settle_move(std::uint64_t word, const GateWord& gate) {
    if (!table_.is_at(gate.slot, gate.generation, Stage::claimed)) return;  // settled
    const auto victim = table_.victim_of(gate.slot);
    const std::uint64_t groups = table_.groups_of(gate.slot);
    // A stale settler could have read the next occupant's record; see above.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!table_.is_at(gate.slot, gate.generation, Stage::claimed)) return;
    if (table_.is_at(victim.slot, victim.generation, Stage::seated)) {
      const std::uint64_t victims_groups = table_.groups_of(victim.slot);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (table_.is_at(victim.slot, victim.generation, Stage::seated) &&
          (!settle_groups(word, gate, groups & ~victims_groups, +1) ||
           !settle_groups(word, gate, victims_groups & ~groups, -1)))
        return;
    }
    // The victim first: were the newcomer seated first, there would be one seat too many.
    table_.change_stage(victim.slot, victim.generation, Stage::seated, stage_of(victim.fate));
    table_.change_stage(gate.slot, gate.generation, Stage::claimed, Stage::seated);
  }

  static Stage stage_of(VictimFate fate) {
    switch (fate) {
      case VictimFate::parked:
      case VictimFate::evicted_at_bind:
        return Stage::parked;
      case VictimFate::evicted:
        return Stage::evicted;
      default:  // also what is in a damaged file
        return Stage::free;
    }
  }

  void settle_give_back(std::uint64_t word, const GateWord& gate) {
    if (!table_.is_at(gate.slot, gate.generation, Stage::seated)) return;
    const auto owner = table_.victim_of(gate.slot);
    const std::uint64_t groups = table_.groups_of(gate.slot);
    std::atomic_thread_fence(std::memory_order_acquire);  // as in settle_move
    if (!table_.is_at(gate.slot, gate.generation, Stage::seated)) return;
    const std::uint32_t parked = widths().next_generation(owner.generation);
    if (table_.is_at(owner.slot, parked, Stage::parked)) {
      const std::uint64_t owners_groups = table_.groups_of(owner.slot);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (table_.is_at(owner.slot, parked, Stage::parked) &&
          (!settle_groups(word, gate, owners_groups & ~groups, +1) ||
           !settle_groups(word, gate, groups & ~owners_groups, -1)))
        return;
    }
    // The reservation last: as long as it is seated, its record tells whose seat it was.
    table_.change_stage(owner.slot, parked, Stage::parked, Stage::seated);
    table_.change_stage(gate.slot, gate.generation, Stage::seated, Stage::free);
  }

  // Brings the words of those groups up to date with the operation `word`, each exactly once
  // however many settle it. False: the gate has moved on, so somebody else has settled everything.
  bool settle_groups(std::uint64_t word, const GateWord& gate, std::uint64_t groups, int change) {
    for (std::uint32_t i = 0; groups != 0 && i < kMaxGroups; ++i, groups >>= 1) {
      if ((groups & 1) == 0) continue;
      Atom& seats = shared_->groups[i].seats;
      // Acquire: the gate is looked at after this load. If it still names the operation, the word
      // as loaded does not contain it yet, and the CAS fails if somebody adds it meanwhile.
      std::uint64_t seen = seats.load(std::memory_order_acquire);
      GateWord next = widths().gate(seen);
      if (next.slot == gate.slot && next.generation == gate.generation && next.op == gate.op)
        continue;
      if (shared_->gate.load(std::memory_order_acquire) != word) return false;
      next = {next.count + static_cast<std::uint32_t>(change), gate.slot, gate.generation, gate.op};
      seats.compare_exchange_strong(seen, widths().pack(next), std::memory_order_acq_rel,
                                    std::memory_order_acquire);
    }
    return true;
  }

  // --- Looking ---

  static std::uint64_t limit_word(ConfiguredLimit limit) {
    return std::uint64_t{limit.identity} << 32 | static_cast<std::uint32_t>(limit.limit);
  }

  std::uint32_t seats_of_group(std::uint32_t index) const {
    return widths().gate(shared_->groups[index].seats.load(std::memory_order_acquire)).count;
  }

  // Whether the victim's seat is one of those that fill the limit which refused.
  bool counts_in(const Victim& victim, const Decision& refused, const Rules& rules) const {
    switch (refused.outcome) {
      case Outcome::site_full:
      case Outcome::table_full:
        return true;
      case Outcome::user_full:
        return table_.is_user(victim.slot, rules.user);
      case Outcome::group_full:
        return (table_.groups_of(victim.slot) >> refused.group & 1) != 0;
      default:
        return false;
    }
  }

  static bool is_over(std::int32_t limit, std::uint64_t count) {
    return limit >= 0 && count > static_cast<std::uint32_t>(limit);
  }

  // `done`: the device of the rules has no session, or there is none in them.
  Decision look_for_device(const Rules& rules) {
    Decision decision;
    if (rules.device == kNoDevice) return decision;
    const auto found = table_.find_device(rules.user, rules.device, decision.device_has_notes);
    if (!found) return decision;
    decision.outcome = found->second.stage == Stage::seated   ? Outcome::device_seated
                       : found->second.stage == Stage::parked ? Outcome::device_parked
                                                              : Outcome::device_exempt;
    decision.slot = found->first;
    decision.generation = found->second.generation;
    return decision;
  }

  // Whether every limit leaves room for a newcomer when those in `leaving` have given up their seats
  // and their places in the limits of their users and groups. The narrowest limit comes first: a user
  // at their own limit can make room for themselves.
  Decision look_for_room(std::uint64_t seen, const Rules& rules,
                         std::span<const Victim> leaving = {}) {
    Decision site{Outcome::done, rules.site.limit, widths().gate(seen).count};
    // Limits are read after the gate load; a change is stored before its NOP.
    if (configured() != rules.site) return {Outcome::stale_configuration, -1, 0};
    if (const auto changed = override_limit()) site.limit = *changed;
    for (const Victim& each : leaving)
      if (!table_.is_at(each.slot, each.generation, Stage::seated))
        return {Outcome::gone, site.limit, site.count};
    const Decision device = look_for_device(rules);
    if (!device.done() && device.outcome != Outcome::device_parked) return device;
    site.device_has_notes = device.device_has_notes;
    if (site.limit == 0) {  // admits nobody new, whoever would give way
      site.outcome = Outcome::site_full;
      return site;
    }
    if (rules.user_limit >= 0) {
      std::uint32_t count = 0, freed = 0;
      table_.for_each_near_home(rules.user, [&](std::uint32_t slot, const StateWord& at) {
        if (at.stage != Stage::seated || !table_.is_user(slot, rules.user)) return;
        ++count;
        freed += std::ranges::count(leaving, slot, &Victim::slot) != 0;
      });
      if (is_over(rules.user_limit, std::uint64_t{count} + 1 - freed))
        return {Outcome::user_full, rules.user_limit, count};
    }
    for (const GroupRule& rule : rules.groups) {
      const std::uint32_t count = seats_of_group(rule.index);
      const auto freed = std::ranges::count_if(leaving, [&](const Victim& each) {
        return (table_.groups_of(each.slot) >> rule.index & 1) != 0;
      });
      if (is_over(rule.limit, less(std::uint64_t{count} + 1, freed)))
        return {Outcome::group_full, rule.limit, count, rule.index};
    }
    const std::uint64_t taken = less(std::uint64_t{site.count} + 1, std::ssize(leaving));
    if (is_over(site.limit, taken + static_cast<std::uint32_t>(rules.held_back))) {
      site.outcome = Outcome::site_full;
      return site;
    }
    if (taken > capacity_)
      return {Outcome::table_full, static_cast<std::int32_t>(capacity_), site.count};
    return device.done() ? site : device;
  }

  // Counts that were read while others change them need not fit together.
  static std::uint64_t less(std::uint64_t count, std::ptrdiff_t freed) {
    return count - std::min(count, static_cast<std::uint64_t>(freed));
  }

  // Whether the session that the reservation in that slot took its seat from may have it back: the
  // site's count does not change, but its user or group may have filled up since.
  bool may_get_back(std::uint32_t reservation) {
    const auto owner = table_.victim_of(reservation);
    if (stage_of(owner.fate) != Stage::parked ||
        !table_.is_at(owner.slot, widths().next_generation(owner.generation), Stage::parked))
      return false;
    const std::uint64_t given_up = table_.groups_of(reservation);
    std::uint64_t groups = table_.groups_of(owner.slot);
    for (std::uint32_t i = 0; groups != 0 && i < kMaxGroups; ++i, groups >>= 1) {
      if ((groups & 1) == 0) continue;
      if (is_over(group_limit(i), std::uint64_t{seats_of_group(i)} + 1 - (given_up >> i & 1)))
        return false;
    }
    const std::int32_t user_limit = table_.user_limit_of(owner.slot);
    return user_limit < 0 ||
           !is_over(user_limit, seats_of_user(table_.user_of(owner.slot), reservation) + 1);
  }

  // Without the one in slot `except`.
  std::uint64_t seats_of_user(const UserHash& user, std::uint32_t except) {
    std::uint64_t count = 0;
    table_.for_each_near_home(user, [&](std::uint32_t slot, const StateWord& at) {
      count += at.stage == Stage::seated && slot != except && table_.is_user(slot, user);
    });
    return count;
  }

  SharedWords<Atom>* shared_;
  SlotTable<Atom> table_;
  std::uint32_t capacity_;
  BoottimeClock clock_;
};

}  // namespace sessreg
