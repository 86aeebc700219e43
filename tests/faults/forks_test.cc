// Login services fork between the phases, and each phase may run in another process.
#include "../support/child.h"
#include "site.h"

using namespace faults;

TEST_CASE("account in the parent, open in a child: the session is the child's") {
  FaultSite site;
  Pipe opened, leave;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  Child child([&] {
    opened.put(static_cast<char>(t.open_session()));
    leave.get();
    return t.close_session();
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  // The child has its parent's data, which say whose reservation it is.
  CHECK(site.seats() == 1);
  t.end(PAM_SUCCESS);  // the parent has nothing left to give back
  CHECK(site.seats() == 1);
  leave.put('x');
  CHECK(child.wait() == PAM_SUCCESS);
  CHECK(site.slots_in_use() == 0);
}

TEST_CASE("account in a child that exits, open in the parent: one seat all the while") {
  FaultSite site("", "");
  for (int i = 0; i < 20; ++i) {
    Transaction t(site, "daemon");
    Child account([&] { return t.account(); });
    REQUIRE(account.wait() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    CHECK(t.open_session() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    CHECK(t.close_session() == PAM_SUCCESS);
    CHECK(site.slots_in_use() == 0);
  }
}

TEST_CASE("account in a child that exits, and nobody opens: the seat is back after ten seconds") {
  FaultSite site;
  Child account([&] {
    Transaction t(site, "daemon");
    _exit(t.account());  // as sshd's child does: without pam_end
    return 0;
  });
  REQUIRE(account.wait() == PAM_SUCCESS);
  site.reap();
  CHECK(site.seats() == 1);
  site.reap(10'000);
  CHECK(site.slots_in_use() == 0);
}

TEST_CASE(
    "open in a child, close in the parent: the child's session is not the parent's to close") {
  FaultSite site;
  Pipe opened, leave;
  Transaction t(site, "daemon");
  Child child([&] {
    opened.put(static_cast<char>(t.open_session()));
    leave.get();
    return 0;
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  t.end(PAM_SUCCESS);
  CHECK(site.seats() == 1);
  // It ends with the process that opened it.
  leave.put('x');
  child.wait();
  site.reap();
  CHECK(site.slots_in_use() == 0);
}

TEST_CASE("open in the parent, close in a child: that closes it") {
  FaultSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.open_session() == PAM_SUCCESS);
  Child child([&] { return t.close_session(); });
  CHECK(child.wait() == PAM_SUCCESS);
  CHECK(site.slots_in_use() == 0);
  // The parent does not know, and its close finds nothing to do.
  Transaction other(site, "daemon");
  REQUIRE(other.open_session() == PAM_SUCCESS);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("a child that was forked behind open calls pam_end, or exits: the session stays") {
  FaultSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  REQUIRE(t.open_session() == PAM_SUCCESS);
  const auto still_there = [&](int (*body)(Transaction & t)) {
    Child child([&] { return body(t); });
    CHECK(child.wait() == 7);
    site.reap(131'000);
    CHECK(site.seats() == 1);
  };
  still_there([](Transaction& of_child) {
    of_child.end(PAM_SUCCESS);
    return 7;
  });
  still_there([](Transaction& of_child) {
    of_child.end(PAM_SUCCESS | PAM_DATA_SILENT);
    return 7;
  });
  still_there([](Transaction& of_child) {
    of_child.end(PAM_SESSION_ERR);
    return 7;
  });
  still_there([](Transaction&) { return 7; });
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.slots_in_use() == 0);
}

TEST_CASE("a child that was forked behind account calls pam_end: the reservation stays") {
  FaultSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  Child child([&] {
    t.end(PAM_SUCCESS);
    return 0;
  });
  CHECK(child.wait() == 0);
  CHECK(site.seats() == 1);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.slots_in_use() == 0);
}

TEST_CASE("whatever process each phase runs in, no seat outlives them all") {
  // Each of the four phases in this process or in a child that exits behind it.
  for (unsigned children = 0; children < 16; ++children) {
    INFO("phases in children: " << children);
    FaultSite site;
    {
      OneLogin login(site);
      unsigned bit = 1;
      for (const Phase phase : {Phase::account, Phase::open, Phase::close, Phase::end}) {
        if ((children & bit) != 0) {
          Child child([&] { return login.run(phase); });
          const int code = child.wait();
          // libpam remembers what open returned, and a close without it fails.
          const bool as_libpam = phase == Phase::close && (children & 2) != 0;
          CHECK((code == PAM_SUCCESS || as_libpam));
        } else {
          const int code = login.run(phase);
          const bool as_libpam = phase == Phase::close && (children & 2) != 0;
          CHECK((code == PAM_SUCCESS || as_libpam));
        }
        bit <<= 1;
        CHECK(site.seats() <= 2);
      }
    }
    site.reap(131'000);
    CHECK(site.slots_in_use() == 0);
  }
}
