#include "scenarios.h"

using namespace sessreg;

namespace {

void demand(bool condition, const char* what) {
  if (!condition) throw Broken(what);
}

// `seats` of `limit` taken, by kOld and kOlder; their refs in refs[0] and refs[1].
auto prepared(std::int32_t limit, std::uint32_t seats) {
  return [limit, seats](World& w) {
    w.begin();
    w.gate.set_configured(w.gate.configured(), {1, limit});
    for (std::uint32_t i = 0; i < seats; ++i) {
      const auto claim = w.claim(kOld + i);
      if (claim && w.add(*claim)) w.refs[i] = *claim;
    }
  };
}
// Besides, claims of those actors that only have to add, so that schedules spend nothing on
// records: of 1 in refs[2], of 2 in refs[3].
auto prepared_with_claims(std::int32_t limit, std::uint32_t seats, bool of_1, bool of_2) {
  return [=](World& w) {
    prepared(limit, seats)(w);
    if (of_1) w.refs[2] = *w.claim(1);
    if (of_2) w.refs[3] = *w.claim(2);
  };
}

void demand_one_of(World& w, std::uint32_t a, std::uint32_t b) {
  demand(w.is_seated(a) != w.is_seated(b), "not exactly one of two has the seat");
}

const Actor add_1{"add 1", [](World& w) { w.add(w.refs[2]); }, 1};
const Actor add_2{"add 2", [](World& w) { w.add(w.refs[3]); }, 2};
const Actor admit_1{"admit 1", [](World& w) { w.admit(1); }, 1};
const Actor admit_2{"admit 2", [](World& w) { w.admit(2); }, 2};
const Actor release{"release", [](World& w) { w.release(w.refs[0]); }, 3};
const Actor release_again{"release again", [](World& w) { w.release(w.refs[0]); }};
const Actor bind_1{"bind 1", [](World& w) { w.bind(1, w.refs[0]); }, 1};
const Actor bind_2{"bind 2", [](World& w) { w.bind(2, w.refs[0]); }, 2};
const Actor lower{"lower the limit", [](World& w) { w.set_limit(1); }, 3};
const Actor raise_{"raise the limit", [](World& w) { w.set_limit(4); }};
const Actor reap{"reap", [](World& w) { w.reap(); }, 3};
const Actor reader{"read", [](World& w) { w.read_all(); }};
// The slot gets another occupant, who is active.
const Actor replace{"replace",
                    [](World& w) {
                      w.release(w.refs[0]);
                      const auto claimed = w.claim(2);
                      if (claimed && w.add(*claimed)) w.gate.touch(*claimed, 2'000'000);
                    },
                    2};
// A late touch of the earlier occupant.
const Actor touch{"touch", [](World& w) { w.gate.touch(w.refs[0], kOld * 1'000'000); }, 3};

// --- Of users, groups, idle and parked sessions ---

// Those of the records are far from 0.
std::uint64_t opened_ms(std::uint32_t who) {
  return World::record_of(who).opened_boottime_ms;
}
constexpr std::uint32_t kIdle_s = 1000;

auto prepared_with_traits(std::function<void(World&)> set_traits,
                          std::function<void(World&)> then) {
  return [=](World& w) {
    set_traits(w);
    then(w);
  };
}
// 1, 2 and kOld are one user's, who may have one session.
void of_one_user(World& w) {
  w.limited_user = 1;
  w.user_limit = 1;
  w.traits[1].user = w.traits[2].user = w.traits[kOld].user = 1;
}
// 1, 2 and kOld are in a group that may have one seat.
void of_one_group(World& w) {
  w.group_limit = 1;
  w.traits[1].groups = w.traits[2].groups = w.traits[kOld].groups = 1;
}
void idle_sometimes(World& w) {
  w.traits[kOld].idle_after_s = w.traits[kOlder].idle_after_s = kIdle_s;
}
// kOld and kOlder were seated; the limit is lowered to 1, kOld is parked; then the limit is 2.
auto prepared_with_parked(bool of_1, bool of_2) {
  return [=](World& w) {
    prepared_with_claims(2, 2, of_1, of_2)(w);
    w.gate.set_configured(w.gate.configured(), {2, 1});
    demand(w.park(w.refs[0], ~std::uint64_t{0}), "the scene cannot be set");
    w.gate.set_configured(w.gate.configured(), {3, 2});
  };
}

const Actor evict_1{"evict by 1", [](World& w) { w.evict(w.refs[2], w.refs[0]); }, 1};
const Actor evict_2{"evict by 2", [](World& w) { w.evict(w.refs[3], w.refs[0]); }, 2};
const Actor take_idle_1{
    "take by 1",
    [](World& w) { w.take_idle(w.refs[2], w.refs[0], opened_ms(kOld) + kIdle_s * 1000); }, 1};
const Actor take_idle_2{
    "take by 2",
    [](World& w) { w.take_idle(w.refs[3], w.refs[0], opened_ms(kOld) + kIdle_s * 1000); }, 2};
// Notes whether it still had its seat when it was awake: then nobody may take it any more.
const Actor wake{"wake",
                 [](World& w) {
                   w.gate.touch(w.refs[0], opened_ms(kOld) + 2 * kIdle_s * 1000);
                   w.was_woken = w.is_seated(kOld);
                 },
                 kOld};
const Actor return_{"return", [](World& w) { w.return_to_seat(kOld, w.refs[0]); }, 3};
const Actor return_again{"return again", [](World& w) { w.return_to_seat(kOld, w.refs[0]); }};
const Actor drop{"drop", [](World& w) { w.drop(w.refs[0]); }, 3};
const Actor park_old{"park", [](World& w) { w.park(w.refs[0], opened_ms(kOld) + kIdle_s * 1000); },
                     1};
const Actor park_older{"park the other",
                       [](World& w) { w.park(w.refs[1], opened_ms(kOlder) + kIdle_s * 1000); }, 2};

void demand_awake(World& w) {
  demand(!w.was_woken || w.is_seated(kOld), "a session that had woken lost its seat");
}

// An ADD and a MOVE that their process left unsettled when it was killed.
void leave_unsettled(World& w, int more, SlotRef claim, GateOp op) {
  const auto count = static_cast<std::uint32_t>(static_cast<int>(w.gate.count()) + more);
  w.memory.shared.gate.store(w.gate.widths().pack(GateWord{count, claim.slot, claim.epoch, op}),
                             std::memory_order_release);
}

}  // namespace

std::vector<Scenario> scenarios() {
  return {
      {.name = "two for the last seat",
       .prepare = prepared_with_claims(2, 1, true, true),
       .actors = {add_1, add_2},
       .preemptions = 5,
       .deaths = 1},
      {.name = "two for the last seat, with claim and record",
       .prepare = prepared(2, 1),
       .actors = {admit_1, admit_2},
       .preemptions = 2},
      {.name = "two for the last seat, one dies, one reaps",
       .prepare = prepared_with_claims(2, 1, true, true),
       .actors = {add_1, add_2, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two for a seat that is being given up",
       .prepare = prepared_with_claims(1, 1, true, true),
       .actors = {add_1, add_2, release},
       .preemptions = 2,
       .deaths = 1},
      {.name = "an admission dies, another reaps it, a third comes",
       .prepare = prepared(1, 0),
       .actors = {admit_1, reap, admit_2},
       .preemptions = 1,
       .deaths = 1},
      {.name = "released twice",
       .prepare = prepared_with_claims(2, 2, true, false),
       .actors = {release, release_again, add_1},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two bind one reservation",
       .prepare = prepared(1, 1),
       .actors = {bind_1, bind_2},
       .preemptions = 2,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "bound, released, and wanted by another",
       .prepare = prepared_with_claims(1, 1, false, true),
       .actors = {bind_1, release, add_2},
       .preemptions = 2},
      {.name = "a bind dies and is reaped",
       .prepare = prepared(2, 2),
       .actors = {bind_1, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "a MOVE left unsettled, settled by three",
       .prepare =
           [](World& w) {
             prepared_with_claims(2, 1, true, true)(w);
             const auto claim = w.claim(kLeft);
             w.gate.table().write_victim(*claim, w.refs[0].slot, w.seated_generation(w.refs[0]),
                                         VictimFate::freed);
             leave_unsettled(w, 0, *claim, GateOp::move);
           },
       .actors = {add_1, add_2, release},
       .preemptions = 2,
       .deaths = 1},
      {.name = "the claim of an ADD left unsettled is reaped by two",
       .prepare =
           [](World& w) {
             prepared_with_claims(2, 1, false, false)(w);
             const auto claim = w.claim(kLeft);
             leave_unsettled(w, +1, *claim, GateOp::add);
           },
       .actors = {{"reap 1", [](World& w) { w.dead[kLeft] = true, w.reap(); }, 1},
                  {"reap 2", [](World& w) { w.dead[kLeft] = true, w.reap(); }, 2}},
       .preemptions = 2},
      {.name = "the limit is lowered while two come",
       .prepare = prepared_with_claims(3, 1, true, true),
       .actors = {add_1, add_2, lower},
       .preemptions = 2,
       .deaths = 1},
      {.name = "the limit is lowered and raised while one comes",
       .prepare = prepared_with_claims(2, 1, true, false),
       .actors = {add_1, lower, raise_},
       .preemptions = 2,
       .deaths = 1},
      {.name = "read while the slot gets another occupant",
       .prepare = prepared(1, 1),
       .actors = {reader, replace},
       .preemptions = 2,
       .deaths = 1},
      {.name = "touched while the slot gets another occupant",
       .prepare = prepared(1, 1),
       .actors = {touch, replace, reader},
       .preemptions = 1,
       .deaths = 1},
      {.name = "an idle seat is taken while its session wakes",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_claims(1, 1, true, false)),
       .actors = {take_idle_1, wake},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "an idle seat is taken by two while its session wakes",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_claims(1, 1, true, true)),
       .actors = {take_idle_1, take_idle_2, wake},
       .preemptions = 2,
       .deaths = 1,
       .check = demand_awake},
      {.name = "two of one user for that one's only seat",
       .prepare = prepared_with_traits(of_one_user, prepared(3, 0)),
       .actors = {admit_1, admit_2},
       .preemptions = 2,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "two of one user evict that one's session",
       .prepare = prepared_with_traits(of_one_user, prepared_with_claims(3, 1, true, true)),
       .actors = {evict_1, evict_2},
       .preemptions = 2,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "evicted, released, and a third of that user comes",
       .prepare = prepared_with_traits(of_one_user, prepared_with_claims(3, 1, true, true)),
       .actors = {evict_1, add_2, release},
       .preemptions = 2,
       .deaths = 1},
      {.name = "a return and a newcomer for the last seat",
       .prepare = prepared_with_parked(false, true),
       .actors = {return_, add_2},
       .preemptions = 4,
       .deaths = 1},
      {.name = "returned twice, and a newcomer",
       .prepare = prepared_with_parked(false, true),
       .actors = {return_, return_again, add_2},
       .preemptions = 2,
       .deaths = 1},
      {.name = "dropped and returned",
       .prepare = prepared_with_parked(false, true),
       .actors = {drop, return_again, add_2},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two are parked, but only one is too many",
       .prepare = prepared_with_traits(idle_sometimes,
                                       [](World& w) {
                                         prepared_with_claims(2, 2, false, false)(w);
                                         w.gate.set_configured(w.gate.configured(), {2, 1});
                                       }),
       .actors = {park_old, park_older, wake},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand_awake(w);
             demand(w.is_seated(kOld) != w.is_seated(kOlder), "not exactly one was parked");
           }},
      {.name = "two for the only seat of a group",
       .prepare = prepared_with_traits(of_one_group, prepared_with_claims(3, 0, true, true)),
       .actors = {add_1, add_2, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two for the only seat of a group, which is given up",
       .prepare = prepared_with_traits(of_one_group, prepared_with_claims(3, 1, true, true)),
       .actors = {add_1, add_2, release},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two evict one of their group",
       .prepare = prepared_with_traits(of_one_group, prepared_with_claims(2, 1, true, true)),
       .actors = {evict_1, evict_2, release},
       .preemptions = 2,
       .deaths = 1},
      {.name = "a MOVE from group to group left unsettled, settled by three",
       .prepare = prepared_with_traits(
           [](World& w) {
             w.traits[kOld].groups = 0b011;
             w.traits[kLeft].groups = 0b110;
             w.traits[1].groups = w.traits[2].groups = 0b111;
           },
           [](World& w) {
             prepared_with_claims(2, 1, true, true)(w);
             const auto claim = w.claim(kLeft);
             w.gate.table().write_victim(*claim, w.refs[0].slot, w.seated_generation(w.refs[0]),
                                         VictimFate::parked);
             leave_unsettled(w, 0, *claim, GateOp::move);
           }),
       .actors = {add_1, add_2, release},
       .preemptions = 2,
       .deaths = 1},
  };
}
