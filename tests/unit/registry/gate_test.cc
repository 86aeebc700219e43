#include "registry/gate.h"

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "../../support/catch.h"
#include "registry/registry_file.h"

using namespace sessreg;

namespace {

UserHash user(std::uint64_t number) {
  const std::array<std::uint64_t, 2> words = {number, 1};
  UserHash hash;
  memcpy(hash.data(), words.data(), sizeof hash);
  return hash;
}

// A registry in plain memory.
struct Memory {
  explicit Memory(std::uint32_t slot_count = 8, std::uint32_t capacity = 8)
      : slots(slot_count), gate(*shared, slots, capacity, [] { return clock_ms; }) {
    clock_ms = 0;
    gate.set_configured(gate.configured(), {0, -1});
  }
  static inline std::uint64_t clock_ms = 0;
  std::unique_ptr<SharedWords<ProcessAtom>> shared = std::make_unique<SharedWords<ProcessAtom>>();
  std::vector<Slot<ProcessAtom>> slots;
  Gate<ProcessAtom> gate;

  SlotRef claim(std::uint64_t start = 0, RecordImage record = {}) {
    const auto claimed = gate.table().claim(start, record.user_hash, {42, 7});
    REQUIRE(claimed);
    gate.table().write_record(*claimed, record);
    return *claimed;
  }
  Victim add(RecordImage record = {}) {
    const SlotRef ref = claim(0, record);
    Rules any = rules();
    clock_ms = record.opened_boottime_ms;
    REQUIRE(gate.add(ref, any).done());
    return victim(ref.slot);
  }
  Victim victim(std::uint32_t slot) { return {slot, gate.table().state(slot).generation}; }
  Stage stage(std::uint32_t slot) { return gate.table().state(slot).stage; }
  Rules rules(std::int32_t limit = -1) {
    if (gate.configured().limit != limit) gate.set_configured(gate.configured(), {0, limit});
    Rules result;
    result.site = {0, limit};
    return result;
  }
  // What a process that was killed right after its gate CAS leaves: the gate names the operation,
  // nothing of it is settled.
  void only_change_gate(GateWord word) { shared->gate.store(gate.widths().pack(word)); }
};

RecordImage record_of(std::uint64_t user_number, std::uint64_t groups = 0,
                      std::uint64_t opened_ms = 0) {
  RecordImage record{};
  record.user_hash = user(user_number);
  record.groups = groups;
  record.opened_boottime_ms = opened_ms;
  return record;
}

}  // namespace

TEST_CASE("gate, state and stray words keep their fields at every capacity") {
  for (const std::uint32_t slots : {1u, 2u, 1025u, 5120u, (1u << 20) + 1024u}) {
    const Widths widths(slots);
    CHECK(widths.generation_bits() >= 19);
    CHECK(widths.hash_bits() >= 7);
    const auto top = static_cast<std::uint32_t>((std::uint64_t{1} << widths.generation_bits()) - 1);
    const GateWord read = widths.gate(widths.pack(GateWord{slots, slots, top, GateOp::nop}));
    CHECK(read.count == slots);
    CHECK(read.slot == slots);
    CHECK(read.generation == top);
    CHECK(read.op == GateOp::nop);
    const StateWord state{Stage::exempt, top, (1u << kPidBits) - 1, (1u << widths.hash_bits()) - 1};
    const StateWord back = widths.state(widths.pack(state));
    CHECK(back.stage == Stage::exempt);
    CHECK(back.generation == top);
    CHECK(back.claimer_pid == state.claimer_pid);
    CHECK(back.claimer_hash == state.claimer_hash);
    CHECK(widths.next_generation(top) == 0);
    const StrayWord stray = Widths::stray(Widths::pack(StrayWord{12345, slots - 1}));
    CHECK(stray.distance == slots - 1);
    CHECK(stray.version == 12345);
  }
}

TEST_CASE("an ADD whose process died right after the gate is settled by the next operation") {
  Memory m;
  const SlotRef claim = m.claim(3);
  m.only_change_gate({1, claim.slot, claim.epoch, GateOp::add});
  CHECK(m.stage(claim.slot) == Stage::claimed);
  CHECK(m.gate.count() == 1);
  CHECK(m.stage(claim.slot) == Stage::seated);
}

TEST_CASE("a dead claim that the gate names is a seat, and is not freed as a claim") {
  Memory m;
  const SlotRef claim = m.claim(3);
  m.only_change_gate({1, claim.slot, claim.epoch, GateOp::add});
  CHECK_FALSE(m.gate.free_dead_claim(claim.slot, claim.epoch));
  CHECK(m.stage(claim.slot) == Stage::seated);
  const SlotRef other = m.claim(5);
  CHECK(m.gate.free_dead_claim(other.slot, other.epoch));
  CHECK(m.stage(other.slot) == Stage::free);
}

TEST_CASE("what leaves or comes back is settled by the next operation, from the gate alone") {
  Memory m;
  const Victim seat = m.add();
  SECTION("REMOVE") {
    m.only_change_gate({0, seat.slot, seat.generation, GateOp::remove});
    CHECK(m.gate.count() == 0);
    CHECK(m.stage(seat.slot) == Stage::free);
  }
  SECTION("PARK, then RETURN, PARK, DROP") {
    m.only_change_gate({0, seat.slot, seat.generation, GateOp::park});
    CHECK(m.gate.count() == 0);
    CHECK(m.stage(seat.slot) == Stage::parked);
    m.only_change_gate({1, seat.slot, m.victim(seat.slot).generation, GateOp::return_});
    CHECK(m.gate.count() == 1);
    CHECK(m.stage(seat.slot) == Stage::seated);
    m.only_change_gate({0, seat.slot, m.victim(seat.slot).generation, GateOp::park});
    m.gate.count();
    m.only_change_gate({0, seat.slot, m.victim(seat.slot).generation, GateOp::drop});
    CHECK(m.gate.count() == 0);
    CHECK(m.stage(seat.slot) == Stage::free);
  }
}

TEST_CASE("a MOVE is settled from any point: victim first, then the newcomer") {
  for (const auto& [fate, left] : {std::pair{VictimFate::freed, Stage::free},
                                   {VictimFate::parked, Stage::parked},
                                   {VictimFate::evicted, Stage::evicted}}) {
    for (const bool victim_done : {false, true}) {
      Memory m;
      const Victim victim = m.add();
      const SlotRef newcomer = m.claim(5);
      m.gate.table().write_victim(newcomer, victim.slot, victim.generation, fate);
      m.only_change_gate({1, newcomer.slot, newcomer.epoch, GateOp::move});
      if (victim_done)
        m.gate.table().change_stage(victim.slot, victim.generation, Stage::seated, left);
      CHECK(m.gate.count() == 1);
      CHECK(m.stage(victim.slot) == left);
      CHECK(m.stage(newcomer.slot) == Stage::seated);
    }
  }
}

TEST_CASE("naming a victim keeps the rest of the record") {
  Memory m;
  RecordImage record = record_of(7, 5, 1000);
  const SlotRef newcomer = m.claim(5, record);
  m.gate.table().write_victim(newcomer, 3, 9, VictimFate::evicted);
  m.gate.list_exempt(newcomer);  // ADD would forget the victim
  Snapshot seen;
  REQUIRE(m.gate.table().snapshot(newcomer.slot, seen));
  CHECK(seen.ref == newcomer);
  CHECK(seen.record.victim_slot == 3);
  CHECK(seen.record.victim_generation == 9);
  CHECK(seen.record.victim_fate == VictimFate::evicted);
  CHECK(seen.record.groups == 5);
  CHECK(seen.record.connection_hash == 0);
}

TEST_CASE("a bind fails, and changes nothing, when the reservation has gone") {
  Memory m;
  const Victim reservation = m.add();
  const SlotRef newcomer = m.claim(5);
  REQUIRE(m.gate.remove(reservation.slot, reservation.generation));
  CHECK(m.gate.bind(newcomer, reservation) == Outcome::gone);
  CHECK(m.stage(newcomer.slot) == Stage::claimed);
  CHECK(m.gate.count() == 0);
}

TEST_CASE("the site's limit: boundary, held back seats, change") {
  Memory m;
  Rules rules = m.rules(2);
  CHECK(m.gate.add(m.claim(), rules).done());
  rules.held_back = 1;
  const Decision kept = m.gate.check_room(rules);
  CHECK(kept.outcome == Outcome::site_full);
  CHECK(kept.limit == 2);
  CHECK(kept.count == 1);
  rules.held_back = 0;
  CHECK(m.gate.add(m.claim(), rules).done());
  CHECK(m.gate.add(m.claim(), rules).outcome == Outcome::site_full);
  m.gate.set_override(3);
  CHECK(m.gate.check_room(rules).done());
  m.gate.set_override(0);
  CHECK(m.gate.check_room(rules).outcome == Outcome::site_full);
  CHECK(m.gate.count() == 2);
  rules.site.identity = 99;
  CHECK(m.gate.check_room(rules).outcome == Outcome::stale_configuration);
}

TEST_CASE("the table's capacity is a limit of its own") {
  Memory m(8, 2);
  m.add();
  m.add();
  CHECK(m.gate.check_room(m.rules()).outcome == Outcome::table_full);
  const Victim first = m.victim(0);
  CHECK(m.gate.bind(m.claim(), first) == Outcome::done);
}

TEST_CASE("a user's limit counts that user's seats and no one else's") {
  Memory m;
  m.add(record_of(1));
  m.add(record_of(2));
  Rules rules = m.rules();
  rules.user = user(1);
  rules.user_limit = 1;
  const Decision full = m.gate.check_room(rules);
  CHECK(full.outcome == Outcome::user_full);
  CHECK(full.limit == 1);
  CHECK(full.count == 1);
  rules.user_limit = 2;
  CHECK(m.gate.check_room(rules).done());
  rules.user = user(3);
  rules.user_limit = 0;
  CHECK(m.gate.check_room(rules).outcome == Outcome::user_full);
}

TEST_CASE(
    "a user's sessions are found wherever they had to stand, and the distance shrinks again") {
  Memory m(64, 64);
  // Users 1, 65 and 129 have the same home, slot 2.
  std::vector<SlotRef> refs;
  for (int i = 0; i < 20; ++i) {
    const RecordImage record = record_of(i % 2 == 0 ? 1 : 65);
    refs.push_back(m.claim(2, record));
    REQUIRE(m.gate.add(refs.back(), m.rules()).done());
  }
  const SlotRef far = m.claim(40, record_of(1));
  REQUIRE(m.gate.add(far, m.rules()).done());
  const auto distance = [&] { return Widths::stray(m.slots[2].stray.load()).distance; };
  CHECK(distance() == 38);
  Rules rules = m.rules();
  rules.user = user(1);
  rules.user_limit = 11;
  CHECK(m.gate.check_room(rules).outcome == Outcome::user_full);
  CHECK(distance() == 38);
  m.gate.remove(far.slot, m.victim(far.slot).generation);
  for (std::size_t i = 2; i < refs.size(); ++i)
    m.gate.remove(refs[i].slot, m.victim(refs[i].slot).generation);
  CHECK(m.gate.check_room(rules).done());
  CHECK(distance() == 1);
  CHECK(m.gate.check_room(rules).count == 2);
}

TEST_CASE("no bucket is the home of a user and of a user's devices") {
  for (const std::uint32_t slots : {1u, 2u, 3u, 64u, 65u}) {
    Memory m(slots, 1);
    std::set<std::uint32_t> of_users, of_devices;
    for (unsigned i = 0; i < 1000; ++i) {
      UserHash hash = user(i);
      hash[8] = static_cast<std::uint8_t>(i);
      hash[9] = static_cast<std::uint8_t>(i >> 8);
      of_users.insert(m.gate.table().home(hash, Home::of_user));
      of_devices.insert(m.gate.table().home(hash, Home::of_devices));
    }
    CHECK(*of_users.rbegin() < slots);
    CHECK(*of_devices.rbegin() < slots);
    CHECK(of_users.size() == std::max(1u, slots / 2));
    if (slots > 1)
      for (const std::uint32_t home : of_users)
        CHECK(of_devices.count(home) == 0);
  }
}

TEST_CASE("a claim that comes while a distance is lowered keeps its own distance") {
  Memory m(64, 64);
  const SlotRef far = m.claim(40, record_of(1));
  bool claimed = false;
  m.gate.table().for_each_near_home(user(1), [&](std::uint32_t, const StateWord&) {
    if (claimed) return;
    claimed = true;
    m.gate.table().abandon(far);
    m.claim(50, record_of(65));
  });
  CHECK(Widths::stray(m.slots[2].stray.load()).distance == 48);
}

TEST_CASE("homes wrap around the end of the table") {
  Memory m(8, 8);
  for (int i = 0; i < 3; ++i) {
    const SlotRef ref = m.claim(7, record_of(7));
    REQUIRE(m.gate.add(ref, m.rules()).done());
  }
  Rules rules = m.rules();
  rules.user = user(7);
  rules.user_limit = 3;
  CHECK(m.gate.check_room(rules).outcome == Outcome::user_full);
}

TEST_CASE("a group's limit counts the seats of its members, through every operation") {
  Memory m;
  const auto staff = *m.gate.group_index(111), guests = *m.gate.group_index(222);
  CHECK(staff != guests);
  CHECK(m.gate.group_index(111) == staff);
  const std::uint64_t in_staff = 1u << staff, in_guests = 1u << guests;
  const Victim one = m.add(record_of(1, in_staff));
  m.add(record_of(2, in_staff | in_guests));
  CHECK(m.gate.group_count(staff) == 2);
  CHECK(m.gate.group_count(guests) == 1);

  const std::array<GroupRule, 1> staff_rule = {GroupRule{staff, 2}};
  Rules rules = m.rules();
  rules.groups = staff_rule;
  const Decision full = m.gate.check_room(rules);
  CHECK(full.outcome == Outcome::group_full);
  CHECK(full.limit == 2);
  // A victim of the group makes room in it, another does not.
  const Victim outsider = m.add(record_of(3));
  const SlotRef newcomer = m.claim(0, record_of(4, in_staff));
  CHECK(m.gate.evict(newcomer, outsider, VictimFate::evicted, rules).outcome ==
        Outcome::group_full);
  CHECK(m.gate.evict(newcomer, one, VictimFate::evicted, rules).done());
  CHECK(m.gate.group_count(staff) == 2);
  CHECK(m.stage(one.slot) == Stage::evicted);

  const Victim seat = m.victim(newcomer.slot);
  rules.groups = {};
  CHECK(m.gate.park(seat, 1000, m.rules(2)) == Outcome::done);
  CHECK(m.gate.group_count(staff) == 1);
  m.rules(-1);
  rules.site.limit = -1;
  CHECK(m.gate.return_to_seat(seat.slot, m.victim(seat.slot).generation, rules, false).done());
  CHECK(m.gate.group_count(staff) == 2);
  CHECK(m.gate.remove(seat.slot, m.victim(seat.slot).generation));
  CHECK(m.gate.group_count(staff) == 1);
}

TEST_CASE("however often an operation is settled, its groups change once") {
  Memory m;
  const auto group = *m.gate.group_index(111);
  const SlotRef claim = m.claim(0, record_of(1, 1u << group));
  m.only_change_gate({1, claim.slot, claim.epoch, GateOp::add});
  m.gate.count();
  const std::uint64_t gate = m.shared->gate.load();
  for (int i = 0; i < 3; ++i)
    m.gate.count();
  CHECK(m.gate.group_count(group) == 1);
  // Killed between the group's word and the slot's stage:
  m.slots[claim.slot].state.store(
      m.gate.widths().pack(StateWord{Stage::claimed, claim.epoch, 42, 7}));
  m.shared->gate.store(gate);
  CHECK(m.gate.count() == 1);
  CHECK(m.gate.group_count(group) == 1);
  CHECK(m.stage(claim.slot) == Stage::seated);
}

TEST_CASE("there is room for a fixed number of limited groups") {
  Memory m;
  for (std::uint64_t i = 1; i <= kMaxGroups; ++i)
    CHECK(m.gate.group_index(i) == i - 1);
  CHECK_FALSE(m.gate.group_index(1000));
}

TEST_CASE("eviction repeats the user's check with the victim counted as gone") {
  Memory m;
  const Victim own = m.add(record_of(1));
  const Victim others = m.add(record_of(2));
  const SlotRef newcomer = m.claim(0, record_of(1));
  Rules rules = m.rules();
  rules.user = user(1);
  rules.user_limit = 1;
  CHECK(m.gate.evict(newcomer, others, VictimFate::evicted, rules).outcome == Outcome::user_full);
  CHECK(m.stage(others.slot) == Stage::seated);
  CHECK(m.gate.evict(newcomer, own, VictimFate::evicted, rules).done());
  CHECK(m.stage(own.slot) == Stage::evicted);
  CHECK(m.gate.count() == 2);
  CHECK(m.gate.evict(m.claim(), own, VictimFate::evicted, rules).outcome == Outcome::gone);
  CHECK(m.gate.unlist_evicted(own.slot, m.victim(own.slot).generation));
  CHECK(m.stage(own.slot) == Stage::free);
}

TEST_CASE("an idle session gives its seat at exactly the limit, and only if it is still idle") {
  Memory m;
  const Victim idle = m.add(record_of(1, 0, 5000));
  const SlotRef newcomer = m.claim(0, record_of(2));
  CHECK(m.gate.take_idle(newcomer, idle, 5000, m.rules(2)).outcome == Outcome::has_room);
  CHECK(m.gate.take_idle(newcomer, idle, 5000, m.rules(0)).outcome == Outcome::site_full);
  CHECK(m.gate.take_idle(newcomer, idle, 4999, m.rules(1)).outcome == Outcome::not_idle);
  CHECK(m.gate.take_idle(newcomer, idle, 5000, m.rules(1)).done());
  CHECK(m.stage(idle.slot) == Stage::parked);
  CHECK(m.gate.count() == 1);

  SECTION("it comes back when there is room") {
    const Victim parked = m.victim(idle.slot);
    CHECK(m.gate.return_to_seat(parked.slot, parked.generation, m.rules(1), false).outcome ==
          Outcome::site_full);
    CHECK(m.gate.return_to_seat(parked.slot, parked.generation, m.rules(1), true).done());
    CHECK(m.gate.count() == 2);
    CHECK(m.gate.return_to_seat(parked.slot, parked.generation, m.rules(1), true).outcome ==
          Outcome::gone);
  }
  SECTION("it checks its user's limit when it comes back") {
    const Victim parked = m.victim(idle.slot);
    m.rules(-1);
    m.add(record_of(1));
    Rules rules = m.rules(-1);
    rules.user = user(1);
    rules.user_limit = 1;
    CHECK(m.gate.return_to_seat(parked.slot, parked.generation, rules, false).outcome ==
          Outcome::user_full);
  }
  SECTION("it ends while parked") {
    const Victim parked = m.victim(idle.slot);
    CHECK_FALSE(m.gate.remove(parked.slot, parked.generation));
    CHECK(m.gate.drop(parked.slot, parked.generation));
    CHECK_FALSE(m.gate.drop(parked.slot, parked.generation));
    CHECK(m.stage(parked.slot) == Stage::free);
    CHECK(m.gate.count() == 1);
  }
}

TEST_CASE("above a lowered limit idle sessions are parked down to it and no further") {
  Memory m;
  const Victim a = m.add(), b = m.add();
  CHECK(m.gate.park(a, 0, m.rules(1)) == Outcome::done);
  CHECK(m.gate.park(b, 0, m.rules(1)) == Outcome::has_room);
  CHECK(m.gate.count() == 1);
}

TEST_CASE("activity after half the idle time moves the gate, sooner it does not") {
  Memory m;
  RecordImage record = record_of(1, 0, 100'000);
  record.idle_after_s = 60;
  const Victim seat = m.add(record);
  const SlotRef ref{seat.slot, seat.generation - 1};
  const auto gate = [&] { return m.shared->gate.load(); };
  const std::uint64_t before = gate();
  m.clock_ms = 129'800;
  CHECK(m.gate.touch(ref, 129'800));
  CHECK(gate() == before);
  m.clock_ms = 160'000;
  CHECK(m.gate.touch(ref, 160'000));
  CHECK(gate() != before);
  SECTION("and so does each further one until the first has moved it") {
    auto& word = m.gate.table()[ref.slot].last_activity;
    word.store(word.load() | kWaking);  // as one leaves it that died before its NOP
    const std::uint64_t between = gate();
    CHECK(m.gate.touch(ref, 160'000));
    CHECK(gate() != between);
    CHECK((word.load() & kWaking) == 0);
  }
  SECTION("and so does one that tells of a time long ago") {
    m.clock_ms = 200'000;
    const std::uint64_t between = gate();
    CHECK(m.gate.touch(ref, 160'200));
    CHECK(gate() != between);
  }
  CHECK_FALSE(m.gate.touch({seat.slot, seat.generation}, 200'000));
}

TEST_CASE("an operation looked at before a change of the limit fails its CAS") {
  Memory m;
  const std::uint64_t before = m.shared->gate.load();
  m.gate.set_configured(m.gate.configured(), {0, 5});
  const std::uint64_t between = m.shared->gate.load();
  CHECK(between != before);
  m.gate.set_override(3);
  CHECK(m.shared->gate.load() != between);
  CHECK(m.gate.count() == 0);
}

TEST_CASE("a NOP whose process died is finished by the next, which differs from it") {
  Memory m;
  m.only_change_gate({0, 8, static_cast<std::uint32_t>(m.shared->nop.load()), GateOp::nop});
  const std::uint64_t stuck = m.shared->gate.load();
  m.gate.nop();
  CHECK(m.shared->gate.load() != stuck);
}

TEST_CASE("claims take free slots only, wrap around, and end when there is none") {
  Memory m(4, 4);
  for (int i = 0; i < 4; ++i)
    CHECK(m.gate.table().claim(3, user(1), {42, 7}));
  CHECK_FALSE(m.gate.table().claim(0, user(1), {42, 7}));
}

TEST_CASE("words of nonsense anywhere end in an answer, never in a crash or a hang") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    Memory m(8, 8);
    auto* words = reinterpret_cast<ProcessAtom*>(m.slots.data());
    const std::size_t count = m.slots.size() * sizeof(m.slots[0]) / sizeof(ProcessAtom);
    for (std::size_t i = 0; i < count; ++i)
      if (random() % 3 == 0) words[i].store(random() >> random() % 64);
    m.shared->gate.store(random() >> random() % 64);
    m.shared->nop.store(random() >> random() % 64);
    for (auto& group : m.shared->groups)
      group.seats.store(random());
    const auto staff = m.gate.group_index(5);
    REQUIRE(staff);
    const std::array<GroupRule, 1> groups = {GroupRule{*staff, 3}};
    Rules rules{m.gate.configured(), 0, user(random()), 3, groups};
    Snapshot seen;
    for (std::uint32_t slot = 0; slot < 8; ++slot)
      m.gate.table().snapshot(slot, seen);
    const auto claim = m.gate.table().claim(random(), rules.user, {1, 1});
    if (!claim) continue;
    m.gate.table().write_record(*claim, record_of(random(), random()));
    const auto slot = static_cast<std::uint32_t>(random() % 8);
    m.gate.evict(*claim, m.victim(slot), static_cast<VictimFate>(random() % 5), rules);
    m.gate.take_idle(*claim, m.victim(slot), random(), rules);
    m.gate.bind(*claim, {static_cast<std::uint32_t>(random()), 1});
    m.gate.add(*claim, rules);
    m.gate.return_to_seat(slot, m.victim(slot).generation, rules, true);
    m.gate.park(m.victim(slot), random(), rules);
    m.gate.give_back(slot, m.victim(slot).generation);
    m.gate.bar(slot, m.victim(slot).generation);
    m.gate.remove(slot, m.victim(slot).generation);
    m.gate.drop(slot, m.victim(slot).generation);
    m.gate.nop();
    m.gate.touch({slot, static_cast<std::uint32_t>(random())}, random());
    m.gate.table().mark_revoked({slot, m.victim(slot).generation}, {}, 0);
  }
}
