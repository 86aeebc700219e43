#include "scenarios.h"

using namespace sessreg;

namespace {

void demand(bool condition, const char* what) {
  if (!condition) throw Broken(what);
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
                      if (claimed && w.add(*claimed))
                        w.touch(*claimed, World::active_ms(2) + World::kIdle_ms);
                    },
                    2};
// A late touch of the earlier occupant.
const Actor touch{
    "touch", [](World& w) { w.touch(w.refs[0], World::active_ms(kOld) + World::kIdle_ms); }, 3};

// --- Of users, groups, idle and parked sessions ---

auto prepared_with_traits(const std::function<void(World&)>& set_traits,
                          const std::function<void(World&)>& then) {
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
  w.traits[kOld].idle_after_s = w.traits[kOlder].idle_after_s = World::kIdle_s;
}
void may_vacate(World& w) {
  w.may_vacate = true;
}
// Neither kOld nor kOlder was used since.
constexpr std::uint64_t idle_since_ms(std::uint32_t who) {
  return World::active_ms(who) + World::kIdle_ms;
}
const Actor evict_1{"evict by 1", [](World& w) { w.evict(w.refs[2], w.refs[0]); }, 1};
const Actor evict_2{"evict by 2", [](World& w) { w.evict(w.refs[3], w.refs[0]); }, 2};
const Actor take_idle_1{
    "take by 1",
    [](World& w) { w.take_idle(w.refs[2], w.seat_of(w.refs[0]), idle_since_ms(kOld)); }, 1};
const Actor take_idle_2{
    "take by 2",
    [](World& w) { w.take_idle(w.refs[3], w.seat_of(w.refs[0]), idle_since_ms(kOld)); }, 2};
// The seat that it has again.
const Actor take_again_2{
    "take again by 2",
    [](World& w) { w.take_idle(w.refs[3], w.second_seat_of(w.refs[0]), idle_since_ms(kOld)); }, 2};
// Notes whether it still had its seat when it was awake: then nobody may take it any more.
void wake_old(World& w) {
  w.touch(w.refs[0], idle_since_ms(kOld) + World::kIdle_ms);
  w.was_woken |= w.is_seated(kOld);
}
const Actor wake{"wake", wake_old, kOld};
const Actor wake_again{"wake again", wake_old};
// By its token, a little later: it changes the word, but ends no rest.
const Actor wake_later{"wake later", [](World& w) {
                         w.touch(w.refs[0], idle_since_ms(kOld) + World::kIdle_ms + 1000,
                                 UseIsTold::yes);
                         w.was_woken |= w.is_seated(kOld);
                       }};
const Actor return_{"return", [](World& w) { w.won[0] = w.return_to_seat(kOld, w.refs[0]); }, 3};
const Actor return_again{"return again",
                         [](World& w) { w.won[1] = w.return_to_seat(kOld, w.refs[0]); }};
const Actor return_over{"return over the limit",
                        [](World& w) { w.won[0] = w.return_to_seat(kOld, w.refs[0], true); }, 3};
const Actor drop{"drop", [](World& w) { w.drop(w.refs[0]); }, 3};
const Actor leave{"leave", [](World& w) { w.leave(kOld, w.refs[0]); }, 3};
const Actor bar{"bar", [](World& w) { w.won[2] = w.bar(w.refs[0]); }, 1};
const Actor vacate{"vacate", [](World& w) { w.vacate(kOld, w.refs[0]); }, 2};
const Actor give_back{"give back", [](World& w) { w.won[2] = w.give_back(w.refs[4]); }, 3};
const Actor give_back_again{"give back again", [](World& w) { w.won[3] = w.give_back(w.refs[4]); },
                            1};
// As a login does that would be refused otherwise.
const Actor displace{"displace",
                     [](World& w) {
                       w.won[2] = w.give_way(2, w.refs[4]);
                       w.add(w.refs[3]);
                     },
                     2};
// As LoginProcedure::open does: whose reservation has gone needs a seat anew.
const Actor bind_or_admit{"bind or admit",
                          [](World& w) {
                            w.won[3] = w.bind(1, w.refs[4]);
                            if (!w.won[3]) w.admit(1);
                          },
                          1};
// As Registry::bind does.
const Actor bind_and_bar{"bind and bar",
                         [](World& w) {
                           w.won[3] = w.bind(1, w.refs[4]);
                           if (w.won[3]) w.bar(w.refs[0]);
                         },
                         1};
const Actor bind_new{"bind", [](World& w) { w.won[3] = w.bind(1, w.refs[4]); }, 1};
const Actor park_old{"park", [](World& w) { w.park(1, w.seat_of(w.refs[0]), idle_since_ms(kOld)); },
                     1};
const Actor park_older{"park the other",
                       [](World& w) { w.park(2, w.seat_of(w.refs[1]), idle_since_ms(kOlder)); }, 2};
const Actor leave_older{"leave", [](World& w) { w.leave(kOlder, w.refs[1]); }, 2};
// As Registry::take_idle does above a lowered limit: one is parked, the other's seat is taken.
const Actor park_and_take{"park and take",
                          [](World& w) {
                            w.park(1, w.seat_of(w.refs[0]), idle_since_ms(kOld));
                            w.take_idle(w.refs[2], w.seat_of(w.refs[1]), idle_since_ms(kOlder));
                          },
                          1};
const Actor search{"search", [](World& w) { w.search(); }};

void demand_awake(World& w) {
  demand(!w.was_woken || w.is_seated(kOld), "a session that had woken lost its seat");
}
void demand_given_back(World& w) {
  demand(w.is_seated(kOld), "who gave its seat to a reservation has it not again");
  demand(!w.is_seated(kNew), "the reservation has not ended");
}
void demand_barred(World& w) {
  demand(!w.won[2] || w.has_stage(kOld, Stage::evicted), "who was barred is not");
  demand(!w.won[2] || !w.won[0], "barred and returned");
  demand(w.won[2] || w.won[0], "neither barred nor returned");
}

// An ADD and a MOVE that their process left unsettled when it was killed.
void leave_unsettled(World& w, int more, SlotRef claim, GateOp op) {
  const auto count = static_cast<std::uint32_t>(static_cast<int>(w.gate.count()) + more);
  w.memory.shared.gate.store(w.gate.widths().pack(GateWord{count, claim.slot, claim.epoch, op}),
                             std::memory_order_release);
}

void leave_unsettled(World& w, SlotRef ref, std::uint32_t generation, GateOp op) {
  leave_unsettled(w, 0, SlotRef{ref.slot, generation}, op);
}

// The generations are about to come round: `after` transitions of a slot from here on.
auto near_the_last_generation(std::uint32_t after, const std::function<void(World&)>& then) {
  return [=](World& w) {
    const auto last =
        static_cast<std::uint32_t>((std::uint64_t{1} << w.gate.widths().generation_bits()) - 1);
    const StateWord state{Stage::free, last - after, 0, 0};
    for (auto& slot : w.memory.slots)
      slot.state.store(w.gate.widths().pack(state), std::memory_order_release);
    w.memory.shared.nop.store(last - after, std::memory_order_release);
    then(w);
  };
}

}  // namespace

std::function<void(World&)> prepared(std::int32_t limit, std::uint32_t seats) {
  return [limit, seats](World& w) {
    w.begin();
    w.gate.set_configured(w.gate.configured(), {1, limit});
    if (w.group_limit >= 0) w.gate.note_group_limit(0, w.group_limit);
    for (std::uint32_t i = 0; i < seats; ++i) {
      const auto claim = w.claim(kOld + i);
      if (claim && w.add(*claim)) w.refs[i] = *claim;
    }
  };
}
std::function<void(World&)> prepared_with_parked(bool of_1, bool of_2) {
  return [=](World& w) {
    prepared_with_claims(2, 2, of_1, of_2)(w);
    w.gate.set_configured(w.gate.configured(), {2, 1});
    demand(w.park(kNew, w.seat_of(w.refs[0]), idle_since_ms(kOld)), "the scene cannot be set");
    w.gate.set_configured(w.gate.configured(), {3, 2});
  };
}

std::function<void(World&)> prepared_with_reservation(std::int32_t limit, bool of_1, bool of_2,
                                                      VictimFate fate) {
  return [=](World& w) {
    w.traits[kNew].reservation = true;
    prepared_with_claims(1, 1, of_1, of_2)(w);
    w.refs[4] = *w.claim(kNew);
    const bool taken = fate == VictimFate::parked
                           ? w.take_idle(w.refs[4], w.seat_of(w.refs[0]), idle_since_ms(kOld))
                           : w.evict(w.refs[4], w.refs[0], fate);
    demand(taken, "the scene cannot be set");
    w.gate.set_configured(w.gate.configured(), {2, limit});
  };
}

void prepare_with_slow_login(World& w) {
  w.traits[kNew].reservation = true;
  prepared_with_claims(2, 1, false, true)(w);
  w.refs[4] = *w.claim(kNew);
  demand(w.add(w.refs[4]), "the scene cannot be set");
}

std::vector<Scenario> scenarios() {
  std::vector<Scenario> all = {
      {.name = "two for the last seat",
       .prepare = prepared_with_claims(2, 1, true, true),
       .actors = {add_1, add_2},
       .preemptions = 6,
       .deaths = 1},
      {.name = "two for the last seat, with claim and record",
       .prepare = prepared(2, 1),
       .actors = {admit_1, admit_2},
       .preemptions = 3},
      {.name = "two for the last seat, one dies, one reaps",
       .prepare = prepared_with_claims(2, 1, true, true),
       .actors = {add_1, add_2, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "two for a seat that is being given up",
       .prepare = prepared_with_claims(1, 1, true, true),
       .actors = {add_1, add_2, release},
       .preemptions = 3,
       .deaths = 1},
      {.name = "an admission dies, another reaps it, a third comes",
       .prepare = prepared(1, 0),
       .actors = {admit_1, reap, admit_2},
       .preemptions = 1,
       .deaths = 1},
      {.name = "released twice",
       .prepare = prepared_with_claims(2, 2, true, false),
       .actors = {release, release_again, add_1},
       .preemptions = 3,
       .deaths = 1},
      {.name = "two bind one reservation",
       .prepare = prepared(1, 1),
       .actors = {bind_1, bind_2},
       .preemptions = 3,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "bound, released, and wanted by another",
       .prepare = prepared_with_claims(1, 1, false, true),
       .actors = {bind_1, release, add_2},
       .preemptions = 3},
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
       .preemptions = 3,
       .deaths = 1},
      {.name = "the limit is lowered and raised while one comes",
       .prepare = prepared_with_claims(2, 1, true, false),
       .actors = {add_1, lower, raise_},
       .preemptions = 3,
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
       .preemptions = 5,
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
       .preemptions = 3,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "two of one user evict that one's session",
       .prepare = prepared_with_traits(of_one_user, prepared_with_claims(3, 1, true, true)),
       .actors = {evict_1, evict_2},
       .preemptions = 3,
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
       .preemptions = 3,
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

      // Waking.
      {.name = "touched twice while its seat is taken: the second returns first",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_claims(1, 1, true, false)),
       .actors = {wake, wake_again, take_idle_1},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "touched by two means while its seat is taken",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_claims(1, 1, true, false)),
       .actors = {wake, wake_later, take_idle_1},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "touched twice while it is parked",
       .prepare = prepared_with_traits(idle_sometimes,
                                       [](World& w) {
                                         prepared_with_claims(2, 2, false, false)(w);
                                         w.gate.set_configured(w.gate.configured(), {2, 1});
                                       }),
       .actors = {wake, wake_again, park_old},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "returned while an older look at it wants its seat",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_parked(false, true)),
       .actors =
           {{"return", [](World& w) { w.was_woken = w.return_to_seat(kOld, w.refs[0]); }},
            {"take again",
             [](World&
                    w) { w.take_idle(w.refs[3], w.second_seat_of(w.refs[0]), idle_since_ms(kOld)); }}},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "a search misses nobody who was active before it",
       .prepare = prepared_with_parked(true, false),
       .actors = {search, add_1, return_},
       .preemptions = 3,
       .ticking = true},
      {.name = "nor one that is bound, or takes an idle seat",
       .prepare = prepared_with_claims(2, 2, false, true),
       .actors = {search,
                  bind_1,
                  {"take",
                   [](World& w) { w.take_idle(w.refs[3], w.seat_of(w.refs[1]), 1'000'000); }}},
       .preemptions = 2,
       .ticking = true},

      // A reservation ends, and whoever lost a seat to it has it again.
      {.name = "given back while a third wants the seat",
       .prepare = prepared_with_reservation(1, true, true, VictimFate::parked),
       .actors = {give_back, add_1, add_2},
       .preemptions = 3,
       .check = demand_given_back},
      {.name = "given back while a third wants the seat, one dies",
       .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
       .actors = {give_back, add_2, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "given back while its owner returns to another seat",
       .prepare = prepared_with_reservation(2, false, true, VictimFate::parked),
       .actors = {give_back, return_again, add_2},
       .preemptions = 3,
       .check = demand_given_back},
      {.name = "given back while its owner leaves",
       .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
       .actors = {give_back, leave, add_2},
       .preemptions = 3,
       .check = [](World& w) { demand(!w.is_seated(kOld), "who left has a seat"); }},
      {.name = "given back while its owner is dropped",
       .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
       .actors = {give_back, drop, add_2},
       .preemptions = 2,
       .deaths = 1},
      {.name = "given back, and taken again",
       .prepare = prepared_with_traits(
           idle_sometimes, prepared_with_reservation(1, false, true, VictimFate::parked)),
       .actors = {give_back, take_again_2, wake},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "given back while it is bound",
       .prepare = prepared_with_reservation(1, false, true, VictimFate::parked),
       .actors = {give_back, bind_new, add_2},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand_one_of(w, 1, kOld);
             demand(w.won[2] != w.won[3], "given back and bound, or neither");
           }},
      {.name = "given back twice",
       .prepare = prepared_with_reservation(2, false, true, VictimFate::parked),
       .actors = {give_back, give_back_again, add_2},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand_given_back(w);
             demand(w.won[2] != w.won[3], "a reservation was given back twice");
           }},
      // A reservation gives way to who would be refused otherwise.
      {.name = "gives way while it is bound, and another leaves",
       .prepare = prepare_with_slow_login,
       .actors = {displace, bind_or_admit, release},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand(!w.won[2] || !w.won[3], "gave way and was bound");
             demand(w.is_seated(1) || w.is_seated(2), "there was a seat, and nobody has it");
           }},
      {.name = "gives way while it is bound, one dies, one reaps",
       .prepare = prepare_with_slow_login,
       .actors = {displace, bind_or_admit, reap},
       .preemptions = 2,
       .deaths = 1},
      {.name = "gives way while the limit is raised, one dies",
       .prepare = prepare_with_slow_login,
       .actors = {displace, bind_or_admit, raise_},
       .preemptions = 2,
       .deaths = 1},
      {.name = "gives way to two",
       .prepare =
           [](World& w) {
             prepare_with_slow_login(w);
             w.refs[2] = *w.claim(1);
           },
       .actors = {displace,
                  {"displace, too",
                   [](World& w) {
                     w.won[3] = w.give_way(1, w.refs[4]);
                     w.add(w.refs[2]);
                   },
                   1}},
       .preemptions = 3,
       .deaths = 1,
       .check = [](World& w) { demand(!w.won[2] || !w.won[3], "gave way twice"); }},
      {.name = "gives way, and its owner has its seat again",
       .prepare = prepared_with_reservation(1, false, true, VictimFate::evicted_at_bind),
       .actors = {displace, bind_or_admit, return_again},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand(!w.won[2] || !w.won[3], "gave way and was bound");
             demand(w.won[3] || !w.won[2] || w.is_seated(kOld), "whose seat it was has none");
           }},
      {.name = "given back while its user takes another seat",
       .prepare = prepared_with_traits(
           of_one_user, prepared_with_reservation(2, false, true, VictimFate::parked)),
       .actors = {give_back, add_2},
       .preemptions = 4,
       .check = [](World& w) { demand_one_of(w, 2, kOld); }},
      {.name = "given back while another of its group takes a seat",
       .prepare = prepared_with_traits(
           of_one_group, prepared_with_reservation(2, false, true, VictimFate::parked)),
       .actors = {give_back, add_2, reap},
       .preemptions = 3,
       .check = [](World& w) { demand_one_of(w, 2, kOld); }},
      {.name = "given back to one of its own user, who tries a third",
       .prepare =
           prepared_with_traits(
               [](World& w) {
                 of_one_user(w);
                 w.traits[kNew].user = 1;
               },
               prepared_with_reservation(2, true, true, VictimFate::evicted_at_bind)),
       .actors = {give_back, add_1, add_2},
       .preemptions = 2,
       .check = demand_given_back},
      {.name = "a seat being given back left unsettled, settled by three",
       .prepare = prepared_with_traits(
           [](World& w) {
             w.traits[kOld].groups = 0b011;
             w.traits[kNew].groups = 0b110;
             w.traits[1].groups = w.traits[2].groups = 0b111;
           },
           [](World& w) {
             prepared_with_reservation(2, true, false, VictimFate::parked)(w);
             leave_unsettled(w, w.refs[4], w.seated_generation(w.refs[4]), GateOp::return_);
           }),
       .actors = {add_1, leave, give_back},
       .preemptions = 2},
      {.name = "a seat being given back left unsettled, and the slots used again",
       .prepare =
           [](World& w) {
             prepared_with_reservation(2, false, false, VictimFate::parked)(w);
             leave_unsettled(w, w.refs[4], w.seated_generation(w.refs[4]), GateOp::return_);
           },
       .actors = {{"settle", [](World& w) { w.gate.count(); }}, leave, admit_1},
       .preemptions = 2},

      // Barred.
      {.name = "barred while it returns",
       .prepare = prepared_with_parked(false, false),
       .actors = {bar, return_},
       .preemptions = 6,
       .check = demand_barred},
      {.name = "barred while it returns, and a newcomer",
       .prepare = prepared_with_parked(false, true),
       .actors = {{"bar", bar.act}, return_, add_2},
       .preemptions = 2,
       .deaths = 1},
      {.name = "barred while it is dropped, and by another",
       .prepare = prepared_with_parked(false, false),
       .actors = {bar, {"bar too", [](World& w) { w.won[3] = w.bar(w.refs[0]); }}, leave},
       .preemptions = 3,
       .check =
           [](World& w) {
             demand(!w.won[2] || !w.won[3], "barred twice");
             demand(w.has_stage(kOld, Stage::free) || !w.is_seated(kOld), "who left has a seat");
           }},
      {.name = "barred left unsettled, settled by three",
       .prepare =
           [](World& w) {
             prepared_with_parked(false, true)(w);
             leave_unsettled(w, w.refs[0], w.parked_generation(w.refs[0]), GateOp::park);
           },
       .actors = {return_, add_2, leave},
       .preemptions = 3,
       .check = [](World& w) { demand(!w.won[0], "barred and returned"); }},
      {.name = "evicted at bind, and bound, while the victim returns",
       .prepare =
           prepared_with_traits(
               [](World& w) {
                 of_one_user(w);
                 w.traits[kNew].user = 1;
               },
               prepared_with_reservation(2, false, true, VictimFate::evicted_at_bind)),
       .actors = {bind_and_bar, return_, add_2},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand(w.is_seated(1) && w.has_stage(kOld, Stage::evicted),
                    "bound, and the victim not barred");
           }},
      {.name = "evicted at bind, bound and given back",
       .prepare = prepared_with_reservation(1, false, false, VictimFate::evicted_at_bind),
       .actors = {bind_and_bar, give_back, return_again},
       .preemptions = 2,
       .check =
           [](World& w) {
             demand(w.won[2] != w.won[3], "given back and bound, or neither");
             demand(w.won[2] ? w.is_seated(kOld) : w.has_stage(kOld, Stage::evicted),
                    "the victim is not what it should be");
           }},
      // Given up for good.
      {.name = "vacated while a newcomer wants the seat",
       .prepare = prepared_with_traits(may_vacate, prepared_with_claims(1, 1, true, false)),
       .actors = {vacate, add_1, leave},
       .preemptions = 2,
       .deaths = 1,
       .check = [](World& w) { demand(!w.is_seated(kOld), "who was vacated has a seat"); }},
      {.name = "vacated while it returns, and a newcomer",
       .prepare = prepared_with_traits(may_vacate, prepared_with_parked(false, true)),
       .actors = {{"vacate", vacate.act}, return_, add_2},
       .preemptions = 2,
       .check = [](World& w) { demand(!w.is_seated(kOld), "who was vacated has a seat"); }},
      {.name = "vacated while its seat is given back",
       .prepare = prepared_with_traits(
           may_vacate, prepared_with_reservation(1, false, false, VictimFate::parked)),
       .actors = {{"vacate", vacate.act}, give_back, return_again},
       .preemptions = 3,
       .check =
           [](World& w) {
             demand(!w.is_seated(kOld) && !w.has_stage(kOld, Stage::parked),
                    "who was vacated has a seat or a claim to one");
             demand(w.won[2], "the reservation has not ended");
           }},

      // Above a lowered limit.
      {.name = "one is parked and the other's seat taken, while one wakes",
       .prepare = prepared_with_traits(idle_sometimes,
                                       [](World& w) {
                                         prepared_with_claims(2, 2, true, false)(w);
                                         w.gate.set_configured(w.gate.configured(), {2, 1});
                                       }),
       .actors = {park_and_take, wake, wake_again},
       .preemptions = 3,
       .check = demand_awake},
      {.name = "one is parked and the other's seat taken, while that one leaves",
       .prepare =
           [](World& w) {
             prepared_with_claims(2, 2, true, true)(w);
             w.gate.set_configured(w.gate.configured(), {2, 1});
           },
       .actors = {park_and_take, leave_older, add_2},
       .preemptions = 2,
       .deaths = 1},
      {.name = "parked while it leaves",
       .prepare =
           [](World& w) {
             prepared_with_claims(2, 2, true, false)(w);
             w.gate.set_configured(w.gate.configured(), {2, 1});
           },
       .actors = {park_old, leave, add_1},
       .preemptions = 2,
       .deaths = 1},
      {.name = "one is parked and the other's seat taken by one with a seat less",
       .prepare = prepared_with_traits([](World& w) { w.traits[1].held_back = 1; },
                                       prepared_with_claims(2, 2, true, true)),
       .actors = {park_and_take, leave_older, add_2},
       .preemptions = 2},
      {.name = "returned over the limit, while others come and go",
       .prepare = prepared_with_traits([](World& w) { w.returns_over_limit = true; },
                                       [](World& w) {
                                         prepared_with_parked(false, true)(w);
                                         w.gate.set_configured(w.gate.configured(), {4, 1});
                                       }),
       .actors = {{"return over the limit", return_over.act}, add_2, leave_older},
       .preemptions = 2,
       .deaths = 1,
       .check = [](World& w) { demand(w.is_seated(kOld), "not returned over the limit"); }},
      {.name = "returned over the limit where the table is full",
       .prepare =
           [](World& w) {
             w.returns_over_limit = true;
             prepared_with_parked(false, false)(w);
             w.gate.set_configured(w.gate.configured(), {4, World::kCapacity});
             for (const std::uint32_t who : {1u, 2u, 3u})
               w.admit(who);
           },
       .actors = {{"return over the limit", return_over.act}, leave_older},
       .preemptions = 4,
       .deaths = 1},

      // The last seats, for those who may have them.
      {.name = "two for the last seat but one that is held back",
       .prepare =
           prepared_with_traits([](World& w) { w.traits[1].held_back = w.traits[2].held_back = 1; },
                                prepared_with_claims(3, 1, true, true)),
       .actors = {add_1, add_2},
       .preemptions = 5,
       .check = [](World& w) { demand_one_of(w, 1, 2); }},
      {.name = "a seat held back, and one who may have it",
       .prepare = prepared_with_traits([](World& w) { w.traits[1].held_back = 1; },
                                       prepared_with_claims(3, 1, true, true)),
       .actors = {add_1, add_2, reap},
       .preemptions = 2,
       .check = [](World& w) { demand(w.is_seated(2), "refused a seat that was held for it"); }},
      {.name = "a seat held back from one who returns",
       .prepare = prepared_with_traits([](World& w) { w.traits[kOld].held_back = 1; },
                                       prepared_with_parked(false, true)),
       .actors = {return_, add_2, leave_older},
       .preemptions = 2,
       .deaths = 1},
  };
  // The generations come round in the midst of it, at each of the transitions there may be.
  for (std::uint32_t after = 0; after <= 4; ++after) {
    const std::string when = ", generations end after " + std::to_string(after);
    all.push_back(
        {.name = "two for a seat that is given up" + when,
         .prepare = near_the_last_generation(after, prepared_with_claims(1, 1, true, true)),
         .actors = {add_1, add_2, release},
         .preemptions = 2});
    all.push_back({.name = "bound and released" + when,
                   .prepare = near_the_last_generation(after, prepared(1, 1)),
                   .actors = {bind_1, release, reader},
                   .preemptions = 1});
    all.push_back({.name = "given back" + when,
                   .prepare = near_the_last_generation(
                       after, prepared_with_reservation(1, false, true, VictimFate::parked)),
                   .actors = {give_back, take_again_2, return_again},
                   .preemptions = 2});
    all.push_back({.name = "touched in another's place" + when,
                   .prepare = near_the_last_generation(after, prepared(1, 1)),
                   .actors = {touch, replace, reader},
                   .preemptions = 1});
  }
  for (Scenario& scenario : device_scenarios())
    all.push_back(std::move(scenario));
  return all;
}

std::vector<Scenario> faulty_scenarios() {
  return {
      // 1 tries kOld, but 2 is quicker. kOlder leaves, so 1 is admitted without; its record still
      // names kOld, who is parked for 2's sake. 1 is bound.
      {.name = "barred by one who took no seat from it",
       .prepare =
           [](World& w) {
             w.limited_user = 1;
             w.user_limit = 2;
             for (const std::uint32_t who : {1u, 2u, kOld, kOlder})
               w.traits[who].user = 1;
             w.traits[1].reservation = w.traits[2].reservation = true;
             prepared_with_claims(3, 2, true, true)(w);
           },
       .actors = {{"log in and bind",
                   [](World& w) {
                     const Victim old = w.seat_of(w.refs[0]);
                     const bool taken =
                         w.gate.evict(w.refs[2], old, VictimFate::evicted_at_bind, w.rules_of(1))
                             .done();
                     const bool has_seat = taken || w.gate.add(w.refs[2], w.rules_of(1)).done();
                     // What Registry::bind reads of the reservation.
                     const auto named = w.gate.table().victim_of(w.refs[2].slot);
                     if (has_seat && named.slot == w.refs[0].slot &&
                         named.fate == VictimFate::evicted_at_bind && w.bar(w.refs[0]))
                       w.won[0] = !taken;
                     if (!has_seat) w.gate.table().abandon(w.refs[2]);
                   }},
                  {"evict by 2",
                   [](World& w) { w.evict(w.refs[3], w.refs[0], VictimFate::evicted_at_bind); }},
                  leave_older},
       .preemptions = 3,
       .check = [](World& w) { demand(!w.won[0], "barred by a login that took no seat from it"); }},
      // The slot has another occupant when the return comes to its activity.
      {.name = "returned, and the activity is a stranger's",
       .prepare = prepared_with_traits(idle_sometimes, prepared_with_parked(false, false)),
       .actors = {{"return", return_again.act},
                  {"replace",
                   [](World& w) {
                     w.leave(kOld, w.refs[0]);
                     w.admit(2);
                   }},
                  reader},
       .preemptions = 2},
  };
}
