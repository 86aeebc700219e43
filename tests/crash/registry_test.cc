// Operations of class Registry, killed and stopped at every change of the shared memory, at every
// system call, and at a stride in between. A new operation is one more row.
#include <catch2/catch.hpp>

#include "registry_scene.h"

using namespace sessreg;

namespace {

using Scene = RegistryScene;
constexpr std::uint64_t kForEver = ~std::uint64_t{0};

// The child's, made before tracing starts: reading /proc is not the point.
Login mine;
void read_self(Scene&) {
  mine = Scene::login_of(self_id(), "child");
  mine.parent = parent_id();
}

int child_is_listed(Scene& scene, pid_t child) {
  return static_cast<int>(scene.listed(child));
}
// The object is another's, who lives.
void object_is_session(Scene& scene) {
  scene.object =
      scene.registry().admit(scene.other("object"), Scene::kLimit, SystemProcesses()).ref;
}
void object_is_reservation(Scene& scene) {
  scene.object = scene.registry()
                     .reserve(scene.other("object"), Scene::kLimit, SystemProcesses(), kForEver)
                     .ref;
}
void object_is_exempt(Scene& scene) {
  Admission listed;
  scene.registry().list_exempt(scene.other("object"), listed);
  scene.object = listed.ref;
}
bool object_is_there(Scene& scene) {
  scene.registry().count();
  Snapshot held;
  return scene.registry().snapshot(scene.object, held);
}
int object_is_gone(Scene& scene, pid_t) {
  return !object_is_there(scene);
}

// A session, a reservation out of time and a claim, all of a dead process.
void leave_dead(Scene& scene) {
  const Login dead = Scene::login_of({Scene::kLongDead, 100}, "dead");
  scene.registry().admit(dead, Scene::kLimit, ToldProcesses());
  scene.registry().reserve(dead, Scene::kLimit, ToldProcesses(), 1);
  scene.leave_claim(Scene::kLongDead);
}
int seats_of_dead_gone(Scene& scene, pid_t) {
  return 2 - static_cast<int>(scene.listed(Scene::kLongDead));
}

// An admission whose process was killed right after its gate CAS.
void leave_dead_newcomer(Scene& scene) {
  scene.registry().admit(Scene::login_of({Scene::kLongDead, 100}, "dead"), Scene::kLimit,
                         ToldProcesses());
  scene.unsettle_add();
}

const std::vector<RegistryOperation>& operations() {
  static const std::vector<RegistryOperation> rows = {
      {.name = "Registry: reserve",
       .seats = 2,
       .enter = read_self,
       .act =
           [](Scene& s) {
             return int{s.registry().reserve(mine, Scene::kLimit, s.told(), kForEver).admitted()};
           },
       .happened = child_is_listed,
       .seats_changed = +1},
      {.name = "Registry: admit",
       .enter = read_self,
       .act =
           [](Scene& s) {
             return int{s.registry().admit(mine, Scene::kLimit, s.told()).admitted()};
           },
       .happened = child_is_listed,
       .seats_changed = +1},
      {.name = "Registry: admit when full (refused)",
       .seats = 3,
       .enter = read_self,
       .act =
           [](Scene& s) {
             return int{!s.registry().admit(mine, Scene::kLimit, s.told()).admitted()};
           },
       .happened = child_is_listed,
       .complete = 0},
      {.name = "Registry: bind",
       .seats = 2,
       .prepare = object_is_reservation,
       .enter =
           [](Scene& s) {
             read_self(s);
             mine.user = "object";
           },
       .act = [](Scene& s) { return int{s.registry().bind(s.object, mine, s.told()).has_value()}; },
       .happened = child_is_listed},
      {.name = "Registry: release",
       .seats = 2,
       .prepare = object_is_session,
       .act = [](Scene& s) { return int{s.registry().release(s.object)}; },
       .happened = object_is_gone,
       .seats_changed = -1},
      {.name = "Registry: release_reservation",
       .seats = 2,
       .prepare = object_is_reservation,
       .act = [](Scene& s) { return int{s.registry().release_reservation(s.object)}; },
       .happened = object_is_gone,
       .seats_changed = -1},
      {.name = "Registry: touch",
       .prepare = object_is_session,
       .act = [](Scene& s) { return int{s.registry().touch(s.object, std::uint64_t{1} << 38)}; },
       .happened =
           [](Scene& s, pid_t) {
             Snapshot held;
             s.registry().snapshot(s.object, held);
             return int{held.last_activity_ms == (std::uint64_t{1} << 38) / 100 * 100};
           }},
      {.name = "Registry: mark_revoked",
       .prepare = object_is_session,
       .act = [](Scene& s) { return int{s.registry().mark_revoked(s.object, "too long")}; },
       .happened =
           [](Scene& s, pid_t) {
             Snapshot held;
             s.registry().snapshot(s.object, held);
             if (held.mark == MarkStage::revoked && reason_of(held) != "too long")
               throw Broken("the reason of a revocation is torn");
             return static_cast<int>(held.mark);
           },
       .complete = 2},
      {.name = "Registry: set_override",
       .seats = 3,
       .act = [](Scene& s) { return s.registry().set_override(2), 1; },
       .happened = [](Scene& s, pid_t) { return int{s.registry().limit_in_force(-1) == 2}; }},
      {.name = "Registry: publish_limit",
       .act =
           [](Scene& s) {
             return int{s.registry().publish_limit(Scene::kLimit, {2, 2})};
           },
       .happened = [](Scene& s, pid_t) { return int{s.registry().limit_in_force(-1) == 2}; }},
      {.name = "Registry: list_exempt",
       .enter = read_self,
       .act =
           [](Scene& s) {
             Admission listed;
             return int{s.registry().list_exempt(mine, listed)};
           },
       .happened = child_is_listed},
      {.name = "Registry: release of an exempt session",
       .prepare = object_is_exempt,
       .act = [](Scene& s) { return int{s.registry().release(s.object)}; },
       .happened = object_is_gone},
      {.name = "Registry: reap of a newcomer that the gate names",
       .prepare = leave_dead_newcomer,
       .act = [](Scene& s) { return s.registry().reap(s.told(), now().boottime_ms), 1; },
       .happened = [](Scene& s, pid_t) { return 1 - static_cast<int>(s.listed(Scene::kLongDead)); },
       .seats_changed = -1,
       .same_way = false},
      {.name = "Registry: reap",
       .prepare = leave_dead,
       .act = [](Scene& s) { return s.registry().reap(s.told(), now().boottime_ms), 1; },
       .happened = seats_of_dead_gone,
       .complete = 2,
       .seats_changed = -1,
       .same_way = false},
  };
  return rows;
}

}  // namespace

TEST_CASE("a registry operation is whole or has not begun, wherever its process ends or stops") {
  RegistryScene scene;
  for (const RegistryOperation& operation : operations()) {
    INFO(operation.name);
    CHECK_NOTHROW(all_tallies().push_back(explore(trial_of(scene, operation))));
  }
}
