// A gate with a handful of slots in memory that is shared with forked children: few enough that
// every instruction of every gate operation can be tried.
//
// Who is who: processes 1, 2, … are the others, alive for ever, and kMaker is one of them that has
// made a reservation; kLongDead died before the operation begins; the child is the one that runs
// it.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "explore.h"
#include "registry/gate.h"
#include "registry/registry_file.h"

class GateScene {
 public:
  using Gate = sessreg::Gate<sessreg::ProcessAtom>;
  static constexpr std::uint32_t kSlots = 6;
  static constexpr std::uint32_t kCapacity = 4;
  static constexpr std::int32_t kLimit = 3;
  static constexpr sessreg::ConfiguredLimit kConfigured{1, kLimit};
  // The highest pids there can be, so that the child's is none of them.
  static constexpr std::uint32_t kLongDead = (1u << sessreg::kPidBits) - 1;
  static constexpr std::uint32_t kFirst = kLongDead - 100;
  static constexpr std::uint32_t kMaker = kLongDead - 1;
  static constexpr std::uint32_t kNewcomer = kLongDead - 2;  // one of the others who comes later
  static constexpr std::uint64_t kActivity_ms = 5'000'000;
  // Whoever takes a seat in a scene does it then, and so is idle.
  static constexpr std::uint64_t kSeated_ms = 1'500'000;
  static inline std::uint64_t clock_ms = kSeated_ms;
  static std::uint64_t clock() { return clock_ms; }
  static constexpr std::uint64_t kIdleSince_ms = 2'000'000;

  struct Memory {
    sessreg::SharedWords<sessreg::ProcessAtom> shared;
    std::array<sessreg::Slot<sessreg::ProcessAtom>, kSlots> slots;
  };

  GateScene();
  ~GateScene();
  GateScene(const GateScene&) = delete;
  GateScene& operator=(const GateScene&) = delete;

  // An empty registry with a limit of kLimit, and `seats` of it taken by kFirst, kFirst + 1, ….
  void reset(std::uint32_t seats);

  Gate gate() { return Gate(memory_->shared, memory_->slots, kCapacity, &GateScene::clock); }
  Memory& memory() { return *memory_; }

  // --- Building blocks of operations; each one is what lib/registry.cc does ---

  static sessreg::RecordImage record_of(std::uint32_t pid, sessreg::RecordKind kind);
  // Claims, with its record written; kNoSlot: the table is full.
  sessreg::SlotRef claim(std::uint32_t pid, const sessreg::RecordImage& record);
  // CLAIMED -> SEATED, or gives the claim back.
  bool add(sessreg::SlotRef claim);
  bool admit(std::uint32_t pid, const sessreg::RecordImage& record);
  bool bind(std::uint32_t pid, sessreg::SlotRef reservation, const sessreg::RecordImage& record);
  bool evict(std::uint32_t pid, sessreg::SlotRef victim, const sessreg::RecordImage& record,
             sessreg::VictimFate fate = sessreg::VictimFate::evicted);
  bool take_idle(std::uint32_t pid, sessreg::SlotRef victim, const sessreg::RecordImage& record);
  bool remove(sessreg::SlotRef ref);
  // Of sessions in the generation that they have the first time they are seated or parked.
  bool park(sessreg::SlotRef ref);
  bool return_to_seat(sessreg::SlotRef parked, bool over_limit = false);
  bool give_back(sessreg::SlotRef reservation);
  bool bar(sessreg::SlotRef parked);
  bool drop(sessreg::SlotRef parked);
  // Whatever it is that is seated or listed there, it leaves.
  bool free_slot(std::uint32_t slot, const sessreg::StateWord& state);
  sessreg::Rules site_rules();
  std::uint32_t seated_generation(sessreg::SlotRef ref);
  std::uint32_t parked_generation(sessreg::SlotRef ref);
  // What reap does, told that only `dead` and kLongDead are: what it freed.
  int recover(std::uint32_t dead);

  // --- Looking ---

  // What that process holds of that kind, all settled.
  std::optional<sessreg::Snapshot> find(std::uint32_t pid, sessreg::RecordKind kind);
  bool holds(std::uint32_t pid, sessreg::RecordKind kind = sessreg::RecordKind::session) {
    return find(pid, kind).has_value();
  }
  std::uint32_t seated() const;  // as the slots say now, settled or not
  // Even unsettled: nobody is seated before somebody's seat was given up. But where a seat is given
  // back, the reservation is freed last.
  void demand_not_too_many();
  std::int32_t limit();
  void demand_invariants(std::uint32_t child, std::int64_t expected_count);
  void demand_group_counts();
  void demand_exact_room(std::int64_t* ret_admitted);
  void demand_nothing_left();

  // Set by rows for later.
  sessreg::SlotRef object;  // what the operation is about
  sessreg::SlotRef owner;   // whose seat it has
  std::uint64_t nop_before = 0;
  std::int32_t most = 0;  // seats that may ever be held: the highest limit there was
  std::int64_t base = 0, extra = 0;
  bool rival_won = false;

 private:
  Memory* memory_;
};

// One row of the table: an operation on a GateScene.
struct GateOperation {
  std::string name;
  std::uint32_t seats = 1;                         // taken by others beforehand
  std::function<void(GateScene&)> prepare{};       // parent: what else there is before
  std::function<void(GateScene&)> enter{};         // child, untraced
  std::function<int(GateScene&)> act;              // child, traced; 1: done
  std::function<int(GateScene&, pid_t)> happened;  // parent, all settled: how much of it
  int complete = 1;
  int seats_changed = 0;  // by each unit of `happened`
  // What another process does to the same object; true: it won. Empty: no such thing.
  std::function<bool(GateScene&)> rival{};
  bool rival_excludes = true;                   // exactly one of the child and the rival wins
  bool changes_limit = false;                   // the others must not
  std::function<void(GateScene&)> recovered{};  // parent, after the recovery: throws Broken
};

Trial trial_of(GateScene& scene, const GateOperation& operation);
