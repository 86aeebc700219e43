// Logins by the module right after an upgrade, on a host where others are logged in.
#include <sys/stat.h>

#include <memory>

#include "../support/catch.h"
#include "../support/child.h"
#include "../support/version2.h"
#include "base/clock.h"
#include "transaction.h"

using namespace sessreg;

namespace {

// Somebody has a session that the earlier version opened.
void leave_one_session(const PamSite& site) {
  version2::Version2 old(*host_identity());
  const std::uint64_t now_ms = now().boottime_ms;
  old.add(5, Stage::seated, RecordKind::session, "news", now_ms - 60'000, now_ms - 60'000);
  mkdir((site.dir / "registry").c_str(), 0755);
  site.dir.write("registry/site.reg", old.bytes());
  chmod(site.registry_path().c_str(), 0600);
}

}  // namespace

TEST_CASE("who was logged in before the upgrade counts in the login after it") {
  PamSite site("sessions_limit = 2\n");
  leave_one_session(site);
  Transaction one(site, "daemon");
  REQUIRE(one.account() == PAM_SUCCESS);
  REQUIRE(one.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 2);
  Transaction two(site, "bin");
  CHECK(two.account() == PAM_PERM_DENIED);
  CHECK(one.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("many first logins at once after an upgrade stay within the limit") {
  constexpr int kLogins = 8;
  for (int round = 0; round < 10; ++round) {
    PamSite site("sessions_limit = 4\n");
    leave_one_session(site);
    Pipe start, leave;
    std::vector<Child> logins;
    for (int i = 0; i < kLogins; ++i)
      logins.emplace_back([&] {
        start.close_write();
        leave.close_write();
        start.get();
        Transaction login(site, "daemon");
        if (login.open_session() != PAM_SUCCESS) return 1;
        // Kept: the session is over when this process is.
        leave.get();
        return 0;
      });
    start.close_write();
    int refused = 0;
    // Who is refused leaves; the others wait.
    while (refused < kLogins - 3) {
      int status = 0;
      const pid_t done = waitpid(-1, &status, 0);
      REQUIRE(done > 0);
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 1);
      ++refused;
    }
    CHECK(site.seats() == 4);
    leave.close_write();
    for (Child& login : logins)
      login.wait();
  }
}
