// Who may bind a reservation, where the account phase and the opening of the session are in
// different processes.
#include <security/pam_modules.h>

#include <algorithm>
#include <vector>

#include "../support/catch.h"
#include "../support/child.h"
#include "transaction.h"

TEST_CASE("a reservation made in a child that exits is bound by its parent") {
  PamSite site("sessions_limit = 1\n");
  Transaction t(site, "daemon");
  Child account([&] { return t.account(); });  // as sshd's keyboard-interactive: leaves by _exit
  REQUIRE(account.wait() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE(
    "a reservation is bound by a child of the process that made it, through the same handle") {
  PamSite site("sessions_limit = 1\nuser_sessions_limit = 1\n");
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  Pipe opened, go_on;
  Child opener([&] {
    const int code = t.open_session();  // as xrdp-sesman 0.9
    opened.put(static_cast<char>(code));
    go_on.get();
    return t.close_session();
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  // Whoever made it has no more to give back.
  t.end(PAM_SUCCESS);
  CHECK(site.seats() == 1);
  go_on.put('c');
  REQUIRE(opener.wait() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE(
    "of two children with one handle one binds the reservation, and the other one needs a seat") {
  PamSite site("sessions_limit = 1\n");
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  Pipe opened, go_on;
  const auto open = [&] {
    opened.put(static_cast<char>(t.open_session()));
    go_on.get();
    return 0;
  };
  Child one(open), other(open);
  const std::vector<int> codes = {opened.get(), opened.get()};
  CHECK(std::count(codes.begin(), codes.end(), PAM_SUCCESS) == 1);
  CHECK(std::count(codes.begin(), codes.end(), PAM_PERM_DENIED) == 1);
  CHECK(site.seats() == 1);
}

TEST_CASE("a child with a handle of its own does not bind its parent's reservation") {
  PamSite site("sessions_limit = 1\n");
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  // What the environment names is a hint, which anybody may write there.
  const std::string hint = t.env("SESSREG_RESERVATION");
  Child child([&] {
    Transaction other(site, "daemon");
    pam_putenv(other.handle(), ("SESSREG_RESERVATION=" + hint).c_str());
    return other.open_session();
  });
  CHECK(child.wait() == PAM_PERM_DENIED);
  CHECK(site.seats() == 1);
}
