// Services with `keep`, whose logins are uses of a session without a process.
#include <grp.h>
#include <security/pam_modules.h>

#include "../support/catch.h"
#include "../support/child.h"
#include "transaction.h"

namespace {

const std::string kKept = "sessions_limit = 1\n[service login]\nkeep = 1h\n";

struct Held {
  std::uint32_t sessions = 0;
  sessreg::Snapshot last;
};
Held held_in(const PamSite& site) {
  Held held;
  auto registry = site.registry();
  registry.for_each([&](const sessreg::Snapshot& each) {
    ++held.sessions;
    held.last = each;
  });
  return held;
}

}  // namespace

TEST_CASE("the account phase takes a seat for the device, which the other phases leave alone") {
  PamSite site(kKept);
  {
    Transaction t(site, "daemon", "login");
    CHECK(t.account() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    CHECK(t.open_session() == PAM_SUCCESS);
    CHECK(t.env("SESSREG_ID").empty());
    CHECK(t.env("SESSREG_TOKEN").empty());
    CHECK(t.env("SESSREG_RESERVATION").empty());
    CHECK(t.close_session() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    t.end(PAM_SUCCESS);
  }
  const Held held = held_in(site);
  REQUIRE(held.sessions == 1);
  CHECK_FALSE(sessreg::has_process(held.last.record));
  CHECK(held.last.record.ttl_s == 3600);
  CHECK(sessreg::text_of(held.last.record.user) == "daemon");
  CHECK(sessreg::text_of(held.last.record.host) == "192.0.2.7");
  CHECK(held.last.record.uid == 1);
}

TEST_CASE("the next login by the same user from the same address is the same session") {
  PamSite site(kKept);
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  const auto id = held_in(site).last.record.id;
  Child elsewhere([&] {
    Transaction t(site, "daemon", "login");
    return t.account() == PAM_SUCCESS && t.open_session() == PAM_SUCCESS ? 0 : 1;
  });
  CHECK(elsewhere.wait() == 0);
  CHECK(held_in(site).sessions == 1);
  CHECK(held_in(site).last.record.id == id);

  Transaction from_elsewhere(site, "daemon", "login");
  pam_set_item(from_elsewhere.handle(), PAM_RHOST, "192.0.2.8");
  CHECK(from_elsewhere.account() == PAM_PERM_DENIED);
  CHECK(from_elsewhere.texts() ==
        std::vector<std::string>{
            "There are more than 1 active user sessions. Please try again later."});
  Transaction other(site, "bin", "login");
  CHECK(other.account() == PAM_PERM_DENIED);
}

TEST_CASE("without an address the user has one device") {
  PamSite site(kKept);
  for (int i = 0; i < 3; ++i) {
    Transaction t(site, "daemon", "login");
    pam_set_item(t.handle(), PAM_RHOST, nullptr);
    CHECK(t.account() == PAM_SUCCESS);
  }
  CHECK(site.seats() == 1);
}

TEST_CASE("an asked-for look before the password refuses nobody whose device has a seat") {
  PamSite site(kKept, "check_limit");
  Transaction stranger(site, "bin", "login");
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  CHECK(Transaction(site, "daemon", "login").authenticate() == kIgnored);
  CHECK(stranger.authenticate() == PAM_PERM_DENIED);
}

TEST_CASE("with observe whose device has a seat would not be refused") {
  PamSite site(kKept);
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  site.write_service("login", "observe");
  CHECK(Transaction(site, "bin", "login").account() == PAM_SUCCESS);
  CHECK(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  CHECK(held_in(site).sessions == 1);
}

TEST_CASE("a login that another module refuses behind ours leaves no seat taken") {
  PamSite site(kKept);
  const std::string ours = " required " + module_path() + " conf=" + site.config_path() + "\n";
  site.dir.write("login", "account" + ours + "account required pam_deny.so\nsession" + ours);
  {
    Transaction t(site, "daemon", "login");
    const int code = t.account();
    CHECK(code != PAM_SUCCESS);
    CHECK(site.seats() == 1);
    t.end(code);
  }
  CHECK(site.seats() == 0);
  // One that was there before is not this login's to end.
  site.write_service("login", "");
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  site.dir.write("login", "account" + ours + "account required pam_deny.so\nsession" + ours);
  Transaction again(site, "daemon", "login");
  again.end(again.account());
  CHECK(site.seats() == 1);
}

TEST_CASE("addresses of one host are one device") {
  PamSite site(kKept);
  const auto login_from = [&](const char* host) {
    Transaction t(site, "daemon", "login");
    pam_set_item(t.handle(), PAM_RHOST, host);
    return t.account();
  };
  CHECK(login_from("192.0.2.1") == PAM_SUCCESS);
  CHECK(login_from("::ffff:192.0.2.1") == PAM_SUCCESS);
  CHECK(login_from("192.0.2.2") == PAM_PERM_DENIED);
  site.write_config("sessions_limit = 2\n[service login]\nkeep = 1h\n");
  CHECK(login_from("2001:db8::1") == PAM_SUCCESS);
  CHECK(login_from("2001:DB8:0:0::2") == PAM_SUCCESS);
  CHECK(login_from("2001:db8:0:1::1") == PAM_PERM_DENIED);
}

TEST_CASE("who is no longer exempt needs a seat, and who has become exempt needs none") {
  const std::string keep = "[service login]\nkeep = 1h\n";
  PamSite site("sessions_limit = 0\nexempt = daemon\n" + keep);
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  site.write_config("sessions_limit = 0\nexempt =\n" + keep);
  CHECK(Transaction(site, "daemon", "login").account() == PAM_PERM_DENIED);
  site.write_config("sessions_limit = 1\nexempt =\n" + keep);
  CHECK(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(held_in(site).sessions == 1);
  site.write_config("sessions_limit = 0\nexempt = daemon\n" + keep);
  CHECK(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  CHECK(held_in(site).sessions == 1);
}

TEST_CASE("with observe whose session was revoked is let in") {
  PamSite site(kKept);
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  auto registry = site.registry();
  const sessreg::SlotRef ref = held_in(site).last.ref;
  REQUIRE(registry.mark_revoked(ref, "go home"));
  REQUIRE(registry.vacate(ref));
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_PERM_DENIED);
  site.write_service("login", "observe");
  Transaction t(site, "daemon", "login");
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(t.texts().empty());
}

TEST_CASE("an exempt user's success has failures forgotten as others'") {
  PamSite site("max_failed_auth_per_host = 3\nexempt = daemon\n[service login]\nkeep = 1h\n");
  const auto fail = [&] {
    site.write_service("login", "authfail");
    Transaction(site, "daemon", "login").authenticate();
  };
  const auto succeed = [&] {
    site.write_service("login", "");
    return Transaction(site, "daemon", "login").account();
  };
  for (int round = 0; round < 3; ++round) {
    fail();
    fail();
    CHECK(succeed() == PAM_SUCCESS);
  }
  site.write_service("login", "preauth");
  CHECK(Transaction(site, "daemon", "login").authenticate() == kIgnored);
}

TEST_CASE("who is exempt is listed once a device") {
  PamSite site("sessions_limit = 0\nexempt = daemon\n[service login]\nkeep = 1h\n");
  for (int i = 0; i < 3; ++i)
    CHECK(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  CHECK(held_in(site).sessions == 1);
}

TEST_CASE("what was reserved before the service was kept is given back") {
  PamSite site("sessions_limit = 2\n");
  Transaction t(site, "daemon", "login");
  REQUIRE(t.account() == PAM_SUCCESS);
  REQUIRE(site.seats() == 1);
  site.write_config(kKept);
  SECTION("by another account phase") {
    CHECK(t.account() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    CHECK_FALSE(sessreg::has_process(held_in(site).last.record));
  }
  SECTION("by the session phase, which takes none") {
    CHECK(t.open_session() == PAM_SUCCESS);
    CHECK(site.seats() == 0);
  }
}

TEST_CASE("a session that was opened before the service was kept is closed as ever") {
  PamSite site("sessions_limit = 2\n");
  Transaction t(site, "daemon", "login");
  REQUIRE(t.account() == PAM_SUCCESS);
  REQUIRE(t.open_session() == PAM_SUCCESS);
  REQUIRE(site.seats() == 1);
  site.write_config(kKept);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE("who may not open the registry, and finds no daemon, is decided by on_error", "[.root]") {
  PamSite site(kKept, "socket=/nowhere/sock");
  REQUIRE(Transaction(site, "daemon", "login").account() == PAM_SUCCESS);
  const auto as_worker = [&](int wanted, const char* service = "login") {
    Child worker([&] {
      if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 2;
      Transaction t(site, "daemon", service);
      return t.account() == wanted ? 0 : 1;
    });
    return worker.wait();
  };
  CHECK(as_worker(PAM_SYSTEM_ERR) == 0);
  // Without `keep` such a caller opens no session for anybody.
  CHECK(as_worker(kIgnored, "sshd") == 0);
  site.write_config("on_error = allow\n" + kKept);
  CHECK(as_worker(kIgnored) == 0);
  // Nothing is to be taken.
  site.write_config(kKept);
  site.write_service("login", "observe socket=/nowhere/sock");
  CHECK(as_worker(kIgnored) == 0);
  // An exempt user is let in, though nobody can list the session.
  site.write_config("exempt = daemon\n" + kKept);
  site.write_service("login", "socket=/nowhere/sock");
  CHECK(as_worker(PAM_SUCCESS) == 0);
}
