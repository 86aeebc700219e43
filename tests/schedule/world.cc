#include "world.h"

#include <algorithm>
#include <bit>
#include <cstring>

using namespace sessreg;

namespace {

void demand(bool condition, const char* what) {
  if (!condition) throw Broken(what);
}

// Which words of a record do not belong to the pattern of its session.
constexpr std::size_t kWhoWord = offsetof(RecordImage, id) / 8;
constexpr std::size_t kUserWord = offsetof(RecordImage, user_hash) / 8;
constexpr std::size_t kEpochWord = offsetof(RecordImage, epoch) / 8;
constexpr std::size_t kVictimGenerationWord = offsetof(RecordImage, victim_generation) / 8;
constexpr std::size_t kGroupsWord = offsetof(RecordImage, groups) / 8;
constexpr std::size_t kIdleWord = offsetof(RecordImage, idle_after_s) / 8;
constexpr std::size_t kKindWord = offsetof(RecordImage, kind) / 8;
constexpr std::size_t kUserLimitWord = offsetof(RecordImage, user_limit) / 8;
constexpr std::size_t kDeviceWord = offsetof(RecordImage, leader_start_ticks) / 8;
constexpr std::size_t kOpenedWord = offsetof(RecordImage, opened_boottime_ms) / 8;
static_assert(offsetof(RecordImage, epoch) % 8 == 0 && offsetof(RecordImage, ttl_s) % 8 == 4 &&
              offsetof(RecordImage, uid) % 8 == 0 && offsetof(RecordImage, flags) % 8 == 4);

bool is_of_pattern(std::size_t word) {
  return word != kWhoWord && word != kEpochWord && word != kVictimGenerationWord &&
         word != kGroupsWord && word != kIdleWord && word != kKindWord && word != kUserLimitWord &&
         word != kOpenedWord && word != kDeviceWord && word != kDeviceWord + 1;
}

std::uint64_t pattern(std::uint64_t who, std::size_t word) {
  return who << 32 | (word * 0x01010101);
}

// What seen_of() makes a bit of: free seats from kFewest on, and the two flags.
constexpr int kFewest = -8, kMost = 7;
struct Seen {
  std::int32_t free;
  bool user_full, group_full;
};

}  // namespace

RecordImage World::record_of(std::uint32_t who, const Traits& its) const {
  std::array<std::uint64_t, kRecordWords> words;
  for (std::size_t i = 0; i < kRecordWords; ++i)
    words[i] = pattern(who, i);
  words[kWhoWord] = who;
  const std::uint32_t user = its.user != 0 ? its.user : who;
  for (std::size_t i = kUserWord; i < kUserWord + 2; ++i)
    words[i] = pattern(user, i);
  RecordImage record;
  std::memcpy(&record, words.data(), sizeof record);
  record.victim_slot = kNoSlot;
  record.victim_generation = 0;
  record.victim_fate = VictimFate::freed;
  record.groups = its.groups;
  record.idle_after_s = its.idle_after_s;
  record.ttl_s = 0;
  record.uid = 0;
  record.kind = its.reservation ? RecordKind::reservation : RecordKind::session;
  record.user_limit = its.user != 0 && its.user == limited_user ? user_limit : -1;
  record.flags = RecordFlags::none;
  if (its.device != 0) {
    record.flags = RecordFlags::no_process;
    record.leader_start_ticks = its.device;
    record.parent_start_ticks = ~std::uint64_t{its.device};
  }
  record.opened_boottime_ms = active_ms(who);
  return record;
}

// --- Actors ---

std::optional<SlotRef> World::claim(std::uint32_t who) {
  const RecordImage record = record_of(who);
  const Home home = traits[who].device != 0 ? Home::of_devices : Home::of_user;
  const auto claimed = gate.table().claim(0, record.user_hash, Claimer{who, 1}, home);
  if (claimed) gate.table().write_record(*claimed, record);
  return claimed;
}

Rules World::rules_of(std::uint32_t who) {
  Rules rules{gate.configured(), traits[who].held_back, record_of(who).user_hash, -1, {}};
  if (traits[who].device != 0) rules.device = device_of(record_of(who));
  if (traits[who].user != 0 && traits[who].user == limited_user) rules.user_limit = user_limit;
  group_rule_[0] = {0, group_limit};
  if (group_limit >= 0 && (traits[who].groups & 1) != 0) rules.groups = group_rule_;
  return rules;
}

bool World::add(SlotRef claim) {
  const std::uint32_t who = claimer_at(claim.slot);
  clock_ms[acting] = active_ms(who);
  for (;;) {
    const Decision decision = gate.add(claim, rules_of(who));
    if (decision.done()) return true;
    if (decision.outcome == Outcome::stale_configuration) continue;
    if (!is_true(decision.outcome, who, 1)) fail("refused, though at no instant it was full");
    gate.table().abandon(claim);
    return false;
  }
}

bool World::admit(std::uint32_t who) {
  const auto claimed = claim(who);
  if (!claimed) fail("no free slot");
  return claimed && add(*claimed);
}

bool World::bind(std::uint32_t who, SlotRef reservation) {
  clock_ms[acting] = active_ms(who);
  const auto claimed = claim(who);
  if (!claimed) return false;
  if (gate.bind(*claimed, seat_of(reservation)) == Outcome::done) return true;
  gate.table().abandon(*claimed);
  return false;
}

bool World::release(SlotRef ref) {
  return gate.remove(ref.slot, seated_generation(ref));
}

bool World::evict(SlotRef claim, SlotRef victim, VictimFate fate) {
  const std::uint32_t who = claimer_at(claim.slot);
  clock_ms[acting] = active_ms(who);
  const Decision decision = gate.evict(claim, seat_of(victim), fate, rules_of(who));
  if (decision.done()) return true;
  if (!is_true(decision.outcome, who, 0)) fail("an eviction refused, though there was room");
  gate.table().abandon(claim);
  return false;
}

bool World::take_idle(SlotRef claim, const Victim& victim, std::uint64_t idle_since_ms) {
  const std::uint32_t who = claimer_at(claim.slot);
  clock_ms[acting] = active_ms(who);
  const Decision decision = gate.take_idle(claim, victim, idle_since_ms, rules_of(who));
  if (decision.done()) return true;
  // has_room: for an ADD.
  if (!is_true(decision.outcome, who, decision.outcome == Outcome::has_room))
    fail("an idle seat refused, though at no instant it had to be");
  gate.table().abandon(claim);
  return false;
}

bool World::return_to_seat(std::uint32_t who, SlotRef parked, bool over_limit) {
  clock_ms[acting] = active_ms(who) + kReturned_ms;
  const Decision decision =
      gate.return_to_seat(parked.slot, parked_generation(parked), rules_of(who), over_limit);
  if (!is_true(decision.outcome, who, 1)) fail("a return refused, though there was room");
  return decision.done();
}

bool World::park(std::uint32_t who, const Victim& victim, std::uint64_t idle_since_ms) {
  const Outcome outcome = gate.park(victim, idle_since_ms, rules_of(who));
  if (outcome == Outcome::has_room && !is_true(outcome, who, 0))
    fail("not parked, though its seat alone would never have made room");
  return outcome == Outcome::done;
}

bool World::give_back(SlotRef reservation) {
  return gate.give_back(reservation.slot, seated_generation(reservation));
}

bool World::give_way(std::uint32_t who, SlotRef reservation) {
  giving_way_to[acting] = who;
  const Outcome outcome = gate.give_way(seat_of(reservation), rules_of(who));
  giving_way_to[acting] = 0;
  if (outcome == Outcome::has_room && !is_true(outcome, who, 1))
    fail("gave no way, though there was never room");
  return outcome == Outcome::done;
}

bool World::bar(SlotRef parked) {
  return gate.bar(parked.slot, parked_generation(parked));
}

void World::vacate(std::uint32_t who, SlotRef ref) {
  for (;;) {
    const StateWord state = gate.table().state(ref.slot);
    if (state.claimer_pid != who) return;
    if (state.stage == Stage::seated)
      gate.unseat(ref.slot, state.generation);
    else if (state.stage == Stage::parked)
      gate.bar(ref.slot, state.generation);
    else
      return;
  }
}

void World::end_device(const Decision& found) {
  if (found.outcome == Outcome::device_seated) gate.remove(found.slot, found.generation);
  if (found.outcome == Outcome::device_parked) gate.drop(found.slot, found.generation);
  if (found.outcome == Outcome::device_exempt) gate.unlist_exempt(found.slot, found.generation);
}

bool World::device_login(std::uint32_t who) {
  const auto claimed = claim(who);
  if (!claimed) fail("no free slot");
  clock_ms[acting] = active_ms(who);
  while (claimed) {
    const Decision decision = gate.add(*claimed, rules_of(who));
    if (decision.outcome == Outcome::stale_configuration) continue;
    const Victim old{decision.slot, decision.generation};
    if (decision.done() ||
        (decision.outcome == Outcome::device_seated &&
         gate.hand_over(*claimed, old, VictimFate::freed, rules_of(who)).done())) {
      check_notes(who, decision.device_has_notes);
      return true;
    }
    if (decision.outcome == Outcome::device_seated) continue;
    if (decision.is_of_device()) {
      end_device(decision);
      continue;
    }
    if (!is_true(decision.outcome, who, 1))
      fail("a device refused, though at no instant it was full");
    gate.table().abandon(*claimed);
    break;
  }
  return false;
}

// Whoever has a seat knows of the notes of its device, which it is to drop: all that are older.
void World::check_notes(std::uint32_t who, bool are_known) {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const std::uint32_t other = states()[slot].claimer_pid;
    if (states()[slot].stage == Stage::evicted && traits[other].device == traits[who].device &&
        !are_known)
      fail("a note of the device was not seen");
  }
}

bool World::device_use(std::uint32_t who) {
  std::optional<SlotRef> claimed;
  clock_ms[acting] = active_ms(who);
  for (;;) {
    const Decision decision =
        claimed ? gate.add(*claimed, rules_of(who)) : gate.find_device(rules_of(who));
    if (decision.is_of_device()) {
      Snapshot held;
      if (!gate.table().snapshot(decision.slot, held) ||
          held.state.generation != decision.generation)
        continue;
      const std::uint32_t user = user_at(decision.slot);
      const bool was_there = gate.touch(held.ref, held.record.opened_boottime_ms);
      if (was_there && user != record_of(who).user_hash[4]) fail("another's session was used");
      if (claimed) gate.table().abandon(*claimed);
      return was_there;
    }
    if (decision.outcome == Outcome::stale_configuration) continue;
    if (!claimed) {
      claimed = claim(who);
      if (!claimed) fail("no free slot");
      continue;
    }
    if (decision.done()) return true;
    if (!is_true(decision.outcome, who, 1)) fail("a use refused, though at no instant it was full");
    gate.table().abandon(*claimed);
    return false;
  }
}

void World::device_exempt(std::uint32_t who) {
  const auto claimed = claim(who);
  if (!claimed) return fail("no free slot");
  clock_ms[acting] = active_ms(who);
  for (;;) {
    const Decision decision = gate.list_exempt(*claimed, rules_of(who));
    if (decision.done()) return;
    end_device(decision);
  }
}

bool World::expire(std::uint32_t who, SlotRef ref, std::uint64_t unused_since_ms) {
  const StateWord state = gate.table().state(ref.slot);
  if (state.claimer_pid != who || (state.stage != Stage::seated && state.stage != Stage::parked))
    return false;
  return gate.expire(ref.slot, state, unused_since_ms);
}

bool World::drop(SlotRef parked) {
  return gate.drop(parked.slot, parked_generation(parked));
}

void World::leave(std::uint32_t who, SlotRef ref) {
  for (;;) {
    const StateWord state = gate.table().state(ref.slot);
    if (state.claimer_pid != who) return;
    bool left = false;
    if (state.stage == Stage::seated) left = gate.remove(ref.slot, state.generation);
    if (state.stage == Stage::parked) left = gate.drop(ref.slot, state.generation);
    if (state.stage == Stage::evicted) left = gate.unlist_evicted(ref.slot, state.generation);
    if (left) return;
  }
}

void World::reap() {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const StateWord state = gate.table().state(slot);
    if (state.stage == Stage::free || !dead[state.claimer_pid]) continue;
    // If the gate names it, it becomes a seat by that, and is looked at as one.
    if (state.stage == Stage::claimed) gate.free_dead_claim(slot, state.generation);
    Snapshot held;
    if (!gate.table().snapshot(slot, held) || !dead[held.state.claimer_pid]) continue;
    const std::uint32_t generation = held.state.generation;
    if (held.state.stage == Stage::seated) {
      if (held.record.kind == RecordKind::reservation)
        gate.give_back(slot, generation);
      else
        gate.remove(slot, generation);
    }
    if (held.state.stage == Stage::parked) gate.drop(slot, generation);
    if (held.state.stage == Stage::evicted) gate.unlist_evicted(slot, generation);
    if (held.state.stage == Stage::exempt) gate.unlist_exempt(slot, generation);
  }
}

void World::read_all() {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    Snapshot held;
    if (!gate.table().snapshot(slot, held)) continue;
    std::array<std::uint64_t, kRecordWords> words;
    std::memcpy(words.data(), &held.record, sizeof held.record);
    const std::uint64_t who = words[kWhoWord];
    if (who != held.state.claimer_pid) fail("a record of another occupant was read");
    for (std::size_t i = 0; i < kRecordWords; ++i)
      if (is_of_pattern(i) && words[i] != pattern(who, i)) fail("a torn record was read");
    if (words[kOpenedWord] != active_ms(held.state.claimer_pid)) fail("a torn record was read");
    // Seated the first, third, … generation after the claim; parked or evicted another one.
    const std::uint32_t since = held.state.generation - held.ref.epoch;
    if (held.state.stage == Stage::seated ? since % 2 == 0 : since < 2) fail("an epoch is wrong");
    if (held.last_activity_ms / active_ms(1) != who) fail("another's activity was read");
  }
}

void World::search() {
  const std::uint64_t began = clock() / kActivityUnit_ms * kActivityUnit_ms;
  gate.nop();
  std::array<std::uint64_t, kSlots> passed{};
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    passed[slot] = memory.slots[slot].state.load(std::memory_order_acquire);
  const States now = settled(gate_word(), states());
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (now[slot].stage != Stage::seated) continue;
    const StateWord at = gate.widths().state(passed[slot]);
    if (at.stage == Stage::seated && at.generation == now[slot].generation) continue;
    const std::uint64_t activity = memory.slots[slot].last_activity.peek() & 0xffffffff;
    if ((activity >> 2) * kActivityUnit_ms < began)
      fail("a search missed one whose activity is older than it");
  }
}

// --- The monitor ---

World::States World::states() const {
  States result;
  for (std::size_t i = 0; i < kSlots; ++i)
    result[i] = gate.widths().state(memory.slots[i].state.peek());
  return result;
}

GateWord World::gate_word() const {
  return gate.widths().gate(memory.shared.gate.peek());
}

RecordImage World::record_at(std::uint32_t slot) const {
  std::array<std::uint64_t, kRecordWords> words;
  for (std::size_t i = 0; i < kRecordWords; ++i)
    words[i] = memory.slots[slot].record[i].peek();
  RecordImage record;
  std::memcpy(&record, words.data(), sizeof record);
  return record;
}

World::States World::settled(const GateWord& named, States slots) const {
  if (named.slot >= kSlots) return slots;
  const auto is_at = [&](std::uint32_t slot, std::uint32_t generation, Stage stage) {
    return slot < kSlots && slots[slot].stage == stage && slots[slot].generation == generation;
  };
  const auto move_on = [&](std::uint32_t slot, std::uint32_t generation, Stage from, Stage to) {
    if (!is_at(slot, generation, from)) return;
    StateWord& state = slots[slot];
    state.stage = to;
    state.generation = gate.widths().next_generation(generation);
    if (to == Stage::free) state.claimer_pid = state.claimer_hash = 0;
  };
  const auto [count, slot, generation, op] = named;
  switch (op) {
    case GateOp::add:
      move_on(slot, generation, Stage::claimed, Stage::seated);
      break;
    case GateOp::remove:
      move_on(slot, generation, Stage::seated, Stage::free);
      break;
    case GateOp::park:
      if (is_at(slot, generation, Stage::parked))
        move_on(slot, generation, Stage::parked, Stage::evicted);
      else if (is_at(slot, generation, Stage::claimed))
        move_on(slot, generation, Stage::claimed, Stage::exempt);
      else
        move_on(slot, generation, Stage::seated, Stage::parked);
      break;
    case GateOp::return_:
      if (is_at(slot, generation, Stage::seated)) {
        const RecordImage reservation = record_at(slot);
        move_on(reservation.victim_slot,
                gate.widths().next_generation(reservation.victim_generation), Stage::parked,
                Stage::seated);
        move_on(slot, generation, Stage::seated, Stage::free);
      } else {
        move_on(slot, generation, Stage::parked, Stage::seated);
      }
      break;
    case GateOp::drop:
      move_on(slot, generation, Stage::parked, Stage::free);
      break;
    case GateOp::move:
      if (is_at(slot, generation, Stage::claimed)) {
        const RecordImage newcomer = record_at(slot);
        const VictimFate fate = newcomer.victim_fate;
        move_on(newcomer.victim_slot, newcomer.victim_generation, Stage::seated,
                fate == VictimFate::evicted ? Stage::evicted
                : fate == VictimFate::freed ? Stage::free
                                            : Stage::parked);
        move_on(slot, generation, Stage::claimed, Stage::seated);
      }
      break;
    default:
      break;
  }
  return slots;
}

// The one moment when there is a seat too many: its owner has it again, and the reservation is not
// free yet.
bool World::is_half_given_back(const States& slots) const {
  const GateWord named = gate_word();
  if (named.op != GateOp::return_ || named.slot >= kSlots) return false;
  const StateWord& state = slots[named.slot];
  if (state.stage != Stage::seated || state.generation != named.generation) return false;
  const RecordImage reservation = record_at(named.slot);
  return reservation.victim_slot < kSlots && slots[reservation.victim_slot].stage == Stage::seated;
}

std::uint32_t World::count_seated() const {
  const States now = settled(gate_word(), states());
  return static_cast<std::uint32_t>(std::count_if(
      now.begin(), now.end(), [](const StateWord& s) { return s.stage == Stage::seated; }));
}

bool World::has_stage(std::uint32_t who, Stage stage) const {
  const States now = settled(gate_word(), states());
  return std::any_of(now.begin(), now.end(),
                     [&](const StateWord& s) { return s.stage == stage && s.claimer_pid == who; });
}

std::int32_t World::limit_now() const {
  const std::uint64_t changed = memory.shared.override_limit.peek();
  const std::uint64_t word = (changed & kLimitSet) != 0 ? changed : memory.shared.configured.peek();
  return static_cast<std::int32_t>(word & 0xffffffff);
}

std::uint32_t World::claimer_at(std::uint32_t slot) const {
  return gate.widths().state(memory.slots[slot].state.peek()).claimer_pid;
}

std::uint32_t World::user_at(std::uint32_t slot) const {
  return static_cast<std::uint32_t>(memory.slots[slot].record[kUserWord].peek() >> 32);
}

// 0: none, or nothing that means anything.
std::uint32_t World::device_at(std::uint32_t slot) const {
  return static_cast<std::uint32_t>(device_of(record_at(slot))[0]);
}

std::uint64_t World::groups_at(std::uint32_t slot) const {
  return memory.slots[slot].record[kGroupsWord].peek();
}

std::int32_t World::held_by_limited_user(const States& slots) const {
  std::int32_t held = 0;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    held += slots[slot].stage == Stage::seated && user_at(slot) == limited_user;
  return held;
}

std::int32_t World::held_by_group(const States& slots, std::size_t group) const {
  std::int32_t held = 0;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    held += slots[slot].stage == Stage::seated && (groups_at(slot) >> group & 1) != 0;
  return held;
}

std::uint64_t World::seen_of(const States& now) const {
  const bool user_full = user_limit >= 0 && held_by_limited_user(now) >= user_limit;
  const bool group_full = group_limit >= 0 && held_by_group(now, 0) >= group_limit;
  std::uint64_t seen = 0;
  for (const std::int32_t limit : {allowed_least_, allowed_most_}) {
    const int free = limit - static_cast<std::int32_t>(gate_word().count);
    const auto row = static_cast<unsigned>(std::clamp(free, kFewest, kMost) - kFewest);
    seen |= std::uint64_t{1} << (row * 4 + user_full * 2u + group_full);
  }
  return seen;
}

// Whether at some instant since the actor began it was as `is` says.
template <class Is>
bool World::has_seen(Is is) const {
  for (std::uint64_t seen = seen_[acting] | seen_now_; seen != 0; seen &= seen - 1) {
    const int bit = std::countr_zero(seen);
    if (is(Seen{bit / 4 + kFewest, (bit & 2) != 0, (bit & 1) != 0})) return true;
  }
  return false;
}

bool World::is_true(Outcome outcome, std::uint32_t who, std::int32_t more) const {
  const Traits& its = traits[who];
  const std::int32_t needed = more + its.held_back;
  const bool limited = user_limit >= 0 && its.user != 0 && its.user == limited_user;
  const bool member = group_limit >= 0 && (its.groups & 1) != 0;
  switch (outcome) {
    case Outcome::user_full:
      return limited && has_seen([](Seen at) { return at.user_full; });
    case Outcome::group_full:
      return member && has_seen([](Seen at) { return at.group_full; });
    case Outcome::site_full:
      return has_seen([&](Seen at) { return at.free < needed; });
    case Outcome::table_full:
      return has_seen([&](Seen at) {
        return limit_now() - at.free + more > static_cast<std::int32_t>(kCapacity);
      });
    case Outcome::has_room:
      // With a victim's seat, a full user or group may have room.
      return has_seen([&](Seen at) {
        return at.free >= needed &&
               (more == 0 || ((!limited || !at.user_full) && (!member || !at.group_full)));
      });
    default:
      return true;
  }
}

void World::begin() {
  failure = nullptr;
  was_woken = false;
  won.fill(false);
  giving_way_to.fill(0);
  dead.fill(false);
  clock_ms.fill(0);
  last_states_ = states();
  last_gate_ = memory.shared.gate.peek();
  allowed_most_ = allowed_least_ = limit_now();
  // A scene may begin above a lowered limit.
  highest_ever_ = std::max(limit_now(), static_cast<std::int32_t>(count_seated()));
  changing_limit_ = 0;
  seen_now_ = seen_of(settled(gate_word(), last_states_));
  seen_.fill(0);
  memory_changed = true;
}

void World::check() {
  if (failure != nullptr) throw Broken(failure);
  if (!memory_changed) return;
  memory_changed = false;
  const States now = states();
  allowed_most_ = std::max(allowed_most_, limit_now());
  allowed_least_ = std::min(allowed_least_, limit_now());
  highest_ever_ = std::max(highest_ever_, allowed_most_);
  if (memory.shared.gate.peek() != last_gate_) check_gate_change(now);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    check_slot_change(slot, last_states_[slot], now[slot]);
  check_seats(now);
  last_states_ = now;
  last_gate_ = memory.shared.gate.peek();
  seen_now_ = seen_of(settled(gate_word(), now));
  for (std::uint64_t& seen : seen_)
    seen |= seen_now_;
}

// Whatever is unsettled: of each user's device there is one session.
void World::check_devices(const States& slots) const {
  for (std::uint32_t a = 0; a < kSlots; ++a)
    for (std::uint32_t b = a + 1; b < kSlots; ++b) {
      const auto is_session = [&](std::uint32_t slot) {
        const Stage stage = slots[slot].stage;
        return (stage == Stage::seated || stage == Stage::parked || stage == Stage::exempt) &&
               device_at(slot) != 0;
      };
      demand(!is_session(a) || !is_session(b) || device_at(a) != device_at(b) ||
                 user_at(a) != user_at(b),
             "a device has two sessions");
    }
}

void World::check_seats(const States& now) const {
  check_devices(now);
  check_devices(settled(gate_word(), now));
  std::int32_t seated = 0;
  std::uint32_t sessions = 0;
  for (const StateWord& state : now) {
    if (state.stage != Stage::seated) continue;
    ++seated;
    // Unique even unsettled: victim first.
    const std::uint32_t bit = 1u << state.claimer_pid;
    demand((sessions & bit) == 0, "a session is seated twice");
    sessions |= bit;
  }
  const States finished = settled(gate_word(), now);
  const auto count = static_cast<std::int32_t>(gate_word().count);
  demand(count == std::count_if(finished.begin(), finished.end(),
                                [](const StateWord& s) { return s.stage == Stage::seated; }),
         "the count is not the number of seats");
  demand(count <= static_cast<std::int32_t>(kCapacity), "more are seated than the capacity");
  demand(seated <= highest_ever_ + is_half_given_back(now), "more are seated than the limit");
  demand(
      user_limit < 0 || std::max(held_by_limited_user(finished),
                                 held_by_limited_user(now) - is_half_given_back(now)) <= user_limit,
      "a user has too many seats");
  demand(
      group_limit < 0 || std::max(held_by_group(finished, 0),
                                  held_by_group(now, 0) - is_half_given_back(now)) <= group_limit,
      "a group has too many seats");
}

// When nothing is left to settle.
void World::check_groups(const States& settled) const {
  for (std::size_t i = 0; i < kMaxGroups; ++i)
    demand(
        static_cast<std::int32_t>(gate.widths().gate(memory.shared.groups[i].seats.peek()).count) ==
            held_by_group(settled, i),
        "a group's word is not the number of its seats");
}

void World::check_gate_change(const States& now) {
  const GateWord before = gate.widths().gate(last_gate_), after = gate_word();
  const States finished = settled(before, now);
  for (std::size_t i = 0; i < kSlots; ++i)
    demand(finished[i].generation == now[i].generation, "the gate moved on from unfinished work");
  check_groups(now);
  if (after.op != GateOp::nop && after.op != GateOp::none) {
    demand(after.slot < kSlots, "the gate names no slot");
    demand(settled(after, now)[after.slot].generation != now[after.slot].generation,
           "the gate names a slot that is not as the operation needs it");
  }
  const int more = static_cast<int>(after.count) - static_cast<int>(before.count);
  switch (after.op) {
    case GateOp::add:
      demand(more == 1, "an ADD that does not add one");
      check_room(after, false);
      break;
    case GateOp::return_:
      if (now[after.slot].stage == Stage::parked) {
        demand(more == 1, "a RETURN that does not add one");
        check_room(after, true);
      } else {
        const RecordImage reservation = record_at(after.slot);
        demand(more == 0, "a seat given back changes the count");
        check_gives_way(before);
        demand(
            reservation.victim_slot < kSlots && now[reservation.victim_slot].stage == Stage::parked,
            "a seat given back to one who is not parked");
      }
      break;
    case GateOp::remove:
      demand(more == -1, "a REMOVE that does not remove one");
      check_gives_way(before);
      break;
    case GateOp::park:
      if (now[after.slot].stage != Stage::seated) {
        demand(more == 0, "a session barred, or listed as exempt, changes the count");
        break;
      }
      demand(more == -1, "a PARK that does not remove one");
      {
        // For whom is not known here: for one who may have the fewest.
        std::int32_t held_back = 0;
        for (const Traits& its : traits)
          held_back = std::max(held_back, its.held_back);
        demand(static_cast<std::int32_t>(before.count) + held_back > allowed_least_ ||
                   user_limit >= 0 || group_limit >= 0 || may_vacate,
               "parked, though its seat alone would have made room");
      }
      break;
    case GateOp::move: {
      demand(more == 0, "a MOVE that changes the count");
      const RecordImage newcomer = record_at(after.slot);
      demand(newcomer.victim_slot < kSlots && now[newcomer.victim_slot].stage == Stage::seated &&
                 now[newcomer.victim_slot].generation == newcomer.victim_generation,
             "a MOVE of a seat that nobody has");
      if (newcomer.victim_fate != VictimFate::freed) check_room(after, false);
      break;
    }
    default:
      demand(more == 0, "an operation that must not changes the count");
  }
}

// Only for one whom the site refuses otherwise.
void World::check_gives_way(const GateWord& before) const {
  const std::uint32_t who = giving_way_to[acting];
  if (who == 0 || user_limit >= 0 || group_limit >= 0) return;
  demand(static_cast<std::int32_t>(before.count) + traits[who].held_back >= allowed_least_,
         "a reservation gave way, though there was room");
}

void World::check_room(const GateWord& after, bool is_return) {
  const auto count = static_cast<std::int32_t>(after.count);
  if (is_return && returns_over_limit) {
    highest_ever_ = std::max(highest_ever_, count);
    return;
  }
  const std::int32_t held_back = traits[claimer_at(after.slot)].held_back;
  demand(count + held_back <= allowed_most_,
         is_return ? "returned above the limit" : "admitted above the limit");
}

// What begins or ends without a seat, by anybody; all else only while the gate names it.
void World::check_slot_change(std::uint32_t slot, const StateWord& before,
                              const StateWord& now) const {
  if (before.stage == now.stage && before.generation == now.generation) return;
  demand(now.generation == gate.widths().next_generation(before.generation),
         "a transition did not take the next generation");
  const StateWord named = settled(gate_word(), last_states_)[slot];
  if (named.stage == now.stage && named.generation == now.generation) return;
  demand(named.generation == before.generation, "a transition that is not the one the gate names");
  const bool needs_no_gate =
      (before.stage == Stage::free && now.stage == Stage::claimed) ||
      (before.stage == Stage::claimed && now.stage == Stage::free) ||
      (before.stage == Stage::claimed && now.stage == Stage::exempt && device_at(slot) == 0) ||
      (before.stage == Stage::exempt && now.stage == Stage::free) ||
      (before.stage == Stage::exempt && now.stage == Stage::evicted) ||
      (before.stage == Stage::evicted && now.stage == Stage::free);
  demand(needs_no_gate, "a seat was taken, given up or parked without the gate");
}

void World::check_end() {
  check();
  reap();
  gate.count();
  check_seats(states());
  check_groups(states());
  for (const StateWord& state : states()) {
    demand(state.stage != Stage::claimed, "a claim has leaked");
    demand(state.stage == Stage::free || !dead[state.claimer_pid], "a seat of the dead has leaked");
  }
  // Newcomers under numbers that nobody else has, so that none is seated twice.
  std::uint32_t who = 10;
  const std::int32_t limit = std::min(limit_now(), static_cast<std::int32_t>(kCapacity));
  seen_.fill(~std::uint64_t{0});
  while (static_cast<std::int32_t>(gate.count()) < limit) {
    demand(admit(who++), "a free seat cannot be taken");
    check_seats(states());
  }
  demand(!admit(who), "one too many was admitted");
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    switch (const StateWord state = gate.table().state(slot); state.stage) {
      case Stage::seated:
        gate.remove(slot, state.generation);
        break;
      case Stage::parked:
        gate.drop(slot, state.generation);
        break;
      case Stage::evicted:
        gate.unlist_evicted(slot, state.generation);
        break;
      case Stage::exempt:
        gate.unlist_exempt(slot, state.generation);
        break;
      default:
        break;
    }
  demand(gate.count() == 0, "the count is not 0 when all have left");
  check_groups(states());
  for (const StateWord& state : states())
    demand(state.stage == Stage::free, "a slot has leaked");
}
