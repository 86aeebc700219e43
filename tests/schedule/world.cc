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
constexpr std::size_t kEpochWord = offsetof(RecordImage, epoch) / 8;
constexpr std::size_t kVictimGenerationWord = offsetof(RecordImage, victim_generation) / 8;
static_assert(offsetof(RecordImage, epoch) % 8 == 0 && offsetof(RecordImage, reserved) % 8 == 4);

std::uint64_t pattern(std::uint64_t who, std::size_t word) {
  return who << 32 | (word * 0x01010101);
}

}  // namespace

RecordImage World::record_of(std::uint32_t who) {
  std::array<std::uint64_t, kRecordWords> words;
  for (std::size_t i = 0; i < kRecordWords; ++i)
    words[i] = pattern(who, i);
  words[kWhoWord] = who;
  RecordImage record;
  std::memcpy(&record, words.data(), sizeof record);
  record.victim_slot = kNoSlot;
  record.victim_generation = record.reserved = 0;
  return record;
}

// --- Actors ---

std::optional<SlotRef> World::claim(std::uint32_t who) {
  const auto claimed = gate.claim(0, Claimer{who, 1});
  if (claimed) gate.write_record(*claimed, record_of(who));
  return claimed;
}

bool World::add(SlotRef claim) {
  std::uint32_t count = 0;
  std::int32_t limit = 0;
  for (;;) {
    const AddResult result = gate.add(claim, gate.configured(), &count, &limit);
    if (result == AddResult::done) return true;
    if (result == AddResult::stale_configuration) continue;
    if (!found_full_[acting]) fail("refused, though at no instant all seats were taken");
    gate.abandon(claim);
    return false;
  }
}

bool World::admit(std::uint32_t who) {
  const auto claimed = claim(who);
  if (!claimed) fail("no free slot");
  return claimed && add(*claimed);
}

bool World::bind(std::uint32_t who, SlotRef reservation) {
  RecordImage record = record_of(who);
  record.victim_slot = reservation.slot;
  record.victim_generation = seated_generation(reservation);
  const auto claimed = gate.claim(0, Claimer{who, 1});
  if (!claimed) return false;
  gate.write_record(*claimed, record);
  if (gate.move(*claimed, reservation.slot, seated_generation(reservation))) return true;
  gate.abandon(*claimed);
  return false;
}

bool World::release(SlotRef ref) {
  return gate.remove(ref.slot, seated_generation(ref));
}

void World::reap() {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const StateWord state = gate.state(slot);
    if (state.stage == Stage::free || !dead[state.claimer_pid]) continue;
    // If the gate names it, it becomes a seat by that, and is looked at as one.
    if (state.stage == Stage::claimed) gate.free_dead_claim(slot, state.generation);
    Snapshot held;
    if (gate.snapshot(slot, held) && dead[held.state.claimer_pid])
      gate.remove(slot, held.state.generation);
  }
}

void World::read_all() {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    Snapshot held;
    if (!gate.snapshot(slot, held)) continue;
    std::array<std::uint64_t, kRecordWords> words;
    std::memcpy(words.data(), &held.record, sizeof held.record);
    const std::uint64_t who = words[kWhoWord];
    if (who != held.state.claimer_pid) fail("a record of another occupant was read");
    for (std::size_t i = 0; i < kRecordWords; ++i)
      if (i != kWhoWord && i != kEpochWord && i != kVictimGenerationWord &&
          words[i] != pattern(who, i))
        fail("a torn record was read");
    if (held.state.generation != seated_generation(held.ref)) fail("an epoch is wrong");
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
  if (named.op == GateOp::move && named.slot < kSlots &&
      slots[named.slot].stage == Stage::claimed &&
      slots[named.slot].generation == named.generation) {
    RecordImage record;
    std::array<std::uint64_t, kRecordWords> words;
    for (std::size_t i = 0; i < kRecordWords; ++i)
      words[i] = memory.slots[named.slot].record[i].peek();
    std::memcpy(&record, words.data(), sizeof record);
    move_on(record.victim_slot, record.victim_generation, Stage::seated, Stage::free);
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

bool World::is_full() const {
  return static_cast<std::int32_t>(gate_word().count) >= std::min(allowed_least_, limit_now());
}

void World::begin() {
  failure = nullptr;
  dead.fill(false);
  last_states_ = states();
  last_gate_ = memory.shared.gate.peek();
  allowed_most_ = allowed_least_ = highest_ever_ = limit_now();
  changing_limit_ = 0;
  found_full_.fill(false);
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
  const bool full = is_full();
  for (bool& found : found_full_)
    found = found || full;
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
}

void World::check_gate_change(const States& now) {
  const GateWord before = gate.widths().gate(last_gate_), after = gate_word();
  const States finished = settled(before, now);
  for (std::size_t i = 0; i < kSlots; ++i)
    demand(finished[i].generation == now[i].generation, "the gate moved on from unfinished work");
  const int more = static_cast<int>(after.count) - static_cast<int>(before.count);
  switch (after.op) {
    case GateOp::add:
      demand(more == 1, "an ADD that does not add one");
      demand(static_cast<std::int32_t>(after.count) <= allowed_most_, "admitted above the limit");
      break;
    case GateOp::remove:
      demand(more == -1, "a REMOVE that does not remove one");
      break;
    default:
      demand(more == 0, "an operation that must not changes the count");
  }
}

// FREE <-> CLAIMED by anybody; all else only while the gate names it.
void World::check_slot_change(std::uint32_t slot, const StateWord& before,
                              const StateWord& now) const {
  if (before.stage == now.stage && before.generation == now.generation) return;
  demand(now.generation == gate.widths().next_generation(before.generation),
         "a transition did not take the next generation");
  if (before.stage == Stage::free && now.stage == Stage::claimed) return;
  const GateWord named = gate_word();
  if (before.stage == Stage::claimed && now.stage == Stage::free) {
    demand(named.slot != slot || named.generation != before.generation ||
               (named.op != GateOp::add && named.op != GateOp::move),
           "a claim was freed that the gate names");
    return;
  }
  if (before.stage == Stage::claimed && now.stage == Stage::seated) {
    demand(named.slot == slot && named.generation == before.generation &&
               (named.op == GateOp::add || named.op == GateOp::move),
           "seated without the gate");
    return;
  }
  demand(before.stage == Stage::seated && now.stage == Stage::free, "an impossible transition");
  const bool removed = named.op == GateOp::remove && named.slot == slot;
  demand(removed || named.op == GateOp::move, "unseated without the gate");
}

void World::check_end() {
  check();
  reap();
  check_seats(states());
  for (const StateWord& state : states()) {
    demand(state.stage != Stage::claimed, "a claim has leaked");
    demand(state.stage == Stage::free || !dead[state.claimer_pid], "a seat of the dead has leaked");
  }
  // Newcomers under numbers that nobody else has, so that none is seated twice.
  std::uint32_t who = 10;
  const std::int32_t limit = std::min(limit_now(), static_cast<std::int32_t>(kCapacity));
  found_full_.fill(true);
  while (static_cast<std::int32_t>(gate.count()) < limit) {
    demand(admit(who++), "a free seat cannot be taken");
    check_seats(states());
  }
  demand(!admit(who), "one too many was admitted");
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    if (const StateWord state = gate.state(slot); state.stage == Stage::seated)
      gate.remove(slot, state.generation);
  demand(gate.count() == 0, "the count is not 0 when all have left");
  for (const StateWord& state : states())
    demand(state.stage == Stage::free, "a slot has leaked");
}
