// A registry of a few slots for schedules, with a monitor that looks at all of it after every
// single access and remembers what the promises need: which limits were in force, who found it
// full.
#pragma once

#include <array>
#include <optional>
#include <stdexcept>
#include <string>

#include "gate.h"
#include "scheduled_atom.h"

class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr std::size_t kMaxActors = 3;

class World {
 public:
  using Gate = sessreg::Gate<ScheduledAtom>;
  static constexpr std::uint32_t kSlots = 6;
  static constexpr std::uint32_t kCapacity = 4;

  struct Memory {
    sessreg::SharedWords<ScheduledAtom> shared;
    std::array<sessreg::Slot<ScheduledAtom>, kSlots> slots;
  };

  World() : gate(memory.shared, memory.slots, kCapacity) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // --- What actors do; each is what lib/registry.cc does with the gate ---

  // What the record of a session says besides the pattern of its number.
  struct Traits {
    std::uint32_t user = 0;  // 0: a user of its own
    std::uint64_t groups = 0;
    std::uint32_t idle_after_s = 0;
  };
  // `who` is the process and the session; its record is a pattern of it.
  std::optional<sessreg::SlotRef> claim(std::uint32_t who);
  bool add(sessreg::SlotRef claim);  // on false the claim is given back
  bool admit(std::uint32_t who);
  bool bind(std::uint32_t who, sessreg::SlotRef reservation);
  bool release(sessreg::SlotRef ref);
  // These take the generations that a session has the first time it is seated or parked. If they
  // fail, a claim is given back.
  bool evict(sessreg::SlotRef claim, sessreg::SlotRef victim);
  bool take_idle(sessreg::SlotRef claim, sessreg::SlotRef victim, std::uint64_t idle_since_ms);
  bool return_to_seat(std::uint32_t who, sessreg::SlotRef parked);
  bool park(sessreg::SlotRef ref, std::uint64_t idle_since_ms);
  bool drop(sessreg::SlotRef parked);
  void set_limit(std::int32_t limit) {
    change_limit_by([&] { gate.set_override(limit); });
  }
  void reap();
  // Every record seen must be whole, of one session, and of the occupancy it says.
  void read_all();

  static sessreg::RecordImage record_of(std::uint32_t who) { return record_of(who, {}); }
  static sessreg::RecordImage record_of(std::uint32_t who, const Traits& traits);
  std::uint32_t seated_generation(sessreg::SlotRef ref) const {
    return gate.widths().next_generation(ref.epoch);
  }
  std::uint32_t parked_generation(sessreg::SlotRef ref) const {
    return gate.widths().next_generation(seated_generation(ref));
  }
  // Fails the schedule from inside an actor, which must not throw out of its stack.
  void fail(const char* what) {
    if (failure == nullptr) failure = what;
  }

  // --- The monitor ---

  void begin();  // before the first access, of the memory as it is
  // After an access; throws Broken.
  void check();
  void actor_begins() { found_full_[acting] = full_now(); }
  // At the end: recovers from the dead, and fills and empties the registry.
  void check_end();

  // Until `change` has returned, both the limit before and the new one may be in force.
  template <class Change>
  void change_limit_by(Change change) {
    ++changing_limit_;
    change();
    if (--changing_limit_ == 0) allowed_most_ = allowed_least_ = limit_now();
  }

  std::uint32_t count_seated() const;
  std::int32_t limit_now() const;
  bool is_seated(std::uint32_t who) const;

  Memory memory;
  Gate gate;
  // Set up by a scenario, and kept over its schedules.
  std::array<sessreg::SlotRef, 4> refs;
  std::array<Traits, 16> traits{};  // by number of the session
  std::uint32_t limited_user = 0;   // the one user that has a limit
  std::int32_t user_limit = -1;     // that one's
  std::int32_t group_limit = -1;    // of group 0
  // By process number, small.
  std::array<bool, 16> dead{};
  const char* failure = nullptr;
  bool was_woken = false;  // noted by an actor for the check of its scenario
  std::size_t acting = 0;  // whose access it is

 private:
  using States = std::array<sessreg::StateWord, kSlots>;
  States states() const;
  sessreg::GateWord gate_word() const;
  // What the slots would be if the operation that `gate` names were settled. Written from the table
  // of operations in lib/README.md, not from gate.h.
  States settled(const sessreg::GateWord& gate, States slots) const;
  void check_seats(const States& now) const;
  void check_groups(const States& settled) const;
  // Of an actor since it began, or of now: which limits left no room.
  struct Full {
    bool site, user, group;
  };
  Full full_now() const;
  std::uint32_t claimer_at(std::uint32_t slot) const;
  std::uint32_t user_at(std::uint32_t slot) const;
  std::uint64_t groups_at(std::uint32_t slot) const;
  std::int32_t held_by_limited_user(const States& slots) const;
  std::int32_t held_by_group(const States& slots, std::size_t group) const;
  sessreg::Rules rules_of(std::uint32_t who);
  bool is_true_refusal(sessreg::Outcome outcome) const;
  void check_gate_change(const States& now);
  void check_slot_change(std::uint32_t slot, const sessreg::StateWord& before,
                         const sessreg::StateWord& now) const;

  States last_states_{};
  std::uint64_t last_gate_ = 0;
  std::int32_t allowed_most_ = 0;   // the highest limit in force since the last change was complete
  std::int32_t allowed_least_ = 0;  // the lowest
  std::int32_t highest_ever_ = 0;
  int changing_limit_ = 0;
  std::array<Full, kMaxActors> found_full_{};
  std::array<sessreg::GroupRule, 1> group_rule_{};
};
