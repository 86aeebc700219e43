// The crash tests can fail: operations with a known flaw, each of which must be caught at some
// step.
#include <unistd.h>

#include "../support/catch.h"
#include "gate_scene.h"

using namespace sessreg;

namespace {

using Scene = GateScene;

std::uint32_t self() {
  return static_cast<std::uint32_t>(getpid());
}

// The parts of gate.h that the flawed operations put together in another order.
const Widths kWidths(Scene::kSlots);

void set_stage(Scene& scene, std::uint32_t slot, Stage stage) {
  ProcessAtom& word = scene.memory().slots[slot].state;
  StateWord state = kWidths.state(word.load());
  state.stage = stage;
  state.generation = kWidths.next_generation(state.generation);
  word.store(kWidths.pack(state));
}
bool change_gate(Scene& scene, int more, SlotRef slot, std::uint32_t generation, GateOp op) {
  std::uint64_t seen = scene.memory().shared.gate.load();
  const auto count = static_cast<std::uint32_t>(static_cast<int>(kWidths.gate(seen).count) + more);
  return scene.memory().shared.gate.compare_exchange_strong(
      seen, kWidths.pack(GateWord{count, slot.slot, generation, op}));
}

RecordImage my_record;
void build_session(Scene&) {
  my_record = Scene::record_of(self(), RecordKind::session);
}
int child_has_session(Scene& scene, pid_t child) {
  return scene.holds(static_cast<std::uint32_t>(child));
}
void object_is_first(Scene& scene) {
  scene.object = scene.find(Scene::kFirst, RecordKind::session)->ref;
}
int object_is_gone(Scene& scene, pid_t) {
  scene.gate().count();
  return scene.gate().table().state(scene.object.slot).stage == Stage::free;
}
bool remove_object(Scene& scene) {
  return scene.remove(scene.object);
}

GateOperation flawed_admit(const char* name, std::function<int(Scene&)> act) {
  return {.name = name,
          .enter = build_session,
          .act = std::move(act),
          .happened = child_has_session,
          .seats_changed = +1};
}

GateOperation flawed_release(const char* name, std::function<int(Scene&)> act) {
  return {.name = name,
          .seats = 3,
          .prepare = object_is_first,
          .act = std::move(act),
          .happened = object_is_gone,
          .seats_changed = -1,
          .rival = remove_object};
}

const std::vector<GateOperation>& flawed_operations() {
  static const std::vector<GateOperation> rows = {
      flawed_admit("seated before the gate counts it",
                   [](Scene& s) {
                     const SlotRef claim = s.claim(self(), my_record);
                     set_stage(s, claim.slot, Stage::seated);
                     return int{change_gate(s, +1, claim, claim.epoch, GateOp::add)};
                   }),
      flawed_admit("counted before it is claimed",
                   [](Scene& s) {
                     s.gate().count();
                     change_gate(s, +1, {}, 0, GateOp::none);
                     const SlotRef claim = s.claim(self(), my_record);
                     set_stage(s, claim.slot, Stage::seated);
                     return 1;
                   }),
      flawed_admit("the record written after the gate",
                   [](Scene& s) {
                     const auto claim = s.gate().table().claim(0, my_record.user_hash, {self(), 1});
                     s.gate().count();
                     const bool done = change_gate(s, +1, *claim, claim->epoch, GateOp::add);
                     s.gate().table().write_record(*claim, my_record);
                     s.gate().count();
                     return int{done};
                   }),
      flawed_admit("claimed in the name of a process that lives",
                   [](Scene& s) { return int{s.add(s.claim(Scene::kFirst, my_record))}; }),
      flawed_admit("the gate stored, not compared",
                   [](Scene& s) {
                     const SlotRef claim = s.claim(self(), my_record);
                     const std::uint32_t count = s.gate().count();
                     s.memory().shared.gate.store(
                         kWidths.pack(GateWord{count + 1, claim.slot, claim.epoch, GateOp::add}));
                     s.gate().count();
                     return 1;
                   }),
      flawed_admit("the limit not looked at again when the gate moved",
                   [](Scene& s) {
                     const SlotRef claim = s.claim(self(), my_record);
                     if (s.limit() <= static_cast<int>(s.gate().count())) return 0;
                     do
                       s.gate().count();
                     while (!change_gate(s, +1, claim, claim.epoch, GateOp::add));
                     s.gate().count();
                     return 1;
                   }),
      flawed_release("freed before the gate counts it",
                     [](Scene& s) {
                       s.gate().count();
                       set_stage(s, s.object.slot, Stage::free);
                       return int{change_gate(s, -1, s.object, s.object.epoch + 1, GateOp::remove)};
                     }),
      flawed_release("the slot looked at before the gate was loaded",
                     [](Scene& s) {
                       const StateWord state = s.gate().table().state(s.object.slot);
                       if (state.generation != s.object.epoch + 1) return 0;
                       s.gate().count();
                       const bool won =
                           change_gate(s, -1, s.object, state.generation, GateOp::remove);
                       s.gate().count();
                       return int{won};
                     }),
      {.name = "bound by a release and an admission",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             s.admit(Scene::kMaker, Scene::record_of(Scene::kMaker, RecordKind::reservation));
             s.object = s.find(Scene::kMaker, RecordKind::reservation)->ref;
           },
       .enter = build_session,
       .act = [](Scene& s) { return int{s.remove(s.object) && s.admit(self(), my_record)}; },
       .happened = child_has_session},
      {.name = "a dead claim freed without settling what the gate names",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             s.object =
                 s.claim(Scene::kLongDead, Scene::record_of(Scene::kLongDead, RecordKind::session));
             s.gate().count();
             change_gate(s, +1, s.object, s.object.epoch, GateOp::add);
           },
       .act = [](Scene& s) { return set_stage(s, s.object.slot, Stage::free), 1; },
       .happened = object_is_gone,
       .seats_changed = -1},
  };
  return rows;
}

}  // namespace

TEST_CASE("flawed operations are caught") {
  GateScene scene;
  for (const GateOperation& operation : flawed_operations()) {
    std::string caught;
    try {
      explore(trial_of(scene, operation));
    } catch (const Broken& e) {
      caught = e.what();
    }
    CAPTURE(operation.name, caught);
    // Broken in earnest, not because it cannot be run.
    CHECK((caught.find("killed after step") != std::string::npos ||
           caught.find("stopped after step") != std::string::npos));
    if (!caught.empty()) printf("caught: %s\n", caught.c_str());
  }
}
