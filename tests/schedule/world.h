// A registry of a few slots for schedules, with a monitor that looks at all of it after every
// single access and remembers what the promises need: which limits were in force, who found it
// full.
//
// Time: session N was opened at active_ms(N), and so is the activity that seating it stamps; what
// happens to it later is within the million of milliseconds after that. So an activity tells whose
// it is.
#pragma once

#include <array>
#include <optional>
#include <stdexcept>
#include <string>

#include "registry/gate.h"
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

  World() : gate(memory.shared, memory.slots, kCapacity, &World::clock) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // --- What actors do; each is what lib/registry.cc does with the gate ---

  // What the record of a session says besides the pattern of its number.
  struct Traits {
    std::uint32_t user = 0;  // 0: a user of its own
    std::uint64_t groups = 0;
    std::uint32_t idle_after_s = 0;
    std::int32_t held_back = 0;  // seats that are not for it
    bool reservation = false;
    std::uint32_t device = 0;  // of its user; 0: none
  };
  // `who` is the process and the session; its record is a pattern of it.
  std::optional<sessreg::SlotRef> claim(std::uint32_t who);
  bool add(sessreg::SlotRef claim);  // on false the claim is given back
  bool admit(std::uint32_t who);
  bool bind(std::uint32_t who, sessreg::SlotRef reservation);
  // These take the generations that a session has the first time it is seated or parked, if not
  // told others. If they fail, a claim is given back.
  bool release(sessreg::SlotRef ref);
  bool evict(sessreg::SlotRef claim, sessreg::SlotRef victim,
             sessreg::VictimFate fate = sessreg::VictimFate::evicted);
  bool take_idle(sessreg::SlotRef claim, const sessreg::Victim& victim,
                 std::uint64_t idle_since_ms);
  bool return_to_seat(std::uint32_t who, sessreg::SlotRef parked, bool over_limit = false);
  // For the newcomer `who`.
  bool park(std::uint32_t who, const sessreg::Victim& victim, std::uint64_t idle_since_ms);
  bool give_back(sessreg::SlotRef reservation);
  // To the newcomer `who`.
  bool give_way(std::uint32_t who, sessreg::SlotRef reservation);
  bool bar(sessreg::SlotRef parked);
  // Whatever its stage is: until it has neither a seat nor a claim to one.
  void vacate(std::uint32_t who, sessreg::SlotRef ref);
  bool drop(sessreg::SlotRef parked);
  // The time of the clock is the touch's.
  bool touch(sessreg::SlotRef ref, std::uint64_t at_ms,
             sessreg::UseIsTold told = sessreg::UseIsTold::as_before) {
    clock_ms[acting] = at_ms;
    return gate.touch(ref, at_ms, told);
  }
  // As Registry::admit, use and list_exempt do it with a device; false: refused.
  bool device_login(std::uint32_t who);
  void check_notes(std::uint32_t who, bool are_known);
  bool device_use(std::uint32_t who);
  void device_exempt(std::uint32_t who);
  // Its time to live is over, if it was not used since.
  bool expire(std::uint32_t who, sessreg::SlotRef ref, std::uint64_t unused_since_ms);
  // Whatever its stage is, and becomes meanwhile.
  void leave(std::uint32_t who, sessreg::SlotRef ref);
  void set_limit(std::int32_t limit) {
    change_limit_by([&] { gate.set_override(limit); });
  }
  void reap();
  // Every record seen must be whole, of one session, and of the occupancy it says.
  void read_all();
  // A search begins with a NOP: whoever is seated when it comes to an end, and was not when it
  // passed, must have been active since it began. With `ticking` only.
  void search();

  sessreg::RecordImage record_of(std::uint32_t who) const { return record_of(who, traits[who]); }
  sessreg::RecordImage record_of(std::uint32_t who, const Traits& traits) const;
  sessreg::Rules rules_of(std::uint32_t who);
  std::uint32_t seated_generation(sessreg::SlotRef ref) const {
    return gate.widths().next_generation(ref.epoch);
  }
  std::uint32_t parked_generation(sessreg::SlotRef ref) const {
    return gate.widths().next_generation(seated_generation(ref));
  }
  // As long as it has its first seat; and when it has come back once.
  sessreg::Victim seat_of(sessreg::SlotRef ref) const { return {ref.slot, seated_generation(ref)}; }
  sessreg::Victim second_seat_of(sessreg::SlotRef ref) const {
    return {ref.slot, gate.widths().next_generation(parked_generation(ref))};
  }
  // Fails the schedule from inside an actor, which must not throw out of its stack.
  void fail(const char* what) {
    if (failure == nullptr) failure = what;
  }

  // --- Time ---

  static constexpr std::uint64_t active_ms(std::uint32_t who) { return who * 1'000'000ull; }
  static constexpr std::uint32_t kIdle_s = 100;
  static constexpr std::uint64_t kIdle_ms = kIdle_s * 1000;
  static constexpr std::uint64_t kReturned_ms = 3 * kIdle_ms;  // after active_ms, on a return

  // --- The monitor ---

  void begin();  // before the first access, of the memory as it is
  // After an access; throws Broken.
  void check();
  void actor_begins() { seen_[acting] = seen_now_; }
  // At the end: recovers from the dead, and fills and empties the registry.
  void check_end();

  // Until `change` has returned, both the limit before and the new one may be in force.
  template <class Change>
  void change_limit_by(Change change) {
    ++changing_limit_;
    change();
    if (--changing_limit_ == 0) allowed_most_ = allowed_least_ = limit_now();
    memory_changed = true;
  }

  std::uint32_t count_seated() const;
  std::int32_t limit_now() const;
  bool is_seated(std::uint32_t who) const { return has_stage(who, sessreg::Stage::seated); }
  // All settled.
  bool has_stage(std::uint32_t who, sessreg::Stage stage) const;

  Memory memory;
  Gate gate;
  // Set up by a scenario, and kept over its schedules.
  std::array<sessreg::SlotRef, 5> refs;
  std::array<Traits, 16> traits{};  // by number of the session
  std::uint32_t limited_user = 0;   // the one user that has a limit
  std::int32_t user_limit = -1;     // that one's
  std::int32_t group_limit = -1;    // of group 0
  bool returns_over_limit = false;  // a RETURN may
  bool may_vacate = false;          // a PARK may be for no newcomer
  // By process number, small.
  std::array<bool, 16> dead{};
  const char* failure = nullptr;
  // Noted by actors for the check of their scenario.
  bool was_woken = false;
  std::array<bool, 4> won{};
  // By actor: the newcomer that a reservation gives way to just now; 0: none.
  std::array<std::uint32_t, kMaxActors> giving_way_to{};

  // The actor that runs, and what the clock shows to each. There is one world at a time.
  static inline std::size_t acting = 0;
  static inline std::array<std::uint64_t, kMaxActors> clock_ms{};
  // Instead, the clock moves by its unit at every access.
  static inline bool ticking = false;
  static inline std::uint64_t ticks = 0;
  static std::uint64_t clock() {
    return ticking ? active_ms(0) + ticks * sessreg::kActivityUnit_ms : clock_ms[acting];
  }

 private:
  using States = std::array<sessreg::StateWord, kSlots>;
  States states() const;
  sessreg::GateWord gate_word() const;
  sessreg::RecordImage record_at(std::uint32_t slot) const;
  // What the slots would be if the operation that `gate` names were settled. Written from the table
  // of operations in lib/registry/README.md, not from gate.h.
  States settled(const sessreg::GateWord& gate, States slots) const;
  bool is_half_given_back(const States& slots) const;
  void check_seats(const States& now) const;
  void check_groups(const States& settled) const;
  // What refusals are judged by: the number of free seats, and whether the limited user and group
  // had one left. One bit for each combination; see seen().
  std::uint64_t seen_of(const States& settled) const;
  template <class Is>
  bool has_seen(Is is) const;
  std::uint32_t claimer_at(std::uint32_t slot) const;
  std::uint32_t user_at(std::uint32_t slot) const;
  std::uint32_t device_at(std::uint32_t slot) const;
  std::uint64_t groups_at(std::uint32_t slot) const;
  std::int32_t held_by_limited_user(const States& slots) const;
  std::int32_t held_by_group(const States& slots, std::size_t group) const;
  // `more`: the seats that would have been added, 0 or 1.
  bool is_true(sessreg::Outcome outcome, std::uint32_t who, std::int32_t more) const;
  void check_gate_change(const States& now);
  void check_room(const sessreg::GateWord& after, bool is_return);
  void check_devices(const States& slots) const;
  void end_device(const sessreg::Decision& found);
  void check_gives_way(const sessreg::GateWord& before) const;
  void check_slot_change(std::uint32_t slot, const sessreg::StateWord& before,
                         const sessreg::StateWord& now) const;

  States last_states_{};
  std::uint64_t last_gate_ = 0;
  std::int32_t allowed_most_ = 0;   // the highest limit in force since the last change was complete
  std::int32_t allowed_least_ = 0;  // the lowest
  std::int32_t highest_ever_ = 0;
  int changing_limit_ = 0;
  std::uint64_t seen_now_ = 0;
  std::array<std::uint64_t, kMaxActors> seen_{};  // by each actor since it began
  std::array<sessreg::GroupRule, 1> group_rule_{};
};
