#include "world.h"

#include <algorithm>
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
static_assert(offsetof(RecordImage, epoch) % 8 == 0 && offsetof(RecordImage, ttl_s) % 8 == 4);

bool is_of_pattern(std::size_t word) {
  return word != kWhoWord && word != kEpochWord && word != kVictimGenerationWord &&
         word != kGroupsWord && word != kIdleWord;
}

std::uint64_t pattern(std::uint64_t who, std::size_t word) {
  return who << 32 | (word * 0x01010101);
}

}  // namespace

RecordImage World::record_of(std::uint32_t who, const Traits& traits) {
  std::array<std::uint64_t, kRecordWords> words;
  for (std::size_t i = 0; i < kRecordWords; ++i)
    words[i] = pattern(who, i);
  words[kWhoWord] = who;
  const std::uint32_t user = traits.user != 0 ? traits.user : who;
  for (std::size_t i = kUserWord; i < kUserWord + 2; ++i)
    words[i] = pattern(user, i);
  RecordImage record;
  std::memcpy(&record, words.data(), sizeof record);
  record.victim_slot = kNoSlot;
  record.victim_generation = 0;
  record.victim_fate = VictimFate::freed;
  record.groups = traits.groups;
  record.idle_after_s = traits.idle_after_s;
  record.ttl_s = 0;
  return record;
}

// --- Actors ---

std::optional<SlotRef> World::claim(std::uint32_t who) {
  const RecordImage record = record_of(who, traits[who]);
  const auto claimed = gate.table().claim(0, record.user_hash, Claimer{who, 1});
  if (claimed) gate.table().write_record(*claimed, record);
  return claimed;
}

Rules World::rules_of(std::uint32_t who) {
  Rules rules{gate.configured(), 0, record_of(who, traits[who]).user_hash, -1, {}};
  if (traits[who].user != 0 && traits[who].user == limited_user) rules.user_limit = user_limit;
  group_rule_[0] = {0, group_limit};
  if (group_limit >= 0 && (traits[who].groups & 1) != 0) rules.groups = group_rule_;
  return rules;
}

bool World::is_true_refusal(Outcome outcome) const {
  const Full& found = found_full_[acting];
  switch (outcome) {
    case Outcome::user_full:
      return found.user;
    case Outcome::group_full:
      return found.group;
    case Outcome::site_full:
      return found.site;
    default:
      return outcome != Outcome::table_full;
  }
}

bool World::add(SlotRef claim) {
  const std::uint32_t who = claimer_at(claim.slot);
  for (;;) {
    const Decision decision = gate.add(claim, rules_of(who));
    if (decision.done()) return true;
    if (decision.outcome == Outcome::stale_configuration) continue;
    if (!is_true_refusal(decision.outcome))
      fail("refused, though at no instant all seats were taken");
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
  const auto claimed = claim(who);
  if (!claimed) return false;
  if (gate.bind(*claimed, {reservation.slot, seated_generation(reservation)}) == Outcome::done)
    return true;
  gate.table().abandon(*claimed);
  return false;
}

bool World::release(SlotRef ref) {
  return gate.remove(ref.slot, seated_generation(ref));
}

bool World::evict(SlotRef claim, SlotRef victim) {
  const Decision decision =
      gate.evict(claim, {victim.slot, seated_generation(victim)}, rules_of(claimer_at(claim.slot)));
  if (decision.done()) return true;
  if (!is_true_refusal(decision.outcome)) fail("an eviction refused, though there was room");
  gate.table().abandon(claim);
  return false;
}

bool World::take_idle(SlotRef claim, SlotRef victim, std::uint64_t idle_since_ms) {
  const Decision decision = gate.take_idle(claim, {victim.slot, seated_generation(victim)},
                                           idle_since_ms, rules_of(claimer_at(claim.slot)));
  if (decision.done()) return true;
  if (!is_true_refusal(decision.outcome)) fail("an idle seat refused, though there was room");
  gate.table().abandon(claim);
  return false;
}

bool World::return_to_seat(std::uint32_t who, SlotRef parked) {
  const Decision decision =
      gate.return_to_seat(parked.slot, parked_generation(parked), rules_of(who), false);
  if (!is_true_refusal(decision.outcome)) fail("a return refused, though there was room");
  return decision.done();
}

bool World::park(SlotRef ref, std::uint64_t idle_since_ms) {
  return gate.park(ref.slot, seated_generation(ref), idle_since_ms, gate.configured()) ==
         Outcome::done;
}

bool World::drop(SlotRef parked) {
  return gate.drop(parked.slot, parked_generation(parked));
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
    if (held.state.stage == Stage::seated) gate.remove(slot, generation);
    if (held.state.stage == Stage::parked) gate.drop(slot, generation);
    if (held.state.stage == Stage::evicted) gate.unlist_evicted(slot, generation);
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
    // Seated the first, third, … generation after the claim; parked or evicted the second, ….
    const bool odd = (held.state.generation - held.ref.epoch) % 2 == 1;
    if (odd != (held.state.stage == Stage::seated)) fail("an epoch is wrong");
    if (held.last_activity_ms != 0 && held.last_activity_ms / 1'000'000 != who &&
        held.last_activity_ms != held.record.opened_boottime_ms / 100 % (1ull << 32) * 100)
      fail("another's activity was read");
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

World::States World::settled(const GateWord& named, States slots) const {
  const auto move_on = [&](std::uint32_t slot, std::uint32_t generation, Stage from, Stage to) {
    if (slot >= kSlots) return;
    StateWord& state = slots[slot];
    if (state.stage != from || state.generation != generation) return;
    state.stage = to;
    state.generation = gate.widths().next_generation(generation);
    if (to == Stage::free) state.claimer_pid = state.claimer_hash = 0;
  };
  if (named.op == GateOp::add) move_on(named.slot, named.generation, Stage::claimed, Stage::seated);
  if (named.op == GateOp::remove) move_on(named.slot, named.generation, Stage::seated, Stage::free);
  if (named.op == GateOp::park) move_on(named.slot, named.generation, Stage::seated, Stage::parked);
  if (named.op == GateOp::return_)
    move_on(named.slot, named.generation, Stage::parked, Stage::seated);
  if (named.op == GateOp::drop) move_on(named.slot, named.generation, Stage::parked, Stage::free);
  if (named.op == GateOp::move && named.slot < kSlots &&
      slots[named.slot].stage == Stage::claimed &&
      slots[named.slot].generation == named.generation) {
    RecordImage record;
    std::array<std::uint64_t, kRecordWords> words;
    for (std::size_t i = 0; i < kRecordWords; ++i)
      words[i] = memory.slots[named.slot].record[i].peek();
    std::memcpy(&record, words.data(), sizeof record);
    const Stage fate = record.victim_fate == VictimFate::parked    ? Stage::parked
                       : record.victim_fate == VictimFate::evicted ? Stage::evicted
                                                                   : Stage::free;
    move_on(record.victim_slot, record.victim_generation, Stage::seated, fate);
    move_on(named.slot, named.generation, Stage::claimed, Stage::seated);
  }
  return slots;
}

std::uint32_t World::count_seated() const {
  const States now = settled(gate_word(), states());
  return static_cast<std::uint32_t>(std::count_if(
      now.begin(), now.end(), [](const StateWord& s) { return s.stage == Stage::seated; }));
}

bool World::is_seated(std::uint32_t who) const {
  const States now = settled(gate_word(), states());
  return std::any_of(now.begin(), now.end(), [&](const StateWord& s) {
    return s.stage == Stage::seated && s.claimer_pid == who;
  });
}

std::int32_t World::limit_now() const {
  const std::uint64_t changed = memory.shared.override_limit.peek();
  const std::uint64_t word =
      (changed & kOverrideSet) != 0 ? changed : memory.shared.configured.peek();
  return static_cast<std::int32_t>(word & 0xffffffff);
}

std::uint32_t World::claimer_at(std::uint32_t slot) const {
  return gate.widths().state(memory.slots[slot].state.peek()).claimer_pid;
}

std::uint32_t World::user_at(std::uint32_t slot) const {
  return static_cast<std::uint32_t>(memory.slots[slot].record[kUserWord].peek() >> 32);
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

World::Full World::full_now() const {
  const auto count = static_cast<std::int32_t>(gate_word().count);
  Full full{.site = count >= std::min(allowed_least_, limit_now()), .user = false, .group = false};
  if (user_limit < 0 && group_limit < 0) return full;
  const States now = settled(gate_word(), states());
  full.user = user_limit >= 0 && held_by_limited_user(now) >= user_limit;
  full.group = group_limit >= 0 && held_by_group(now, 0) >= group_limit;
  return full;
}

void World::begin() {
  failure = nullptr;
  was_woken = false;
  dead.fill(false);
  last_states_ = states();
  last_gate_ = memory.shared.gate.peek();
  allowed_most_ = allowed_least_ = limit_now();
  // A scene may begin above a lowered limit.
  highest_ever_ = std::max(limit_now(), static_cast<std::int32_t>(count_seated()));
  changing_limit_ = 0;
  found_full_.fill({});
}

void World::check() {
  if (failure != nullptr) throw Broken(failure);
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
  const Full full = full_now();
  for (Full& found : found_full_) {
    found.site |= full.site;
    found.user |= full.user;
    found.group |= full.group;
  }
}

void World::check_seats(const States& now) const {
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
  demand(gate_word().count == count_seated(), "the count is not the number of seats");
  demand(seated <= highest_ever_, "more are seated than the limit");
  demand(user_limit < 0 || held_by_limited_user(now) <= user_limit, "a user has too many seats");
  demand(group_limit < 0 || held_by_group(now, 0) <= group_limit, "a group has too many seats");
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
  const int more = static_cast<int>(after.count) - static_cast<int>(before.count);
  switch (after.op) {
    case GateOp::add:
      demand(more == 1, "an ADD that does not add one");
      demand(static_cast<std::int32_t>(after.count) <= allowed_most_, "admitted above the limit");
      break;
    case GateOp::return_:
      demand(more == 1, "a RETURN that does not add one");
      demand(static_cast<std::int32_t>(after.count) <= allowed_most_, "returned above the limit");
      break;
    case GateOp::remove:
    case GateOp::park:
      demand(more == -1, "a REMOVE or PARK that does not remove one");
      break;
    default:
      demand(more == 0, "an operation that must not changes the count");
  }
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
  const bool needs_no_gate = (before.stage == Stage::free && now.stage == Stage::claimed) ||
                             (before.stage == Stage::claimed && now.stage == Stage::free) ||
                             (before.stage == Stage::claimed && now.stage == Stage::exempt) ||
                             (before.stage == Stage::exempt && now.stage == Stage::free) ||
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
  found_full_.fill({true, true, true});
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
      default:
        break;
    }
  demand(gate.count() == 0, "the count is not 0 when all have left");
  check_groups(states());
  for (const StateWord& state : states())
    demand(state.stage == Stage::free, "a slot has leaked");
}
