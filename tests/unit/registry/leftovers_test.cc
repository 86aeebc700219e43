// What a session is made of when its leader has gone: those with the leader's sid, and those of its
// audit session.
#include "../../support/catch.h"
#include "registry_fixture.h"
#include "session/session_state.h"

using namespace sessreg;

namespace {

constexpr pid_t kLeader = 1000;
constexpr std::uint32_t kAudit = 77;

enum class Counts { nothing, terminals, any };

struct Scene : Fixture {
  Terms terms(Counts counts) {
    Terms result = limit_of(1);
    result.count_terminals = counts == Counts::terminals;
    result.count_any = counts == Counts::any;
    return result;
  }
  SlotRef open(Counts counts, std::uint32_t audit_session = kAudit,
               std::uint32_t uid = FakeProcesses::kUid) {
    Login from = login("a", kLeader);
    from.uid = uid;
    from.audit_session = audit_session;
    registry.publish_limit(registry.published_limit(), limit_of(1));
    const Admission admission = registry.admit(from, terms(counts), processes);
    REQUIRE(admission.admitted());
    return admission.ref;
  }
  bool is_there(SlotRef ref) {
    registry.reap(processes, boottime_ms());
    return stage(ref) != Stage::free;
  }
  std::optional<State> state(SlotRef ref) {
    Snapshot held;
    REQUIRE(registry.snapshot(ref, held));
    return StateReader(processes).state_of(held, false, boottime_ms());
  }
};

}  // namespace

TEST_CASE("what is left of a killed leader's audit session keeps the session, whatever its sid") {
  Scene scene;
  const SlotRef ref = scene.open(Counts::nothing);
  scene.processes.run_in_audit_session(kAudit, false);
  SECTION("the leader has gone") {
    scene.processes.kill(kLeader);
  }
  SECTION("another process has its pid, and so its sid") {
    scene.processes.reuse(kLeader);
    scene.processes.leave_running(-1);
  }
  CHECK(scene.is_there(ref));
  CHECK(scene.state(ref) == State::orphaned);
  CHECK_FALSE(scene.admit("b", limit_of(1), 2000).admitted());
  scene.processes.end_audit_session(kAudit);
  CHECK_FALSE(scene.state(ref));
  CHECK(scene.admit("b", limit_of(1), 2000).admitted());
}

TEST_CASE("another login's audit session keeps nothing") {
  Scene scene;
  const SlotRef ref = scene.open(Counts::any);
  scene.processes.run_in_audit_session(kAudit + 1, true);
  scene.processes.kill(kLeader);
  CHECK_FALSE(scene.state(ref));
  CHECK_FALSE(scene.is_there(ref));
}

TEST_CASE(
    "a session without an audit session of its own ends as before, and nobody asks for them") {
  Scene scene;
  const SlotRef ref = scene.open(Counts::any, 0);
  scene.processes.run_in_audit_session(kAudit, true);
  scene.processes.run_in_audit_session(1, true);  // its parent's pid
  scene.processes.kill(kLeader);
  CHECK_FALSE(scene.is_there(ref));
  CHECK(scene.processes.audit_searches == 0);
}

TEST_CASE("with count_leftovers = terminal only what has a terminal counts, with any everything") {
  const auto [counts, has_terminal, is_kept] = GENERATE(table<Counts, bool, bool>({
      {Counts::terminals, true, true},
      {Counts::terminals, false, false},
      {Counts::any, true, true},
      {Counts::any, false, true},
  }));
  Scene scene;
  const SlotRef ref = scene.open(counts);
  scene.processes.run_in_audit_session(kAudit, has_terminal);
  scene.processes.kill(kLeader);
  CHECK(scene.state(ref).has_value() == is_kept);
  if (is_kept) CHECK(scene.state(ref) == State::left);
  CHECK(scene.is_there(ref) == is_kept);
}

TEST_CASE("what is left of a session that is to end is shown as ending") {
  Scene scene;
  const SlotRef ref = scene.open(Counts::any);
  scene.processes.run_in_audit_session(kAudit, false);
  scene.processes.kill(kLeader);
  scene.registry.mark_revoked(ref, "enough");
  CHECK(scene.state(ref) == State::ending);
}

TEST_CASE("a session that was reserved first has its audit session, and its reservation has none") {
  Scene scene;
  Login from = scene.login("a", kLeader);
  const auto reserved = scene.reserve(from, limit_of(1));
  REQUIRE(reserved.admitted());
  Snapshot held;
  REQUIRE(scene.registry.snapshot(reserved.ref, held));
  CHECK(leftovers_of(held.record).audit_session == 0);
  from.audit_session = kAudit;
  const auto bound =
      scene.registry.bind(reserved.ref, from, scene.terms(Counts::terminals), scene.processes);
  REQUIRE(bound);
  REQUIRE(scene.registry.snapshot(bound->ref, held));
  const Leftovers leftovers = leftovers_of(held.record);
  CHECK(leftovers.audit_session == kAudit);
  CHECK(leftovers.terminals_only);
  CHECK(leftovers.beside_leader);
}

TEST_CASE("a leader that serves others has no audit session that is one user's") {
  Scene scene;
  Login from = scene.login("a", kLeader);
  from.audit_session = kAudit;
  from.has_shared_leader = true;
  scene.registry.publish_limit(scene.registry.published_limit(), limit_of(1));
  const Admission admission = scene.registry.admit(from, scene.terms(Counts::any), scene.processes);
  Snapshot held;
  REQUIRE(scene.registry.snapshot(admission.ref, held));
  CHECK(leftovers_of(held.record).audit_session == 0);
}
