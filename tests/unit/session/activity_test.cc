// What a session is told when it is used: by its token, or by its service.
#include "session/activity.h"

#include "../../support/catch.h"
#include "../registry/registry_fixture.h"
#include "base/clock.h"
#include "session/returning.h"

using namespace sessreg;

namespace {

struct Used : Fixture {
  using Fixture::Fixture;

  Snapshot seen(SlotRef ref) {
    Snapshot session;
    REQUIRE(registry.snapshot(ref, session));
    return session;
  }
  Snapshot open(const std::string& user, const Terms& terms, pid_t pid) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    const Admission admission = registry.admit(login(user, pid), terms, processes);
    REQUIRE(admission.admitted());
    return seen(admission.ref);
  }
  Marked::What use(SlotRef ref) {
    return mark_activity(registry, config, seen(ref), processes, boottime_ms()).what;
  }

  Config config;
};

}  // namespace

TEST_CASE("nobody is out of time of whom nobody could see whether it was used") {
  Used f;
  Terms minute(unlimited);
  minute.ttl_s = 60;
  const SlotRef ref = f.open("a", minute, 1000).ref;
  f.age(ref, 100'000);
  CHECK(f.use(ref) == Marked::What::marked);
  // From now on it can be seen.
  f.age(ref, 100'000);
  CHECK(f.use(ref) == Marked::What::expired);
}

TEST_CASE("who lost its seat to a login that died before it said so is told all the same") {
  Used f;
  Terms one(unlimited);
  one.user_limit = 1;
  one.evict_after_ms = 0;
  const SlotRef ref = f.open("a", one, 1000).ref;
  f.open("a", one, 1001);
  REQUIRE(f.stage(ref) == Stage::evicted);
  REQUIRE(f.seen(ref).mark == MarkStage::none);
  CHECK(f.use(ref) == Marked::What::revoked);
}

TEST_CASE("who may return over the limit waits where the table is full, and is not ended") {
  Used f(1);
  f.config.on_return = OnReturn::admit;
  Terms one(limit_of(1));
  one.idle_after_s = one.shortest_idle_s = 10;
  const SlotRef ref = f.open("a", one, 1000).ref;
  f.age(ref, 100'000);
  f.processes.type(1000, f.seen(ref).record.opened_realtime_ms);
  const SlotRef other = f.open("b", one, 1001).ref;
  REQUIRE(f.stage(ref) == Stage::parked);
  CHECK(come_back(f.registry, f.config, f.seen(ref)).what == Return::What::waits);
  CHECK(f.seen(ref).mark == MarkStage::none);
  REQUIRE(f.registry.release(other));
  CHECK(come_back(f.registry, f.config, f.seen(ref)).what == Return::What::seated);
}
