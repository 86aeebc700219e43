// Operations of class Registry, killed and stopped at every change of the shared memory, at every
// system call, and at a stride in between. A new operation is one more row.

#include "../support/catch.h"
#include "registry_scene.h"

using namespace sessreg;

namespace {

using Scene = RegistryScene;
constexpr std::uint64_t kForEver = ~std::uint64_t{0};
constexpr std::uint64_t kTouched_ms = std::uint64_t{1} << 37;

// The child's, made before tracing starts: reading /proc is not the point.
Login mine;
void read_self(Scene&) {
  mine = Scene::login_of(self_id(), "child");
  mine.parent = parent_id();
}

int child_is_listed(Scene& scene, pid_t child) {
  return static_cast<int>(scene.listed(child));
}
int child_has_session(Scene& scene, pid_t child) {
  int sessions = 0;
  scene.registry().for_each([&](const Snapshot& held) {
    sessions += held.record.leader_pid == static_cast<std::uint32_t>(child) &&
                held.record.kind == RecordKind::session;
  });
  return sessions;
}
// Made by the child before it is traced: only the maker, or its parent, may bind.
void child_holds_reservation(Scene& scene) {
  scene.extra = 1;
}
// The object is another's, who lives.
void object_is_session(Scene& scene) {
  scene.object = scene.registry().admit(scene.other("object"), Scene::kLimit, RealProcesses()).ref;
}
void object_is_reservation(Scene& scene) {
  scene.object =
      scene.registry().reserve(scene.other("object"), Scene::kLimit, RealProcesses(), kForEver).ref;
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

// --- Of users with a limit, idle and parked sessions ---

// Such stand at their user's home, so that every child comes the same way.
Terms limited_terms(std::int32_t user_limit) {
  Terms terms(Scene::kLimit);
  terms.user_limit = user_limit;
  terms.idle_after_s = terms.shortest_idle_s = 1;
  return terms;
}
const Terms kRoomy = limited_terms(5);
Terms evicting_terms() {
  Terms terms = limited_terms(1);
  terms.evict_after_ms = 0;
  return terms;
}
const Terms kEvicting = evicting_terms();

void read_self_as_object(Scene& scene) {
  read_self(scene);
  mine.user = "object";
}
void owner_is_idle(Scene& scene) {
  scene.owner = scene.admit_idle("object", kRoomy);
}
void owner_may_be_evicted(Scene& scene) {
  scene.owner = scene.registry().admit(scene.other("object"), kEvicting, RealProcesses()).ref;
}
// The owner's seat has gone to the object, a reservation of this process.
void owner_is_taken(Scene& scene) {
  owner_is_idle(scene);
  scene.object =
      scene.registry().reserve(scene.other("newcomer"), kRoomy, scene.told(), kForEver).ref;
  if (scene.stage_of(scene.owner) != Stage::parked) throw Broken("the scene cannot be set");
}
// A login of this process that does not open its session.
void object_is_slow(Scene& scene) {
  scene.object =
      scene.registry().reserve(scene.other("object"), kRoomy, RealProcesses(), kForEver).ref;
  scene.make_slow(scene.object);
}
// Its seat went to another, who has left.
void owner_is_parked(Scene& scene) {
  owner_is_idle(scene);
  const Admission other = scene.registry().admit(scene.other("newcomer"), kRoomy, scene.told());
  if (!scene.registry().release(other.ref) || scene.stage_of(scene.owner) != Stage::parked)
    throw Broken("the scene cannot be set");
}
// What has happened, and the owner is in `after` if and only if it has.
int with_owner(Scene& scene, int happened, Stage before, Stage after) {
  if (scene.stage_of(scene.owner) != (happened != 0 ? after : before))
    throw Broken("a seat was handed over by halves");
  return happened;
}
void owner_has_it_again(Scene& scene) {
  if (scene.stage_of(scene.owner) != Stage::seated)
    throw Broken("the seat that a dead reservation had taken did not come back");
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
       .prepare = child_holds_reservation,
       .enter =
           [](Scene& s) {
             read_self(s);
             s.object = s.registry().reserve(mine, Scene::kLimit, s.told(), kForEver).ref;
           },
       .act =
           [](Scene& s) {
             return int{s.registry().bind(s.object, mine, Scene::kLimit, s.told()).has_value()};
           },
       .happened = child_has_session},
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
       .act = [](Scene& s) { return int{s.registry().touch(s.object, kTouched_ms)}; },
       .happened =
           [](Scene& s, pid_t) {
             Snapshot held;
             s.registry().snapshot(s.object, held);
             return int{held.last_activity_ms == kTouched_ms / kActivityUnit_ms * kActivityUnit_ms};
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
      {.name = "Registry: a mark by its user gives way",
       .prepare =
           [](Scene& s) {
             object_is_session(s);
             s.registry().mark_revoked(s.object, "mine", 0, MarkStage::revoked_by_its_user);
           },
       .act = [](Scene& s) { return int{s.registry().mark_revoked(s.object, "too long")}; },
       .happened =
           [](Scene& s, pid_t) {
             Snapshot held;
             s.registry().snapshot(s.object, held);
             if (reason_of(held) != "mine") throw Broken("the reason of a revocation is torn");
             return int{held.mark == MarkStage::revoked};
           }},
      // Killed in between it is parked, and returns to no seat: it is marked.
      {.name = "Registry: vacate",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             object_is_session(s);
             s.registry().mark_revoked(s.object, "enough");
           },
       .act = [](Scene& s) { return int{s.registry().vacate(s.object)}; },
       .happened =
           [](Scene& s, pid_t) {
             const Stage stage = s.stage_of(s.object);
             return stage == Stage::seated ? 0 : stage == Stage::parked ? 1 : 2;
           },
       .complete = 2,
       .change = [](int happened) { return happened == 0 ? 0 : -1; }},
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
      {.name = "Registry: reserve that takes an idle seat",
       .seats = 2,
       .prepare = owner_is_idle,
       .enter = read_self,
       .act =
           [](Scene& s) {
             return int{s.registry().reserve(mine, kRoomy, s.told(), kForEver).admitted()};
           },
       .happened =
           [](Scene& s, pid_t child) {
             return with_owner(s, child_is_listed(s, child), Stage::seated, Stage::parked);
           },
       .recovered = owner_has_it_again},
      {.name = "Registry: reserve that evicts until bound",
       .prepare = owner_may_be_evicted,
       .enter = read_self_as_object,
       .act =
           [](Scene& s) {
             return int{s.registry().reserve(mine, kEvicting, s.told(), kForEver).admitted()};
           },
       .happened =
           [](Scene& s, pid_t child) {
             return with_owner(s, child_is_listed(s, child), Stage::seated, Stage::parked);
           },
       .recovered = owner_has_it_again},
      {.name = "Registry: admit that evicts",
       .prepare = owner_may_be_evicted,
       .enter = read_self_as_object,
       .act =
           [](Scene& s) {
             const Admission admitted = s.registry().admit(mine, kEvicting, s.told());
             return int{admitted.admitted() && admitted.displaced.size() == 1};
           },
       .happened =
           [](Scene& s, pid_t child) {
             return with_owner(s, child_is_listed(s, child), Stage::seated, Stage::evicted);
           }},
      {.name = "Registry: bind that bars",
       .prepare = owner_may_be_evicted,
       .enter =
           [](Scene& s) {
             read_self_as_object(s);
             s.object = s.registry().reserve(mine, kEvicting, s.told(), kForEver).ref;
           },
       .act =
           [](Scene& s) {
             const auto bound = s.registry().bind(s.object, mine, kEvicting, s.told());
             return int{bound && bound->admitted() && bound->displaced.size() == 1};
           },
       .happened =
           [](Scene& s, pid_t child) {
             const Stage stage = s.stage_of(s.owner);
             if (stage != Stage::parked && stage != Stage::evicted)
               throw Broken("the victim of a bound reservation is neither parked nor evicted");
             return child_has_session(s, child) + (stage == Stage::evicted);
           },
       .complete = 2,
       .seats_changed = 0,
       .recovered =
           [](Scene& s) {
             // Bound, and killed before it could bar: then it stays parked.
             constexpr std::array kAfter = {Stage::seated, Stage::parked, Stage::evicted};
             if (s.stage_of(s.owner) != kAfter[static_cast<std::size_t>(s.happened)])
               throw Broken("the victim of a reservation is not what it should be");
           }},
      {.name = "Registry: release_reservation that gives a seat back",
       .seats = 2,
       .prepare = owner_is_taken,
       .act = [](Scene& s) { return int{s.registry().release_reservation(s.object)}; },
       .happened =
           [](Scene& s, pid_t child) {
             return with_owner(s, object_is_gone(s, child), Stage::parked, Stage::seated);
           }},
      {.name = "Registry: return_to_seat",
       .seats = 2,
       .prepare = owner_is_parked,
       .act =
           [](Scene& s) {
             return int{s.registry().return_to_seat(s.owner, Scene::kLimit, false).done()};
           },
       .happened = [](Scene& s, pid_t) { return int{s.stage_of(s.owner) == Stage::seated}; },
       .seats_changed = +1},
      {.name = "Registry: return_to_seat over the limit",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             owner_is_parked(s);
             s.admit_other();
             s.most = 4;
           },
       .act =
           [](Scene& s) {
             return int{s.registry().return_to_seat(s.owner, Scene::kLimit, true).done()};
           },
       .happened = [](Scene& s, pid_t) { return int{s.stage_of(s.owner) == Stage::seated}; },
       .seats_changed = +1},
      {.name = "Registry: admit above a lowered limit: parks one, takes one",
       .prepare =
           [](Scene& s) {
             owner_is_idle(s);
             s.object = s.owner;
             s.owner = s.admit_idle("another", kRoomy);
             s.registry().set_override(2);
           },
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().admit(mine, kRoomy, s.told()).admitted()}; },
       .happened =
           [](Scene& s, pid_t child) {
             const int parked =
                 (s.stage_of(s.owner) == Stage::parked) + (s.stage_of(s.object) == Stage::parked);
             const int listed = child_is_listed(s, child);
             if (listed != (parked == 2)) throw Broken("a seat was handed over by halves");
             return parked + listed;
           },
       .complete = 3,
       .change = [](int happened) { return happened > 0 ? -1 : 0; }},
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

TEST_CASE("a login that its user's limit refuses parks nobody") {
  RegistryScene scene;
  scene.reset(1);
  Terms one = limited_terms(1);
  REQUIRE(scene.registry().admit(scene.other("newcomer"), one, RealProcesses()).admitted());
  owner_is_idle(scene);
  const Admission refused = scene.registry().admit(scene.other("newcomer"), one, scene.told());
  CHECK_FALSE(refused.admitted());
  CHECK(scene.stage_of(scene.owner) == Stage::seated);
}

TEST_CASE("a session that is released is released, whoever takes its seat meanwhile") {
  RegistryScene scene;
  Trial trial = trial_of(scene, {.name = "Registry: release while its seat is taken",
                                 .seats = 2,
                                 .prepare = owner_is_idle,
                                 .act = [](Scene& s) { return int{s.registry().release(s.owner)}; },
                                 .happened =
                                     [](Scene& s, pid_t) {
                                       Snapshot held;
                                       return int{!s.registry().snapshot(s.owner, held)};
                                     },
                                 .seats_changed = -1});
  trial.others = {Others::rival};
  trial.look = [&scene](pid_t) {
    Snapshot held;
    return int{!scene.registry().snapshot(scene.owner, held)};
  };
  trial.work = [&scene](Others, pid_t) {
    scene.registry().admit(scene.other("newcomer"), kRoomy, scene.told());
  };
  trial.settle_accounts = [](Others, int result, int happened) {
    if (result != 1 || happened != 1) throw Broken("it was not released");
  };
  CHECK_NOTHROW(all_tallies().push_back(explore(trial)));
}

TEST_CASE(
    "a slow login gives way to one of two, and to neither by halves, wherever one ends or stops") {
  RegistryScene scene;
  RegistryOperation operation{
      .name = "Registry: admit in the place of a slow login",
      .seats = 2,
      .prepare = object_is_slow,
      .enter = read_self,
      .act = [](Scene& s) { return int{s.registry().admit(mine, kRoomy, s.told()).admitted()}; },
      .happened = child_is_listed};
  SECTION("that had taken no seat") {}
  SECTION("that gives an idle one back") {
    operation.name += " that gives an idle one back";
    operation.prepare = [](Scene& s) {
      owner_is_taken(s);
      s.make_slow(s.object);
    };
  }
  Trial trial = trial_of(scene, operation);
  trial.others = {Others::rival};
  trial.look = [&scene](pid_t child) {
    const bool gone = !object_is_there(scene);
    const bool again = scene.owner != SlotRef{} && scene.stage_of(scene.owner) == Stage::seated;
    const int listed = child_is_listed(scene, child);
    if (!gone && (listed != 0 || again || scene.extra != 0)) throw Broken("two have one seat");
    scene.demand_counted(scene.base + scene.extra + listed + again - gone);
    return listed;
  };
  trial.work = [&scene](Others, pid_t) {
    const Admission rival = scene.registry().admit(scene.other("newcomer"), kRoomy, scene.told());
    scene.extra += rival.admitted();
    scene.forget_search();
  };
  trial.settle_accounts = [&scene](Others, int result, int happened) {
    if (result != happened) throw Broken("what it returned is not what happened");
    if (result + scene.extra != 1) throw Broken("not exactly one of two has the seat");
  };
  trial.recover = [&scene](pid_t child) {
    scene.recover(child);
    scene.registry().release_reservation(scene.object);
    scene.demand_exact_room();
    scene.demand_nothing_left();
  };
  CHECK_NOTHROW(all_tallies().push_back(explore(trial)));
}
