// Gate operations, killed and stopped at every instruction. A new operation is one more row.
#include <unistd.h>

#include "../support/catch.h"
#include "gate_scene.h"

using namespace sessreg;

namespace {

using Scene = GateScene;

std::uint32_t self() {
  return static_cast<std::uint32_t>(getpid());
}
std::uint32_t pid_of(pid_t pid) {
  return static_cast<std::uint32_t>(pid);
}
RecordImage session_of(std::uint32_t pid) {
  return Scene::record_of(pid, RecordKind::session);
}

// Built before tracing starts.
RecordImage my_record;
void build_session(Scene&) {
  my_record = session_of(self());
}
void build_reservation(Scene&) {
  my_record = Scene::record_of(self(), RecordKind::reservation);
}
void build_exempt(Scene&) {
  my_record = Scene::record_of(self(), RecordKind::exempt);
}

int child_has_session(Scene& scene, pid_t child) {
  return scene.holds(pid_of(child));
}
// Whoever did it.
int object_is_gone(Scene& scene, pid_t) {
  auto gate = scene.gate();
  gate.count();
  const StateWord state = gate.table().state(scene.object.slot);
  return state.generation != gate.widths().next_generation(scene.object.epoch);
}
void object_is_first(Scene& scene) {
  scene.object = scene.find(Scene::kFirst, RecordKind::session)->ref;
}

// What a process leaves that was killed right after its gate CAS: nothing is settled.
void only_change_gate(Scene& scene, int more, SlotRef slot, std::uint32_t generation, GateOp op) {
  auto gate = scene.gate();
  const auto count = static_cast<std::uint32_t>(static_cast<int>(gate.count()) + more);
  scene.memory().shared.gate.store(gate.widths().pack(GateWord{count, slot.slot, generation, op}));
}

void reserve_for_maker(Scene& scene) {
  scene.admit(Scene::kMaker, Scene::record_of(Scene::kMaker, RecordKind::reservation));
  scene.object = scene.find(Scene::kMaker, RecordKind::reservation)->ref;
}
// The first of three is parked while the limit is 2.
void object_is_above_limit(Scene& scene) {
  object_is_first(scene);
  scene.gate().set_configured(Scene::kConfigured, {1, 2});
}
void object_is_parked(Scene& scene) {
  object_is_above_limit(scene);
  scene.park(scene.object);
  scene.gate().set_configured({1, 2}, Scene::kConfigured);
}
// Whoever did it, and whether it was dropped or returned.
int object_is_parked_no_more(Scene& scene, pid_t) {
  auto gate = scene.gate();
  gate.count();
  return gate.table().state(scene.object.slot).generation != scene.parked_generation(scene.object);
}
bool remove_object(Scene& scene) {
  const bool won = scene.remove(scene.object);
  scene.extra -= won;
  return won;
}
bool return_object(Scene& scene) {
  const bool won = scene.return_to_seat(scene.object);
  scene.extra += won;
  return won;
}
bool evict_object(Scene& scene) {
  return scene.evict(Scene::kMaker, scene.object, session_of(Scene::kMaker));
}
bool take_object(Scene& scene) {
  return scene.take_idle(Scene::kMaker, scene.object, session_of(Scene::kMaker));
}
// The seat of the first has gone to the maker's reservation, which is the object.
void seat_goes_to_maker(Scene& scene, VictimFate fate) {
  object_is_first(scene);
  scene.owner = scene.object;
  const RecordImage record = Scene::record_of(Scene::kMaker, RecordKind::reservation);
  const bool done = fate == VictimFate::parked
                        ? scene.take_idle(Scene::kMaker, scene.owner, record)
                        : scene.evict(Scene::kMaker, scene.owner, record, fate);
  if (!done) throw Broken("the scene cannot be set");
  scene.object = scene.find(Scene::kMaker, RecordKind::reservation)->ref;
}
void seat_is_taken_for_maker(Scene& scene) {
  seat_goes_to_maker(scene, VictimFate::parked);
}
void seat_is_evicted_for_maker(Scene& scene) {
  seat_goes_to_maker(scene, VictimFate::evicted_at_bind);
}
Stage stage_of_owner(Scene& scene) {
  scene.gate().count();
  return scene.gate().table().state(scene.owner.slot).stage;
}
// Either both or neither; or it was bound, and the owner has no seat.
int object_is_given_back(Scene& scene, pid_t child) {
  const int gone = object_is_gone(scene, child);
  const bool to_owner = gone != 0 && !scene.holds(Scene::kMaker);
  if ((stage_of_owner(scene) == Stage::seated) != to_owner)
    throw Broken("a seat was not given back as a whole");
  return gone;
}
int give_back_object(Scene& scene) {
  return scene.give_back(scene.object);
}
// The child's reservation took the seat of the first, and has ended with it.
void owner_has_it_again(Scene& scene) {
  if (!scene.rival_won && stage_of_owner(scene) != Stage::seated)
    throw Broken("the seat that a dead reservation had taken did not come back");
}
void owner_is_object(Scene& scene) {
  object_is_first(scene);
  scene.owner = scene.object;
}
int child_has_reservation(Scene& scene, pid_t child) {
  return scene.holds(pid_of(child), RecordKind::reservation);
}
// With a member of other groups than the reservation's.
void member_gives_seat_to_maker(Scene& scene) {
  RecordImage record = session_of(Scene::kFirst);
  record.groups = 0b011;
  scene.admit(Scene::kFirst, record);
  object_is_first(scene);
  scene.owner = scene.object;
  scene.gate().set_configured(Scene::kConfigured, {1, 1});
  record = Scene::record_of(Scene::kMaker, RecordKind::reservation);
  record.groups = 0b110;
  if (!scene.take_idle(Scene::kMaker, scene.owner, record)) throw Broken("the scene cannot be set");
  scene.gate().set_configured({1, 1}, Scene::kConfigured);
  scene.object = scene.find(Scene::kMaker, RecordKind::reservation)->ref;
}
bool is_waking(Scene& scene) {
  return (scene.memory().slots[scene.object.slot].last_activity.load() & kWaking) != 0;
}

void build_member(Scene&) {
  my_record = session_of(self());
  my_record.groups = 0b110;
}
// Who takes the maker's seat.
constexpr std::uint32_t kMover = Scene::kLongDead - 3;
// A seat of the maker's, who is in two groups.
void seat_member(Scene& scene) {
  RecordImage record = session_of(Scene::kMaker);
  record.groups = 0b011;
  record.idle_after_s = 1000;
  scene.admit(Scene::kMaker, record);
  scene.object = scene.find(Scene::kMaker, RecordKind::session)->ref;
}

bool remove_reservation(Scene& scene) {
  const bool won = scene.remove(scene.object);
  scene.extra -= won;
  return won;
}
bool unlist(Scene& scene) {
  auto gate = scene.gate();
  return gate.unlist_exempt(scene.object.slot, gate.widths().next_generation(scene.object.epoch));
}

constexpr std::array<char, kReasonBytes> kReason = {'t', 'o', 'o', ' ', 'l', 'o', 'n', 'g'};
constexpr std::uint16_t kChecksum = 4711;
int mark_of_first(Scene& scene, pid_t) {
  const auto held = scene.find(Scene::kFirst, RecordKind::session);
  if (held->mark == MarkStage::revoked &&
      (held->reason != kReason || held->reason_checksum != kChecksum))
    throw Broken("the reason of a revocation is torn");
  return static_cast<int>(held->mark);
}

bool publish(Scene& scene) {
  return scene.gate().set_configured(Scene::kConfigured, {2, 2});
}

int nop_was_made(Scene& scene) {
  scene.gate().count();
  return scene.memory().shared.nop.load() != scene.nop_before;
}
int dead_sessions_gone(Scene& scene, pid_t) {
  auto gate = scene.gate();
  gate.count();
  int left = 0;
  for (std::uint32_t slot = 0; slot < Scene::kSlots; ++slot)
    left += gate.table().state(slot).claimer_pid == Scene::kLongDead;
  return 2 - left;
}
// Whoever looks settles it; what shows is the count, which the invariants compare.
int nothing_to_see(Scene&, pid_t) {
  return 0;
}

const std::vector<GateOperation>& operations() {
  static const std::vector<GateOperation> rows = {
      {.name = "admit",
       .enter = build_session,
       .act = [](Scene& s) { return int{s.admit(self(), my_record)}; },
       .happened = child_has_session,
       .seats_changed = +1},
      {.name = "admit to the last seat",
       .seats = 2,
       .enter = build_session,
       .act = [](Scene& s) { return int{s.admit(self(), my_record)}; },
       .happened = child_has_session,
       .seats_changed = +1},
      {.name = "admit when full (refused)",
       .seats = 3,
       .enter = build_session,
       .act = [](Scene& s) { return int{!s.admit(self(), my_record)}; },
       .happened = [](Scene& s, pid_t child) { return int{s.holds(pid_of(child))}; },
       .complete = 0},
      {.name = "reserve",
       .seats = 2,
       .enter = build_reservation,
       .act = [](Scene& s) { return int{s.admit(self(), my_record)}; },
       .happened = [](Scene& s,
                      pid_t child) { return int{s.holds(pid_of(child), RecordKind::reservation)}; },
       .seats_changed = +1},
      {.name = "bind",
       .seats = 2,
       .prepare = reserve_for_maker,
       .enter = build_session,
       .act = [](Scene& s) { return int{s.bind(self(), s.object, my_record)}; },
       .happened = child_has_session,
       .rival = remove_reservation},
      {.name = "release",
       .seats = 3,
       .prepare = object_is_first,
       .act = [](Scene& s) { return int{s.remove(s.object)}; },
       .happened = object_is_gone,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.remove(s.object); }},
      {.name = "release of a reservation that is being bound",
       .seats = 2,
       .prepare = reserve_for_maker,
       .act = [](Scene& s) { return int{s.remove(s.object)}; },
       // Bound, it has gone without giving up its seat.
       .happened = [](Scene& s, pid_t) { return object_is_gone(s, 0) - s.holds(Scene::kMaker); },
       .seats_changed = -1,
       .rival =
           [](Scene& s) { return s.bind(Scene::kMaker, s.object, session_of(Scene::kMaker)); }},
      {.name = "touch",
       .prepare = object_is_first,
       .act = [](Scene& s) { return int{s.gate().touch(s.object, Scene::kActivity_ms)}; },
       .happened =
           [](Scene& s, pid_t) {
             return int{s.find(Scene::kFirst, RecordKind::session)->last_activity_ms ==
                        Scene::kActivity_ms};
           },
       .rival = [](Scene& s) { return s.gate().touch(s.object, Scene::kActivity_ms); },
       .rival_excludes = false},
      {.name = "mark_revoked",
       .prepare = object_is_first,
       .act =
           [](Scene& s) {
             return int{s.gate().table().mark_revoked(s.object, kReason, kChecksum)};
           },
       .happened = mark_of_first,
       .complete = 2,
       .rival =
           [](Scene& s) { return s.gate().table().mark_revoked(s.object, kReason, kChecksum); },
       .rival_excludes = false},
      {.name = "set_override to a lower limit",
       .seats = 3,
       .act = [](Scene& s) { return s.gate().set_override(2), 1; },
       .happened = [](Scene& s, pid_t) { return (s.limit() == 2) + nop_was_made(s); },
       .complete = 2,
       .changes_limit = true},
      {.name = "set_override to a higher limit",
       .seats = 3,
       .prepare = [](Scene& s) { s.most = 4; },
       .act = [](Scene& s) { return s.gate().set_override(4), 1; },
       .happened = [](Scene& s, pid_t) { return (s.limit() == 4) + nop_was_made(s); },
       .complete = 2,
       .changes_limit = true},
      {.name = "publish_limit",
       .act = [](Scene& s) { return int{publish(s)}; },
       .happened = [](Scene& s, pid_t) { return (s.limit() == 2) + nop_was_made(s); },
       .complete = 2,
       .rival = publish,
       .changes_limit = true},
      {.name = "list_exempt",
       .enter = build_exempt,
       .act =
           [](Scene& s) {
             const SlotRef claim = s.claim(self(), my_record);
             if (claim.slot != kNoSlot) s.gate().list_exempt(claim);
             return int{claim.slot != kNoSlot};
           },
       .happened = [](Scene& s,
                      pid_t child) { return int{s.holds(pid_of(child), RecordKind::exempt)}; }},
      {.name = "unlist_exempt",
       .prepare =
           [](Scene& s) {
             s.object = s.claim(Scene::kMaker, Scene::record_of(Scene::kMaker, RecordKind::exempt));
             s.gate().list_exempt(s.object);
           },
       .act = [](Scene& s) { return int{unlist(s)}; },
       .happened = object_is_gone,
       .rival = unlist},
      {.name = "free a dead claim",
       .prepare = [](Scene& s) { s.object = s.claim(Scene::kLongDead, {}); },
       .act = [](Scene& s) { return int{s.gate().free_dead_claim(s.object.slot, s.object.epoch)}; },
       .happened =
           [](Scene& s, pid_t) {
             return int{s.gate().table().state(s.object.slot).generation != s.object.epoch};
           },
       .rival = [](Scene& s) { return s.gate().free_dead_claim(s.object.slot, s.object.epoch); }},
      {.name = "reap a claim that the gate names",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             s.object = s.claim(Scene::kLongDead, session_of(Scene::kLongDead));
             only_change_gate(s, +1, s.object, s.object.epoch, GateOp::add);
           },
       .act = [](Scene& s) { return s.recover(Scene::kLongDead); },
       .happened = object_is_gone,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.recover(Scene::kLongDead) > 0; }},
      {.name = "reap two sessions",
       .prepare =
           [](Scene& s) {
             s.admit(Scene::kLongDead, session_of(Scene::kLongDead));
             s.admit(Scene::kLongDead, session_of(Scene::kLongDead));
           },
       .act = [](Scene& s) { return s.recover(Scene::kLongDead), 1; },
       .happened = dead_sessions_gone,
       .complete = 2,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.recover(Scene::kLongDead) > 0; },
       .rival_excludes = false},
      {.name = "park",
       .seats = 3,
       .prepare = object_is_above_limit,
       .act = [](Scene& s) { return int{s.park(s.object)}; },
       .happened = object_is_gone,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.park(s.object); }},
      {.name = "return",
       .seats = 3,
       .prepare = object_is_parked,
       .act = [](Scene& s) { return int{s.return_to_seat(s.object)}; },
       .happened = object_is_parked_no_more,
       .seats_changed = +1,
       .rival = [](Scene& s) { return s.return_to_seat(s.object); }},
      {.name = "drop",
       .seats = 3,
       .prepare = object_is_parked,
       .act = [](Scene& s) { return int{s.drop(s.object)}; },
       .happened = object_is_parked_no_more,
       .rival = return_object},
      {.name = "evict",
       .seats = 3,
       .prepare = object_is_first,
       .enter = build_session,
       .act = [](Scene& s) { return int{s.evict(self(), s.object, my_record)}; },
       .happened = child_has_session,
       .rival = remove_object},
      {.name = "evict from group to group",
       .seats = 2,
       .prepare = seat_member,
       .enter = build_member,
       .act = [](Scene& s) { return int{s.evict(self(), s.object, my_record)}; },
       .happened = child_has_session,
       .rival = evict_object},
      {.name = "take an idle seat",
       .seats = 3,
       .prepare = object_is_first,
       .enter = build_session,
       .act = [](Scene& s) { return int{s.take_idle(self(), s.object, my_record)}; },
       .happened = child_has_session,
       .rival = take_object},
      {.name = "admit a member of groups",
       .prepare = seat_member,
       .enter = build_member,
       .act = [](Scene& s) { return int{s.admit(self(), my_record)}; },
       .happened = child_has_session,
       .seats_changed = +1},
      {.name = "release a member of groups",
       .prepare = seat_member,
       .act = [](Scene& s) { return int{s.remove(s.object)}; },
       .happened = object_is_gone,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.remove(s.object); }},
      {.name = "touch that wakes",
       .prepare =
           [](Scene& s) {
             seat_member(s);
             Scene::clock_ms = Scene::kActivity_ms;
           },
       .act = [](Scene& s) { return int{s.gate().touch(s.object, Scene::kActivity_ms)}; },
       .happened =
           [](Scene& s, pid_t) {
             const bool touched =
                 s.gate().table().last_activity_ms(s.object.slot) == Scene::kActivity_ms;
             return touched + nop_was_made(s) + (touched && !is_waking(s));
           },
       .complete = 3},
      {.name = "touch that finds another waking",
       .prepare =
           [](Scene& s) {
             seat_member(s);
             Scene::clock_ms = Scene::kActivity_ms;
             s.gate().table().touch(s.object, Scene::kActivity_ms, UseIsTold::as_before,
                                    &Scene::clock);
           },
       .act = [](Scene& s) { return int{s.gate().touch(s.object, Scene::kActivity_ms)}; },
       .happened = [](Scene& s, pid_t) { return nop_was_made(s) + !is_waking(s); },
       .complete = 2},
      {.name = "give back",
       .seats = 3,
       .prepare = seat_is_taken_for_maker,
       .act = give_back_object,
       .happened = object_is_given_back,
       .rival =
           [](Scene& s) { return s.bind(Scene::kMaker, s.object, session_of(Scene::kMaker)); }},
      {.name = "give back, with a seat free",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             seat_is_evicted_for_maker(s);
             s.gate().set_configured(Scene::kConfigured, {1, 4});
             s.most = 4;
           },
       .act = give_back_object,
       .happened = object_is_given_back,
       .rival = [](Scene& s) { return s.give_back(s.object); }},
      {.name = "give back to one who has left",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             seat_is_taken_for_maker(s);
             s.drop(s.owner);
           },
       .act = give_back_object,
       .happened = object_is_gone,
       .seats_changed = -1,
       .rival = [](Scene& s) { return s.give_back(s.object); }},
      {.name = "give back from group to group",
       .seats = 0,
       .prepare = member_gives_seat_to_maker,
       .act = give_back_object,
       .happened = object_is_given_back,
       .rival = [](Scene& s) { return s.give_back(s.object); }},
      {.name = "bar",
       .seats = 3,
       .prepare = object_is_parked,
       .act = [](Scene& s) { return int{s.bar(s.object)}; },
       .happened =
           [](Scene& s, pid_t child) {
             const int moved = object_is_parked_no_more(s, child);
             const Stage stage = s.gate().table().state(s.object.slot).stage;
             if (moved != 0 && stage != (s.rival_won ? Stage::seated : Stage::evicted))
               throw Broken("barred, but neither evicted nor returned");
             return moved;
           },
       .rival = return_object},
      {.name = "reserve by eviction until it is bound",
       .seats = 3,
       .prepare = owner_is_object,
       .enter = build_reservation,
       .act =
           [](Scene& s) {
             return int{s.evict(self(), s.object, my_record, VictimFate::evicted_at_bind)};
           },
       .happened = child_has_reservation,
       .rival = remove_object,
       .recovered = owner_has_it_again},
      {.name = "reserve an idle seat",
       .seats = 3,
       .prepare = owner_is_object,
       .enter = build_reservation,
       .act = [](Scene& s) { return int{s.take_idle(self(), s.object, my_record)}; },
       .happened = child_has_reservation,
       .rival = remove_object,
       .recovered = owner_has_it_again},
      {.name = "bind and bar",
       .seats = 3,
       .prepare = seat_is_evicted_for_maker,
       .enter = build_session,
       .act = [](Scene& s) { return int{s.bind(self(), s.object, my_record) && s.bar(s.owner)}; },
       .happened =
           [](Scene& s, pid_t child) {
             const int bound = s.holds(pid_of(child));
             const Stage stage = stage_of_owner(s);
             if (stage != Stage::parked && stage != Stage::evicted)
               throw Broken("the victim of a bound reservation is neither parked nor evicted");
             return bound + (stage == Stage::evicted);
           },
       .complete = 2,
       .seats_changed = 0},
      {.name = "park the last that is too many (refused)",
       .seats = 3,
       .prepare = object_is_first,
       .act = [](Scene& s) { return int{!s.park(s.object)}; },
       .happened = object_is_gone,
       .complete = 0},
      {.name = "return that ends a rest",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             seat_member(s);
             s.gate().set_configured(Scene::kConfigured, {1, 2});
             if (!s.park(s.object)) throw Broken("the scene cannot be set");
             s.gate().set_configured({1, 2}, Scene::kConfigured);
             Scene::clock_ms = Scene::kActivity_ms;
           },
       .act = [](Scene& s) { return int{s.return_to_seat(s.object)}; },
       .happened =
           [](Scene& s, pid_t child) {
             const int returned = object_is_parked_no_more(s, child);
             if (returned != 0 &&
                 s.gate().table().last_activity_ms(s.object.slot) != Scene::kActivity_ms)
               throw Broken("returned, and as idle as before");
             return returned;
           },
       .seats_changed = +1,
       .rival = [](Scene& s) { return s.return_to_seat(s.object); }},
      {.name = "return over the limit",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_parked(s);
             s.admit(Scene::kMaker, session_of(Scene::kMaker));
             s.most = 4;
           },
       .act = [](Scene& s) { return int{s.return_to_seat(s.object, true)}; },
       .happened = object_is_parked_no_more,
       .seats_changed = +1,
       .rival =
           [](Scene& s) {
             const bool won = s.drop(s.object);
             s.extra -= won;
             return won;
           }},
      {.name = "settle an ADD of another",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             s.object = s.claim(Scene::kMaker, session_of(Scene::kMaker));
             only_change_gate(s, +1, s.object, s.object.epoch, GateOp::add);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a REMOVE of another",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_first(s);
             only_change_gate(s, -1, s.object, s.gate().table().state(s.object.slot).generation,
                              GateOp::remove);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a MOVE of another",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             reserve_for_maker(s);
             const SlotRef claim = s.claim(Scene::kMaker, session_of(Scene::kMaker));
             s.gate().table().write_victim(claim, s.object.slot, s.seated_generation(s.object),
                                           VictimFate::freed);
             only_change_gate(s, 0, claim, claim.epoch, GateOp::move);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a PARK of another",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_above_limit(s);
             only_change_gate(s, -1, s.object, s.seated_generation(s.object), GateOp::park);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a RETURN of another",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_parked(s);
             only_change_gate(s, +1, s.object, s.parked_generation(s.object), GateOp::return_);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a DROP of another",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_parked(s);
             only_change_gate(s, 0, s.object, s.parked_generation(s.object), GateOp::drop);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a bar of another",
       .seats = 3,
       .prepare =
           [](Scene& s) {
             object_is_parked(s);
             only_change_gate(s, 0, s.object, s.parked_generation(s.object), GateOp::park);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
      {.name = "settle a seat given back by another",
       .seats = 0,
       .prepare =
           [](Scene& s) {
             member_gives_seat_to_maker(s);
             only_change_gate(s, 0, s.object, s.seated_generation(s.object), GateOp::return_);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened =
           [](Scene& s, pid_t) {
             if (stage_of_owner(s) != Stage::seated) throw Broken("a seat was not given back");
             return 0;
           },
       .complete = 0},
      {.name = "settle a MOVE of another, from group to group",
       .seats = 1,
       .prepare =
           [](Scene& s) {
             seat_member(s);
             RecordImage record = session_of(kMover);
             record.groups = 0b110;
             const SlotRef claim = s.claim(kMover, record);
             s.gate().table().write_victim(claim, s.object.slot, s.seated_generation(s.object),
                                           VictimFate::evicted);
             only_change_gate(s, 0, claim, claim.epoch, GateOp::move);
           },
       .act = [](Scene& s) { return s.gate().count(), 1; },
       .happened = nothing_to_see,
       .complete = 0},
  };
  return rows;
}

}  // namespace

TEST_CASE("a gate operation is whole or has not begun, wherever its process is killed or stopped") {
  GateScene scene;
  for (const GateOperation& operation : operations()) {
    INFO(operation.name);
    CHECK_NOTHROW(all_tallies().push_back(explore(trial_of(scene, operation))));
    CHECK(all_tallies().back().is_complete);
  }
}
