// Users and groups cannot be looked up, or a lookup never returns.
#include <errno.h>

#include "../support/child.h"
#include "site.h"

using namespace faults;

TEST_CASE("a failing lookup of names: the typed name counts, and belongs to no group") {
  for (const int error : {0, EIO, ENOENT, ERANGE, EMFILE, ESRCH}) {
    INFO("error " << error);
    FaultSite site("user_sessions_limit = 1\n");
    OneLogin login(site), second(site);
    const FailingNames failing(error);
    CHECK(login.run(Phase::account) == PAM_SUCCESS);
    CHECK(login.run(Phase::open) == PAM_SUCCESS);
    // The site's and the user's limits hold as ever.
    CHECK(second.run(Phase::account) == PAM_PERM_DENIED);
    site.registry().for_each([](const sessreg::Snapshot& session) {
      CHECK(sessreg::text_of(session.record.user) == "daemon");
      CHECK_FALSE(sessreg::uid_of(session.record));
      CHECK(session.record.groups == 0);
    });
    CHECK(login.run(Phase::close) == PAM_SUCCESS);
    CHECK(site.slots_in_use() == 0);
  }
}

TEST_CASE("a failing lookup of names does not keep root out where the registry cannot be used") {
  FaultSite site;
  site.dir.write("site.conf", "no configuration\n");
  OneLogin root(site, "root"), other(site, "daemon");
  const FailingNames failing(EIO);
  CHECK(root.run(Phase::account) == PAM_SUCCESS);
  CHECK(root.run(Phase::open) == PAM_SUCCESS);
  CHECK(other.run(Phase::account) == PAM_SYSTEM_ERR);
  CHECK(other.run(Phase::open) == PAM_SYSTEM_ERR);
}

TEST_CASE(
    "a lookup that hangs stops nobody else, and whoever is killed in it gives the seat back") {
  FaultSite site;
  for (const Phase hanging : {Phase::account, Phase::open}) {
    INFO(name_of(hanging));
    Pipe said;
    Child child([&] {
      OneLogin login(site);
      if (hanging == Phase::open && login.run(Phase::account) != PAM_SUCCESS) return 1;
      const FailingNames failing(kHangs);
      said.put('x');
      return login.run(hanging);
    });
    REQUIRE(said.get() == 'x');
    CHECK(site.seats() == (hanging == Phase::open ? 1 : 0));
    for (int i = 0; i < 20; ++i) {
      OneLogin other(site, "bin");
      CHECK(other.run(Phase::account) == PAM_SUCCESS);
      CHECK(other.run(Phase::open) == PAM_SUCCESS);
      CHECK(other.run(Phase::close) == PAM_SUCCESS);
    }
    child.kill_and_wait();
    site.reap(10'000);  // its parent, this process, might have opened the session until then
    CHECK(site.slots_in_use() == 0);
  }
}
