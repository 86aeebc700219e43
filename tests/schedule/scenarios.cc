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

// An ADD and a MOVE that their process left unsettled when it was killed.
void leave_unsettled(World& w, int more, SlotRef claim, GateOp op) {
  const auto count = static_cast<std::uint32_t>(static_cast<int>(w.gate.count()) + more);
  w.memory.shared.gate.store(w.gate.widths().pack(GateWord{count, claim.slot, claim.epoch, op}),
                             std::memory_order_release);
}

}  // namespace

std::vector<Scenario> scenarios() {
  return {
      {.name = "two for the last seat, every schedule",
       .prepare = prepared_with_claims(2, 1, true, true),
       .actors = {add_1, add_2},
       .preemptions = 99,
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
       .preemptions = 4,
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
             RecordImage record = World::record_of(kLeft);
             record.victim_slot = w.refs[0].slot;
             record.victim_generation = w.seated_generation(w.refs[0]);
             const auto claim = w.gate.claim(0, Claimer{kLeft, 1});
             w.gate.write_record(*claim, record);
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
  };
}
