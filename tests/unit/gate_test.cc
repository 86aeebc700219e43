#include "gate.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "registry_file.h"

using namespace sessreg;

namespace {

// A registry in plain memory.
struct Memory {
  explicit Memory(std::uint32_t slot_count, std::uint32_t capacity)
      : slots(slot_count), gate(*shared, slots, capacity) {}
  std::unique_ptr<SharedWords<ProcessAtom>> shared = std::make_unique<SharedWords<ProcessAtom>>();
  std::vector<Slot<ProcessAtom>> slots;
  Gate<ProcessAtom> gate;
  std::uint32_t count = 0;
  std::int32_t limit = 0;

  SlotRef claim(std::uint64_t hint, RecordImage record = {}) {
    const auto claimed = gate.claim(hint, {42, 7});
    REQUIRE(claimed);
    gate.write_record(*claimed, record);
    return *claimed;
  }
  // What a process that was killed right after its gate CAS leaves: the gate names the operation,
  // nothing of it is settled.
  void only_change_gate(GateWord word) { shared->gate.store(gate.widths().pack(word)); }
};

constexpr ConfiguredLimit any{0, 0};  // what a fresh registry holds

}  // namespace

TEST_CASE("gate and state words keep their fields at every capacity") {
  for (const std::uint32_t slots : {1u, 2u, 1025u, 5120u, (1u << 20) + 1024u}) {
    const Widths widths(slots);
    CHECK(widths.generation_bits() >= 19);
    CHECK(widths.hash_bits() >= 7);
    const auto top = static_cast<std::uint32_t>((std::uint64_t{1} << widths.generation_bits()) - 1);
    const GateWord gate{slots, slots, top, GateOp::nop};
    const GateWord read = widths.gate(widths.pack(gate));
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
  }
}

TEST_CASE("an ADD whose process died right after the gate is settled by the next operation") {
  Memory m(8, 8);
  const SlotRef claim = m.claim(3);
  m.only_change_gate({1, claim.slot, claim.epoch, GateOp::add});
  CHECK(m.gate.state(claim.slot).stage == Stage::claimed);
  CHECK(m.gate.count() == 1);
  CHECK(m.gate.state(claim.slot).stage == Stage::seated);
}

TEST_CASE("a dead claim that the gate names is a seat, and is not freed as a claim") {
  Memory m(8, 8);
  const SlotRef claim = m.claim(3);
  m.only_change_gate({1, claim.slot, claim.epoch, GateOp::add});
  CHECK_FALSE(m.gate.free_dead_claim(claim.slot, claim.epoch));
  CHECK(m.gate.state(claim.slot).stage == Stage::seated);
  const SlotRef other = m.claim(5);
  CHECK(m.gate.free_dead_claim(other.slot, other.epoch));
  CHECK(m.gate.state(other.slot).stage == Stage::free);
}

TEST_CASE("a REMOVE whose process died right after the gate is settled by the next operation") {
  Memory m(8, 8);
  m.gate.set_configured(m.gate.configured(), {0, -1});
  const SlotRef claim = m.claim(3);
  REQUIRE(m.gate.add(claim, {0, -1}, &m.count, &m.limit) == AddResult::done);
  const auto seated = m.gate.state(claim.slot);
  m.only_change_gate({0, claim.slot, seated.generation, GateOp::remove});
  CHECK(m.gate.count() == 0);
  CHECK(m.gate.state(claim.slot).stage == Stage::free);
}

TEST_CASE("a MOVE is settled from any point: victim first, then the newcomer") {
  for (const bool victim_done : {false, true}) {
    Memory m(8, 8);
    m.gate.set_configured(m.gate.configured(), {0, -1});
    const SlotRef victim = m.claim(1);
    REQUIRE(m.gate.add(victim, {0, -1}, &m.count, &m.limit) == AddResult::done);
    const auto seated = m.gate.state(victim.slot);
    RecordImage record{};
    record.victim_slot = victim.slot;
    record.victim_generation = seated.generation;
    const SlotRef newcomer = m.claim(5, record);
    m.only_change_gate({1, newcomer.slot, newcomer.epoch, GateOp::move});
    if (victim_done)
      m.slots[victim.slot].state.store(
          m.gate.widths().pack(StateWord{Stage::free, seated.generation + 1, 0, 0}));
    CHECK(m.gate.count() == 1);
    CHECK(m.gate.state(victim.slot).stage == Stage::free);
    CHECK(m.gate.state(newcomer.slot).stage == Stage::seated);
  }
}

TEST_CASE("a MOVE fails, and changes nothing, when its victim has gone") {
  Memory m(8, 8);
  m.gate.set_configured(m.gate.configured(), {0, -1});
  const SlotRef victim = m.claim(1);
  REQUIRE(m.gate.add(victim, {0, -1}, &m.count, &m.limit) == AddResult::done);
  const auto seated = m.gate.state(victim.slot);
  RecordImage record{};
  record.victim_slot = victim.slot;
  record.victim_generation = seated.generation;
  const SlotRef newcomer = m.claim(5, record);
  REQUIRE(m.gate.remove(victim.slot, seated.generation));
  CHECK_FALSE(m.gate.move(newcomer, victim.slot, seated.generation));
  CHECK(m.gate.state(newcomer.slot).stage == Stage::claimed);
  CHECK(m.gate.count() == 0);
}

TEST_CASE("an operation looked at before a change of the limit fails its CAS") {
  Memory m(8, 8);
  const std::uint64_t before = m.shared->gate.load();
  m.gate.set_configured(m.gate.configured(), {0, 5});
  CHECK(m.shared->gate.load() != before);
  const std::uint64_t between = m.shared->gate.load();
  m.gate.set_override(3);
  CHECK(m.shared->gate.load() != between);
  CHECK(m.gate.count() == 0);
}

TEST_CASE("a NOP whose process died is finished by the next, which differs from it") {
  Memory m(8, 8);
  m.only_change_gate({0, 8, 0, GateOp::nop});
  const std::uint64_t stuck = m.shared->gate.load();
  m.gate.nop();
  CHECK(m.shared->gate.load() != stuck);
}

TEST_CASE("claims take free slots only, wrap around, and end when there is none") {
  Memory m(4, 4);
  for (int i = 0; i < 4; ++i)
    CHECK(m.gate.claim(3, {42, 7}));
  CHECK_FALSE(m.gate.claim(0, {42, 7}));
}

TEST_CASE("a gate word of nonsense is harmless") {
  for (const std::uint64_t nonsense :
       {~std::uint64_t{0}, std::uint64_t{0x5555555555555555}, std::uint64_t{7}}) {
    Memory m(8, 8);
    m.gate.set_configured(m.gate.configured(), {0, -1});
    m.shared->gate.store(nonsense);
    const SlotRef claim = m.claim(3);
    m.gate.add(claim, {0, -1}, &m.count, &m.limit);
    m.gate.remove(3, 1);
    m.gate.move(claim, 1u << 30, 1);
    m.gate.count();
  }
}

TEST_CASE("check_room says what add would decide") {
  Memory m(8, 2);
  CHECK(m.gate.check_room({9, 9}, &m.count, &m.limit) == AddResult::stale_configuration);
  CHECK(m.gate.check_room(any, &m.count, &m.limit) == AddResult::site_full);
  m.gate.set_configured(m.gate.configured(), {0, -1});
  CHECK(m.gate.check_room({0, -1}, &m.count, &m.limit) == AddResult::done);
  m.gate.add(m.claim(0), {0, -1}, &m.count, &m.limit);
  m.gate.add(m.claim(0), {0, -1}, &m.count, &m.limit);
  CHECK(m.gate.check_room({0, -1}, &m.count, &m.limit) == AddResult::table_full);
}
