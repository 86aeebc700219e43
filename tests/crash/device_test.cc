// The same of sessions without a process: whoever ends or stops where, of a device there is one
// session at most, and no seat too many or lost.
#include "../support/catch.h"
#include "registry_scene.h"

using namespace sessreg;

namespace {

using Scene = RegistryScene;

Terms device_terms() {
  Terms terms(Scene::kLimit);
  terms.user_limit = 2;  // its sessions are looked for, too
  terms.idle_after_s = terms.shortest_idle_s = 1;
  return terms;
}
const Terms kTerms = device_terms();

Login by_device(const Login& base) {
  Login login = base;
  login.user = "alice";
  login.no_process = true;
  login.device = "x";
  return login;
}

// Made before tracing starts.
Login mine;
void read_self(Scene&) {
  mine = by_device(Scene::login_of(self_id(), "child"));
  mine.parent = parent_id();
}
void object_is_open(Scene& scene) {
  scene.object = scene.registry().admit(by_device(scene.other("alice")), kTerms, scene.told()).ref;
}
void object_is_exempt(Scene& scene) {
  Admission listed;
  scene.registry().list_exempt(by_device(scene.other("alice")), listed);
  scene.object = listed.ref;
}
void object_is_parked(Scene& scene) {
  scene.object = scene.admit_idle(by_device(scene.other("alice")), kTerms);
  const Admission other = scene.registry().admit(scene.other("newcomer"), kTerms, scene.told());
  if (!scene.registry().release(other.ref) || scene.stage_of(scene.object) != Stage::parked)
    throw Broken("the scene cannot be set");
}

// How many sessions the device has: never more than one.
int sessions(Scene& scene) {
  int found = 0;
  scene.registry().count();
  scene.registry().for_each([&](const Snapshot& held) {
    found += held.state.stage != Stage::evicted && scene.registry().is_device_of(held.record, "x");
  });
  if (found > 1) throw Broken("a device has two sessions");
  return found;
}
bool object_is_there(Scene& scene) {
  Snapshot held;
  return scene.registry().snapshot(scene.object, held);
}
// Whether another session has taken the object's place.
int is_anew(Scene& scene) {
  const int found = sessions(scene);
  return found == 1 && !object_is_there(scene);
}

const std::vector<RegistryOperation>& operations() {
  static const std::vector<RegistryOperation> rows = {
      {.name = "Registry: admit by a device",
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().admit(mine, kTerms, s.told()).admitted()}; },
       .happened = [](Scene& s, pid_t) { return sessions(s); },
       .seats_changed = +1},
      {.name = "Registry: use by a device",
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().use(mine, kTerms, s.told()).admitted()}; },
       .happened = [](Scene& s, pid_t) { return sessions(s); },
       .seats_changed = +1},
      {.name = "Registry: admit by a device that has a seat",
       .seats = 2,
       .prepare = object_is_open,
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().admit(mine, kTerms, s.told()).admitted()}; },
       .happened =
           [](Scene& s, pid_t) {
             const int found = sessions(s);
             if (found != 1) throw Broken("a seat was handed over by halves");
             return is_anew(s);
           }},
      // Killed in between the parked one has gone: its login was under way.
      {.name = "Registry: admit by a device that has lost its seat",
       .seats = 2,
       .prepare = object_is_parked,
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().admit(mine, kTerms, s.told()).admitted()}; },
       .happened = [](Scene& s, pid_t) { return object_is_there(s) ? 0 : 1 + sessions(s); },
       .complete = 2,
       .change = [](int happened) { return happened == 2 ? +1 : 0; }},
      {.name = "Registry: list_exempt by a device",
       .enter = read_self,
       .act =
           [](Scene& s) {
             Admission listed;
             return int{s.registry().list_exempt(mine, listed)};
           },
       .happened = [](Scene& s, pid_t) { return sessions(s); }},
      {.name = "Registry: admit by a device that was exempt",
       .prepare = object_is_exempt,
       .enter = read_self,
       .act = [](Scene& s) { return int{s.registry().admit(mine, kTerms, s.told()).admitted()}; },
       .happened = [](Scene& s, pid_t) { return object_is_there(s) ? 0 : 1 + sessions(s); },
       .complete = 2,
       .change = [](int happened) { return happened == 2 ? +1 : 0; }},
      {.name = "Registry: vacate of a session without a process",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             object_is_open(s);
             s.registry().mark_revoked(s.object, "enough");
           },
       .act = [](Scene& s) { return int{s.registry().vacate(s.object)}; },
       .happened =
           [](Scene& s, pid_t) {
             const Stage stage = s.stage_of(s.object);
             Snapshot held;
             if (s.registry().snapshot(s.object, held) && reason_of(held) != "enough")
               throw Broken("the reason of a note is torn");
             return stage == Stage::seated ? 0 : stage == Stage::parked ? 1 : 2;
           },
       .complete = 2,
       .change = [](int happened) { return happened == 0 ? 0 : -1; },
       .recovered =
           [](Scene& s) {
             // Whoever searches completes it.
             if (s.stage_of(s.object) != Stage::evicted)
               throw Broken("a revocation that was begun was not completed");
           }},
      {.name = "Registry: reap of a session whose time is up",
       .seats = 2,
       .prepare =
           [](Scene& s) {
             Terms terms = kTerms;
             terms.lifetime_ms = 1;
             s.object = s.registry().admit(by_device(s.other("alice")), terms, s.told()).ref;
             s.make_expired(s.object);
           },
       .act = [](Scene& s) { return s.registry().reap(s.told(), now().boottime_ms + 1000), 1; },
       .happened = [](Scene& s, pid_t) { return 1 - sessions(s); },
       .seats_changed = -1,
       .same_way = false},
  };
  return rows;
}

}  // namespace

TEST_CASE("of a device there is one session at most, wherever a process ends or stops") {
  RegistryScene scene;
  for (const RegistryOperation& operation : operations()) {
    INFO(operation.name);
    CHECK_NOTHROW(all_tallies().push_back(explore(trial_of(scene, operation))));
  }
}

// The others log in by the same device while the child stands still.
TEST_CASE("two log in by one device, and both have its seat, one after the other") {
  RegistryScene scene;
  const bool is_use = GENERATE(false, true);
  Trial trial = trial_of(scene, {.name = is_use ? "Registry: use, while the device logs in"
                                                : "Registry: admit, while the device logs in",
                                 .seats = 2,
                                 .enter = read_self,
                                 .act =
                                     [is_use](Scene& s) {
                                       const Admission got =
                                           is_use ? s.registry().use(mine, kTerms, s.told())
                                                  : s.registry().admit(mine, kTerms, s.told());
                                       return int{got.admitted()};
                                     },
                                 .happened = [](Scene& s, pid_t) { return sessions(s); }});
  trial.others = {Others::rival};
  trial.look = [&scene](pid_t) {
    const int found = sessions(scene);
    scene.demand_counted(scene.base + found);
    return found;
  };
  trial.work = [&scene](Others, pid_t) {
    if (!scene.registry().admit(by_device(scene.other("alice")), kTerms, scene.told()).admitted())
      throw Broken("a device was refused a seat that was free, or its own");
    scene.forget_search();
  };
  trial.settle_accounts = [](Others, int result, int happened) {
    if (result != 1 || happened != 1) throw Broken("a device that logged in has no session");
  };
  CHECK_NOTHROW(all_tallies().push_back(explore(trial)));
}
