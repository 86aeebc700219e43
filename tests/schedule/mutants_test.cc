// The schedule tests can fail: operations with a known flaw, put together from the same accesses as
// those of gate.h, each of which must be caught by some schedule within the bound.
#include <cstring>

#include "../support/catch.h"
#include "scenarios.h"

using namespace sessreg;

namespace {

constexpr auto kLoad = std::memory_order_acquire;
constexpr auto kStore = std::memory_order_release;
constexpr auto kBoth = std::memory_order_acq_rel;

ScheduledAtom& gate_of(World& w) {
  return w.memory.shared.gate;
}
std::uint64_t load_gate(World& w) {
  return gate_of(w).load(kLoad);
}
// The right way: with what it names settled, as far as that needs another's eyes.
std::uint64_t load_settled(World& w) {
  for (;;) {
    const std::uint64_t seen = load_gate(w);
    w.gate.count();
    if (load_gate(w) == seen) return seen;
  }
}
bool change_gate(World& w, std::uint64_t seen, int more, SlotRef slot, std::uint32_t generation,
                 GateOp op) {
  const int count = static_cast<int>(w.gate.widths().gate(seen).count) + more;
  const GateWord next{static_cast<std::uint32_t>(count), slot.slot, generation, op};
  return gate_of(w).compare_exchange_strong(seen, w.gate.widths().pack(next), kBoth, kLoad);
}
bool change_stage(World& w, std::uint32_t slot, std::uint32_t generation, Stage from, Stage to) {
  ScheduledAtom& word = w.memory.slots[slot].state;
  std::uint64_t seen = word.load(kLoad);
  StateWord state = w.gate.widths().state(seen);
  if (state.stage != from || state.generation != generation) return false;
  state.stage = to;
  state.generation = w.gate.widths().next_generation(generation);
  if (to == Stage::free) state.claimer_pid = state.claimer_hash = 0;
  return word.compare_exchange_strong(seen, w.gate.widths().pack(state), kBoth, kLoad);
}
bool has_room(World& w, std::uint64_t seen) {
  const std::int32_t limit = w.gate.override_limit().value_or(w.gate.configured().limit);
  return static_cast<std::int32_t>(w.gate.widths().gate(seen).count) < limit;
}
bool is_seated(World& w, SlotRef ref) {
  const StateWord state = w.gate.table().state(ref.slot);
  return state.stage == Stage::seated && state.generation == w.seated_generation(ref);
}

// --- The flawed ---

void add_without_settling(World& w) {
  for (;;) {
    const std::uint64_t seen = load_gate(w);
    if (!has_room(w, seen)) return w.gate.table().abandon(w.refs[2]);
    if (change_gate(w, seen, +1, w.refs[2], w.refs[2].epoch, GateOp::add)) break;
  }
  w.gate.count();
}
void add_seated_first(World& w) {
  for (;;) {
    const std::uint64_t seen = load_settled(w);
    if (!has_room(w, seen)) return w.gate.table().abandon(w.refs[2]);
    change_stage(w, w.refs[2].slot, w.refs[2].epoch, Stage::claimed, Stage::seated);
    if (change_gate(w, seen, +1, w.refs[2], w.refs[2].epoch, GateOp::add)) return;
  }
}
void add_looked_before(World& w) {
  if (!has_room(w, load_settled(w))) return w.gate.table().abandon(w.refs[2]);
  while (!change_gate(w, load_settled(w), +1, w.refs[2], w.refs[2].epoch, GateOp::add)) {
  }
  w.gate.count();
}
void release_freed_first(World& w) {
  const std::uint64_t seen = load_settled(w);
  if (change_stage(w, w.refs[0].slot, w.seated_generation(w.refs[0]), Stage::seated, Stage::free))
    change_gate(w, seen, -1, w.refs[0], w.seated_generation(w.refs[0]), GateOp::remove);
}
void release_looked_before(World& w) {
  if (!is_seated(w, w.refs[0])) return;
  while (!change_gate(w, load_settled(w), -1, w.refs[0], w.seated_generation(w.refs[0]),
                      GateOp::remove)) {
  }
  w.gate.count();
}
void store_limit(World& w) {
  w.memory.shared.override_limit.store(kLimitSet | 1, kStore);
}
void lower_without_nop(World& w) {
  w.change_limit_by([&] { store_limit(w); });
}
// A NOP that has no generation of its own may leave the gate as it was.
void lower_with_same_nop(World& w) {
  w.change_limit_by([&] {
    store_limit(w);
    while (!change_gate(w, load_settled(w), 0, {World::kSlots, 0}, 0, GateOp::nop)) {
    }
  });
}
void free_claim_unsettled(World& w) {
  for (std::uint32_t slot = 0; slot < World::kSlots; ++slot) {
    const StateWord state = w.gate.table().state(slot);
    if (state.stage == Stage::claimed && w.dead[state.claimer_pid])
      change_stage(w, slot, state.generation, Stage::claimed, Stage::free);
  }
}
// The claim of 1 (refs[2]) names refs[0] as its victim.
void move_newcomer_first(World& w) {
  const std::uint64_t seen = load_settled(w);
  if (!is_seated(w, w.refs[0])) return w.gate.table().abandon(w.refs[2]);
  if (!change_gate(w, seen, 0, w.refs[2], w.refs[2].epoch, GateOp::move))
    return w.gate.table().abandon(w.refs[2]);
  change_stage(w, w.refs[2].slot, w.refs[2].epoch, Stage::claimed, Stage::seated);
  change_stage(w, w.refs[0].slot, w.seated_generation(w.refs[0]), Stage::seated, Stage::free);
}
// The victim's name believed without a second look at the newcomer's generation.
void settle_move_unchecked(World& w) {
  const GateWord named = w.gate.widths().gate(load_gate(w));
  if (named.op != GateOp::move) return;
  if (w.gate.table().state(named.slot).stage != Stage::claimed) return;
  const auto& record = w.memory.slots[named.slot].record;
  const auto victim =
      static_cast<std::uint32_t>(record[offsetof(RecordImage, victim_slot) / 8].load(kLoad) >> 32);
  const auto generation =
      static_cast<std::uint32_t>(record[offsetof(RecordImage, victim_generation) / 8].load(kLoad));
  if (victim < World::kSlots) change_stage(w, victim, generation, Stage::seated, Stage::free);
  change_stage(w, named.slot, named.generation, Stage::claimed, Stage::seated);
}
void read_without_second_look(World& w) {
  for (const auto& slot : w.memory.slots) {
    const StateWord state = w.gate.widths().state(slot.state.load(kLoad));
    if (state.stage != Stage::seated) continue;
    // Two words are enough to be torn.
    const std::uint64_t first = slot.record[0].load(kLoad), last = slot.record[35].load(kLoad);
    if (last >> 32 != first >> 32) w.fail("a torn record was read");
  }
}

// The gate not looked at again after the group's word was loaded.
void settle_group_unchecked(World& w) {
  const GateWord named = w.gate.widths().gate(load_gate(w));
  if (named.op != GateOp::add) return;
  ScheduledAtom& word = w.memory.shared.groups[0].seats;
  std::uint64_t seen = word.load(kLoad);
  GateWord next = w.gate.widths().gate(seen);
  if (next.slot != named.slot || next.generation != named.generation || next.op != named.op) {
    next = {next.count + 1, named.slot, named.generation, named.op};
    word.compare_exchange_strong(seen, w.gate.widths().pack(next), kBoth, kLoad);
  }
  change_stage(w, named.slot, named.generation, Stage::claimed, Stage::seated);
}
constexpr std::uint64_t kIdleSince_ms = World::active_ms(kOld) + World::kIdle_ms;
constexpr std::uint64_t kAwake_ms = kIdleSince_ms + World::kIdle_ms;
std::uint64_t awake_clock() {
  return kAwake_ms;
}
void wake_without_nop(World& w) {
  w.gate.table().touch(w.refs[0], kAwake_ms, UseIsTold::as_before, &awake_clock);
  w.was_woken |= w.is_seated(kOld);
}
void wake(World& w) {
  w.touch(w.refs[0], kAwake_ms);
  w.was_woken |= w.is_seated(kOld);
}

// It finds the activity fresh, and takes that for the word of one who has moved the gate.
void touch_fresh_without_nop(World& w) {
  const std::uint64_t before = w.memory.slots[w.refs[0].slot].last_activity.load(kLoad);
  const auto activity =
      w.gate.table().touch(w.refs[0], kAwake_ms, UseIsTold::as_before, &awake_clock);
  if (activity != before) w.gate.nop();
  w.was_woken |= w.is_seated(kOld);
}
void take(World& w) {
  w.take_idle(w.refs[3], w.seat_of(w.refs[0]), kIdleSince_ms);
}
// kOld's seat has gone to the reservation refs[4].
void give_back(World& w) {
  w.give_back(w.refs[4]);
}
void remove_and_return(World& w) {
  if (w.gate.remove(w.refs[4].slot, w.seated_generation(w.refs[4])))
    w.return_to_seat(kOld, w.refs[0]);
}
void give_back_reservation_first(World& w) {
  const std::uint64_t seen = load_settled(w);
  if (!is_seated(w, w.refs[4])) return;
  if (!change_gate(w, seen, 0, w.refs[4], w.seated_generation(w.refs[4]), GateOp::return_)) return;
  change_stage(w, w.refs[4].slot, w.seated_generation(w.refs[4]), Stage::seated, Stage::free);
  change_stage(w, w.refs[0].slot, w.parked_generation(w.refs[0]), Stage::parked, Stage::seated);
}
// Whether there is room was looked at before the gate was loaded.
void give_way_looked_before(World& w) {
  w.giving_way_to[World::acting] = 2;
  if (!has_room(w, load_settled(w)))
    while (is_seated(w, w.refs[4]) &&
           !change_gate(w, load_settled(w), -1, w.refs[4], w.seated_generation(w.refs[4]),
                        GateOp::remove)) {
    }
  w.gate.count();
  w.giving_way_to[World::acting] = 0;
}
// The reservation is freed without the gate.
void give_way_freed_first(World& w) {
  w.gate.count();
  change_stage(w, w.refs[4].slot, w.seated_generation(w.refs[4]), Stage::seated, Stage::free);
}
void give_way(World& w) {
  w.give_way(2, w.refs[4]);
}
// Nobody looks at the limits of the one who has the seat again.
void give_back_unlooked(World& w) {
  for (;;) {
    const std::uint64_t seen = load_settled(w);
    if (!is_seated(w, w.refs[4])) return;
    if (change_gate(w, seen, 0, w.refs[4], w.seated_generation(w.refs[4]), GateOp::return_)) break;
  }
  w.gate.count();
}
void give_back_looked_before(World& w) {
  if (!is_seated(w, w.refs[4])) return;
  const bool parked = w.gate.table().state(w.refs[0].slot).stage == Stage::parked;
  while (!change_gate(w, load_settled(w), parked ? 0 : -1, w.refs[4],
                      w.seated_generation(w.refs[4]), parked ? GateOp::return_ : GateOp::remove)) {
  }
  w.gate.count();
}
void bar_without_gate(World& w) {
  w.gate.count();
  change_stage(w, w.refs[0].slot, w.parked_generation(w.refs[0]), Stage::parked, Stage::evicted);
}
void bar(World& w) {
  w.bar(w.refs[0]);
}
void return_(World& w) {
  w.was_woken = w.return_to_seat(kOld, w.refs[0]);
}
// As stale as it was when it was parked.
void return_without_activity(World& w) {
  for (;;) {
    const std::uint64_t seen = load_settled(w);
    if (!has_room(w, seen)) return;
    if (change_gate(w, seen, +1, w.refs[0], w.parked_generation(w.refs[0]), GateOp::return_)) break;
  }
  w.gate.count();
  w.was_woken = true;
}
// The seat of one alone would make room.
void park_unlooked(World& w) {
  for (;;) {
    const std::uint64_t seen = load_settled(w);
    if (!is_seated(w, w.refs[0])) return;
    if (change_gate(w, seen, -1, w.refs[0], w.seated_generation(w.refs[0]), GateOp::park)) break;
  }
  w.gate.count();
}
void park(World& w) {
  w.park(1, w.seat_of(w.refs[0]), kIdleSince_ms);
}
void park_other(World& w) {
  w.park(2, w.seat_of(w.refs[1]), World::active_ms(kOlder) + World::kIdle_ms);
}
void add(World& w) {
  w.add(w.refs[2]);
}
// The time is read before the gate is loaded.
void add_stamped_before(World& w) {
  const std::uint64_t now_ms = World::clock();
  for (;;) {
    const std::uint64_t seen = load_settled(w);
    if (!has_room(w, seen)) return w.gate.table().abandon(w.refs[2]);
    w.gate.table().stamp(w.refs[2], now_ms);
    if (change_gate(w, seen, +1, w.refs[2], w.refs[2].epoch, GateOp::add)) break;
  }
  w.gate.count();
}
void add_without_held_back(World& w) {
  Rules rules = w.rules_of(1);
  rules.held_back = 0;
  if (!w.gate.add(w.refs[2], rules).done()) w.gate.table().abandon(w.refs[2]);
}

// --- Their scenes ---

// refs[0], [1]: seats of kOld and kOlder; refs[2]: a claim of 1; refs[3]: a claim of 2, if wanted.
auto scene(std::int32_t limit, std::uint32_t seats, bool of_1, bool of_2) {
  return [=](World& w) {
    w.begin();
    w.gate.set_configured(w.gate.configured(), {1, limit});
    for (std::uint32_t i = 0; i < seats; ++i) {
      w.refs[i] = *w.claim(kOld + i);
      w.add(w.refs[i]);
    }
    RecordImage record = w.record_of(1);
    record.victim_slot = w.refs[0].slot;
    record.victim_generation = w.seated_generation(w.refs[0]);
    if (of_1) {
      w.refs[2] = *w.gate.table().claim(0, record.user_hash, {1, 1});
      w.gate.table().write_record(w.refs[2], record);
    }
    if (of_2) w.refs[3] = *w.claim(2);
  };
}
void add_2(World& w) {
  w.add(w.refs[3]);
}
void release(World& w) {
  w.release(w.refs[0]);
}

// A session of kOld that may be idle, on the only seat; 2 wants it.
void idle_scene(World& w) {
  w.traits[kOld].idle_after_s = World::kIdle_s;
  scene(1, 1, false, true)(w);
}
void demand_awake(World& w) {
  if (w.was_woken && !w.is_seated(kOld)) throw Broken("a session that had woken lost its seat");
}
void demand_given_back(World& w) {
  if (!w.is_seated(kOld)) throw Broken("who gave its seat to a reservation has it not again");
}
void lower(World& w) {
  w.set_limit(1);
}
void reap(World& w) {
  w.reap();
}
void bind_1(World& w) {
  if (w.gate.bind(w.refs[2], w.seat_of(w.refs[0])) != Outcome::done)
    w.gate.table().abandon(w.refs[2]);
}
void settle(World& w) {
  w.gate.count();
}
void read(World& w) {
  w.read_all();
}

// --- Of devices; 1, 2 and kOld have one ---

// Looks for the device's session, and then adds as anybody does.
void device_added_unlooked(World& w) {
  const auto claim = w.claim(1);
  Rules rules = w.rules_of(1);
  while (w.gate.find_device(rules).done()) {
    rules.device = kNoDevice;
    if (w.gate.add(*claim, rules).done()) return;
  }
  w.gate.table().abandon(*claim);
}
// Frees the session of its device, and then takes a seat as anybody does.
void device_in_two_steps(World& w) {
  const auto claim = w.claim(1);
  const Decision found = w.gate.find_device(w.rules_of(1));
  if (found.outcome == Outcome::device_seated) w.gate.remove(found.slot, found.generation);
  w.won[0] = w.gate.add(*claim, w.rules_of(1)).done();
  if (!w.won[0]) w.gate.table().abandon(*claim);
}
// Takes its seat first, and then drops the parked session.
void device_parked_dropped_last(World& w) {
  const auto claim = w.claim(1);
  const Decision found = w.gate.find_device(w.rules_of(1));
  Rules rules = w.rules_of(1);
  if (found.outcome == Outcome::device_parked) rules.device = kNoDevice;
  if (!w.gate.add(*claim, rules).done()) return w.gate.table().abandon(*claim);
  if (found.outcome == Outcome::device_parked) w.gate.drop(found.slot, found.generation);
}
void device_exempt_without_gate(World& w) {
  const auto claim = w.claim(1);
  if (w.gate.find_device(w.rules_of(1)).done())
    change_stage(w, claim->slot, claim->epoch, Stage::claimed, Stage::exempt);
  else
    w.gate.table().abandon(*claim);
}
void expire_unlooked(World& w) {
  const StateWord state = w.gate.table().state(w.refs[0].slot);
  if (w.gate.table().last_activity_ms(w.refs[0].slot) <= kIdleSince_ms)
    w.gate.remove(w.refs[0].slot, state.generation);
}
// Reaches fewer of the device's slots than there are by now.
void device_claimed_elsewhere(World& w) {
  const RecordImage record = w.record_of(1);
  const auto claim = w.gate.table().claim(0, record.user_hash, {1, 1});  // of the user's home
  w.gate.table().write_record(*claim, record);
  if (!w.gate.add(*claim, w.rules_of(1)).done()) w.gate.table().abandon(*claim);
}
// Looks for notes, and then logs in.
void device_notes_looked_for_first(World& w) {
  const bool has_notes = w.gate.find_device(w.rules_of(1)).device_has_notes;
  const auto claim = w.claim(1);
  if (w.gate.add(*claim, w.rules_of(1)).done())
    w.check_notes(1, has_notes);
  else
    w.gate.table().abandon(*claim);
}
void device_login(World& w) {
  w.won[0] = w.device_login(1);
}

struct Flawed {
  Scenario scenario;                  // its first actor is the flawed one
  std::function<void(World&)> right;  // what it should do
};

std::vector<Flawed> flawed() {
  const Actor right_add{"add 2", add_2, 2};
  const Actor right_release{"release", release};
  const Actor right_login{"log in", [](World& w) { w.device_login(2); }, 2};
  const auto of_device = [](const std::function<void(World&)>& then) {
    return [=](World& w) {
      of_one_device(w);
      then(w);
    };
  };
  return {
      {{.name = "an ADD that does not settle",
        .prepare = scene(3, 1, true, true),
        .actors = {{"flawed", add_without_settling}, right_add}},
       add},
      {{.name = "seated before the gate",
        .prepare = scene(3, 1, true, true),
        .actors = {{"flawed", add_seated_first}, right_add}},
       add},
      {{.name = "an ADD that looked before it loaded the gate",
        .prepare = scene(2, 1, true, true),
        .actors = {{"flawed", add_looked_before}, right_add}},
       add},
      {{.name = "freed before the gate",
        .prepare = scene(3, 2, false, true),
        .actors = {{"flawed", release_freed_first}, right_add}},
       release},
      {{.name = "a REMOVE that looked before it loaded the gate",
        .prepare = scene(3, 2, false, false),
        .actors = {{"flawed", release_looked_before}, right_release}},
       release},
      {{.name = "a limit without a NOP",
        .prepare = scene(2, 1, false, true),
        .actors = {{"flawed", lower_without_nop}, right_add}},
       lower},
      {{.name = "a NOP that leaves the gate as it was",
        .prepare =
            [](World& w) {
              scene(3, 2, false, true)(w);
              w.memory.shared.gate.store(
                  w.gate.widths().pack(GateWord{2, World::kSlots, 0, GateOp::nop}), kStore);
              w.memory.shared.nop.store(1, kStore);
            },
        .actors = {{"flawed", lower_with_same_nop}, right_add}},
       lower},
      {{.name = "a dead claim freed unsettled",
        .prepare = scene(3, 1, false, true),
        .actors = {{"flawed", free_claim_unsettled}, right_add},
        .deaths = 1},
       reap},
      {{.name = "the newcomer of a MOVE seated first",
        .prepare = scene(1, 1, true, false),
        .actors = {{"flawed", move_newcomer_first}}},
       bind_1},
      {{.name = "a MOVE settled by a record that is another's",
        .prepare =
            [](World& w) {
              scene(3, 2, true, false)(w);
              w.memory.shared.gate.store(
                  w.gate.widths().pack(GateWord{2, w.refs[2].slot, w.refs[2].epoch, GateOp::move}),
                  kStore);
            },
        .actors = {{"flawed", settle_move_unchecked},
                   // Settles it, leaves, and claims the slot again for another victim.
                   {"reuse",
                    [](World& w) {
                      w.gate.count();
                      w.release(w.refs[2]);
                      for (std::uint32_t who = 2; who <= 3; ++who) {
                        RecordImage record = w.record_of(who);
                        const auto claim =
                            w.gate.table().claim(w.refs[2].slot, record.user_hash, {who, 1});
                        record.victim_slot = w.refs[1].slot;
                        record.victim_generation = w.seated_generation(w.refs[1]);
                        w.gate.table().write_record(*claim, record);
                        w.gate.table().abandon(*claim);
                      }
                    }}}},
       settle},
      {{.name = "a group's word changed for another's operation",
        .prepare =
            [](World& w) {
              w.traits[2].groups = 1;
              scene(3, 1, false, true)(w);
              w.memory.shared.gate.store(
                  w.gate.widths().pack(GateWord{2, w.refs[3].slot, w.refs[3].epoch, GateOp::add}),
                  kStore);
            },
        .actors = {{"flawed", settle_group_unchecked},
                   {"settle and release",
                    [](World& w) {
                      w.gate.count();
                      w.release(w.refs[3]);
                    }}}},
       settle},
      {{.name = "awake without moving the gate",
        .prepare =
            [](World& w) {
              w.traits[kOld].idle_after_s = World::kIdle_s;
              scene(1, 1, false, true)(w);
            },
        .actors = {{"flawed", wake_without_nop},
                   {"take",
                    [](World& w) { w.take_idle(w.refs[3], w.seat_of(w.refs[0]), kIdleSince_ms); }}},
        .check =
            [](World& w) {
              if (w.was_woken && !w.is_seated(kOld))
                throw Broken("a session that had woken lost its seat");
            }},
       wake},
      {{.name = "a record read without a second look",
        .prepare = scene(1, 1, false, false),
        .actors = {{"flawed", read_without_second_look},
                   {"replace",
                    [](World& w) {
                      w.release(w.refs[0]);
                      w.admit(2);
                    }}}},
       read},
      {{.name = "a touch that finds the activity fresh and moves no gate",
        .prepare = idle_scene,
        .actors = {{"flawed", touch_fresh_without_nop}, {"wake", wake}, {"take", take}},
        .check = demand_awake},
       wake},
      {{.name = "a seat given back by a REMOVE and a RETURN",
        .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
        .actors = {{"flawed", remove_and_return}, right_add},
        .check = demand_given_back},
       give_back},
      {{.name = "a seat given back, the reservation freed first",
        .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
        .actors = {{"flawed", give_back_reservation_first}, right_add},
        .check = demand_given_back},
       give_back},
      {{.name = "a seat given back to a user who has another by now",
        .prepare =
            [](World& w) {
              w.limited_user = 1;
              w.user_limit = 1;
              w.traits[kOld].user = w.traits[2].user = 1;
              prepared_with_reservation(2, false, true, VictimFate::parked)(w);
            },
        .actors = {{"flawed", give_back_unlooked}, right_add}},
       give_back},
      {{.name = "a seat given back to one who was parked before the gate was loaded",
        .prepare = prepared_with_reservation(2, false, false, VictimFate::parked),
        .actors = {{"flawed", give_back_looked_before}, {"return", return_}}},
       give_back},
      {{.name = "given way where there was no room before the gate was loaded",
        .prepare = prepare_with_slow_login,
        .actors = {{"flawed", give_way_looked_before}, right_release, right_add}},
       give_way},
      {{.name = "given way without the gate",
        .prepare = prepare_with_slow_login,
        .actors = {{"flawed", give_way_freed_first}, right_add}},
       give_way},
      {{.name = "barred without the gate",
        .prepare = prepared_with_parked(false, false),
        .actors = {{"flawed", bar_without_gate}, {"return", return_}}},
       bar},
      {{.name = "returned without activity",
        .prepare =
            [](World& w) {
              w.traits[kOld].idle_after_s = World::kIdle_s;
              prepared_with_parked(false, true)(w);
            },
        .actors = {{"flawed", return_without_activity},
                   {"take again",
                    [](World& w) {
                      w.take_idle(w.refs[3], w.second_seat_of(w.refs[0]), kIdleSince_ms);
                    }}},
        .check = demand_awake},
       return_},
      {{.name = "parked without asking whether one seat is enough",
        .prepare =
            [](World& w) {
              scene(2, 2, false, false)(w);
              w.gate.set_configured(w.gate.configured(), {2, 1});
            },
        .actors = {{"flawed", park_unlooked}, {"park the other", park_other}}},
       park},
      {{.name = "an admission that is older than the search which missed it",
        .prepare = scene(2, 1, true, false),
        .actors = {{"flawed", add_stamped_before}, {"search", [](World& w) { w.search(); }}},
        .ticking = true},
       add},
      {{.name = "a seat taken that is held back",
        .prepare =
            [](World& w) {
              w.traits[1].held_back = 1;
              scene(2, 1, true, false)(w);
            },
        .actors = {{"flawed", add_without_held_back}}},
       add},
      {{.name = "a device that is looked for before the gate is loaded",
        .prepare = of_device(prepared(3, 0)),
        .actors = {{"flawed", device_added_unlooked}, right_login}},
       device_login},
      {{.name = "a device whose session stands where nobody looks for it",
        .prepare = of_device(prepared(3, 0)),
        .actors = {{"flawed", device_claimed_elsewhere}, right_login}},
       device_login},
      {{.name = "a device's seat given up and taken again",
        .prepare = of_device(prepared(1, 1)),
        .actors = {{"flawed", device_in_two_steps}, {"another", [](World& w) { w.admit(3); }}},
        .check =
            [](World& w) {
              if (!w.won[0]) throw Broken("who had a seat by that device was refused");
            }},
       device_login},
      {{.name = "a device's parked session dropped behind the admission",
        .prepare = of_device(prepared_with_parked(false, false)),
        .actors = {{"flawed", device_parked_dropped_last},
                   {"release", [](World& w) { w.release(w.refs[1]); }}}},
       device_login},
      {{.name = "a device's notes looked for before the admission",
        .prepare = of_device([](World& w) {
          w.may_vacate = true;
          prepared(2, 1)(w);
        }),
        .actors = {{"flawed", device_notes_looked_for_first},
                   {"vacate", [](World& w) { w.vacate(kOld, w.refs[0]); }, 2}}},
       device_login},
      {{.name = "a device listed as exempt without the gate",
        .prepare = of_device(prepared(3, 0)),
        .actors = {{"flawed", device_exempt_without_gate}, right_login}},
       [](World& w) { w.device_exempt(1); }},
      {{.name = "expired by a look of before the gate was loaded",
        .prepare = of_device([](World& w) {
          w.traits[kOld].idle_after_s = World::kIdle_s;
          prepared(2, 1)(w);
        }),
        .actors = {{"flawed", expire_unlooked}, {"wake", wake}},
        .check = demand_awake},
       [](World& w) { w.expire(kOld, w.refs[0], kIdleSince_ms); }},
  };
}

}  // namespace

TEST_CASE("flawed operations are caught by some schedule") {
  for (const Flawed& flaw : flawed()) {
    std::string caught;
    try {
      explore_all(flaw.scenario);
    } catch (const Broken& e) {
      caught = e.what();
    }
    CAPTURE(flaw.scenario.name);
    CHECK_FALSE(caught.empty());
    if (!caught.empty()) printf("caught: %s\n", caught.c_str());
  }
}

TEST_CASE("the scenes of the flawed are sound with the right operations") {
  for (Flawed& flaw : flawed()) {
    CAPTURE(flaw.scenario.name);
    flaw.scenario.actors[0].act = flaw.right;
    CHECK_NOTHROW(explore_all(flaw.scenario));
  }
}
