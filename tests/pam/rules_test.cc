// Every rule as a login meets it: its code, and the text that its user reads.
#include <sys/wait.h>

#include <map>

#include "../support/catch.h"
#include "../support/child.h"
#include "base/clock.h"
#include "session/session_state.h"
#include "transaction.h"

namespace {

using Texts = std::vector<std::string>;

// A site with a service for each use of the module in the auth phase.
class RuleSite : public PamSite {
 public:
  explicit RuleSite(const std::string& config, const std::string& arguments = "")
      : PamSite(config, arguments) {
    for (const char* word : {"preauth", "authfail", "check_limit"})
      write_service(word, word);
  }
  int preauth(const char* host, const char* user = "daemon") {
    return authenticate("preauth", host, user);
  }
  void fail(const char* host, const char* user = "daemon") {
    CHECK(authenticate("authfail", host, user) == PAM_AUTH_ERR);
  }

 private:
  int authenticate(const char* service, const char* host, const char* user) {
    Transaction t(*this, user, service);
    pam_set_item(t.handle(), PAM_RHOST, host);
    return t.authenticate();
  }
};

}  // namespace

TEST_CASE(
    "a success of sshd's counts when the session opens, another service's in the account phase") {
  RuleSite site("max_failed_auth_per_host = 2\nblacklist_exempt =\n");
  constexpr const char* kHost = "192.0.2.1";
  const auto begin = [&](const char* connection) {
    auto t = std::make_unique<Transaction>(site, "daemon");
    pam_set_item(t->handle(), PAM_RHOST, kHost);
    pam_putenv(t->handle(), connection);
    CHECK(t->account() == PAM_SUCCESS);
    return t;
  };
  site.fail(kHost);
  begin("OTHER=1");
  site.fail(kHost);
  const auto login = begin("SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22");
  CHECK(site.preauth(kHost) == kIgnored);
  SECTION("so that the password alone changes nothing") {
    site.fail(kHost);
    CHECK(site.preauth(kHost) == PAM_PERM_DENIED);
  }
  SECTION("and it does then") {
    CHECK(login->open_session() == PAM_SUCCESS);
    site.fail(kHost);
    CHECK(site.preauth(kHost) == kIgnored);
  }
}

TEST_CASE("a success erases failures also where the service is ignored") {
  RuleSite site("max_failed_auth_per_host = 2\nblacklist_exempt =\nignore_services = sshd\n");
  for (int turn = 0; turn < 3; ++turn) {
    site.fail("192.0.2.7");
    CHECK(Transaction(site, "daemon").account() == kIgnored);
  }
  CHECK(site.preauth("192.0.2.7") == kIgnored);
}

TEST_CASE("a session that opens without a reservation is refused to a blacklisted host") {
  RuleSite site("max_failed_auth_per_host = 1\nblacklist_exempt =\nblacklist_time = 90\n");
  constexpr const char* kHost = "192.0.2.7";
  Transaction early(site, "daemon"), late(site, "daemon"), root(site, "root");
  REQUIRE(early.account() == PAM_SUCCESS);
  site.fail(kHost, "bin");
  CHECK(late.open_session() == PAM_PERM_DENIED);
  CHECK(late.texts() ==
        Texts{"Too many failed logins from your address. Please try again in 90 seconds."});
  CHECK(early.open_session() == PAM_SUCCESS);
  CHECK(root.open_session() == PAM_SUCCESS);
  site.write_service("sshd", "observe");
  CHECK(Transaction(site, "daemon").open_session() == PAM_SUCCESS);
}

TEST_CASE("at a user's limit that user is refused with a message of its own") {
  RuleSite site("user_sessions_limit = 1\n");
  Transaction a(site, "daemon"), b(site, "daemon"), c(site, "bin");
  CHECK(a.account() == PAM_SUCCESS);
  CHECK(b.account() == PAM_PERM_DENIED);
  CHECK(b.texts() == Texts{"You have as many sessions as you may have at once (1). Please end one "
                           "of them and try again."});
  CHECK(c.account() == PAM_SUCCESS);
}

TEST_CASE("the user's section wins over the service's, that over the group's, that over the top") {
  RuleSite site(
      "user_sessions_limit = 0\n[group daemon]\nuser_sessions_limit = 1\n"
      "[service login]\nuser_sessions_limit = 2\n[user bin]\nuser_sessions_limit = 3\n");
  const auto admitted = [&](const char* user, const char* service) {
    std::vector<std::unique_ptr<Transaction>> inside;
    for (;;) {
      inside.push_back(std::make_unique<Transaction>(site, user, service));
      if (inside.back()->account() != PAM_SUCCESS) return inside.size() - 1;
    }
  };
  CHECK(admitted("games", "sshd") == 0);
  CHECK(admitted("daemon", "sshd") == 1);
  CHECK(admitted("daemon", "login") == 2);
  CHECK(admitted("bin", "login") == 3);
}

TEST_CASE("a group's members share its seats") {
  RuleSite site("[group daemon]\nsessions_limit = 1\n");
  Transaction a(site, "daemon"), b(site, "daemon"), c(site, "bin");
  CHECK(a.account() == PAM_SUCCESS);
  CHECK(b.account() == PAM_PERM_DENIED);
  CHECK(
      b.texts() ==
      Texts{"Your group has as many sessions as it may have at once (1). Please try again later."});
  CHECK(c.account() == PAM_SUCCESS);
}

TEST_CASE("while locked the user is told for how long, then the newest wins") {
  RuleSite site("user_sessions_limit = 1\nuser_limit_policy = lock_then_evict\nuser_lock = 2s\n");
  Pipe opened, leave;
  Child older([&] {
    signal(SIGTERM, SIG_DFL);  // the test framework's own handler would report it
    Transaction t(site, "daemon");
    const int code = t.open_session();
    opened.put(static_cast<char>(code));
    leave.get();
    return 0;
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  Transaction locked(site, "daemon");
  CHECK(locked.account() == PAM_PERM_DENIED);
  REQUIRE(locked.texts().size() == 1);
  CHECK_THAT(locked.texts()[0],
             Catch::Matches("You are already logged in elsewhere\\. Please end that session, or "
                            "try again in [12] seconds\\."));
  usleep(2'100'000);
  Transaction newest(site, "daemon");
  CHECK(newest.account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(newest.open_session() == PAM_SUCCESS);
  // It got its service's first signal: SIGTERM.
  const int status = older.wait_status();
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
  CHECK(site.seats() == 1);
}

TEST_CASE("who was evicted by a login that is never opened keeps the seat") {
  RuleSite site("user_sessions_limit = 1\nuser_limit_policy = evict\n");
  Pipe opened, leave;
  Child older([&] {
    Transaction t(site, "daemon");
    opened.put(static_cast<char>(t.open_session()));
    leave.get();
    return t.close_session() == PAM_SUCCESS ? 0 : 1;
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  {
    Transaction newer(site, "daemon");
    CHECK(newer.account() == PAM_SUCCESS);
  }
  CHECK(site.seats() == 1);
  auto registry = site.registry();
  int seated = 0;
  registry.for_each([&](const sessreg::Snapshot& session) {
    CHECK(session.state.stage == sessreg::Stage::seated);
    CHECK(session.mark == sessreg::MarkStage::none);
    ++seated;
  });
  CHECK(seated == 1);
  leave.put('x');
  CHECK(older.wait() == 0);
}

TEST_CASE("what cannot be given back is not taken before the session is opened") {
  RuleSite site("user_sessions_limit = 3\nuser_limit_policy = evict\n");
  // Sessions of this process, which is signalled by nobody.
  Transaction a(site, "daemon"), b(site, "daemon"), c(site, "daemon"), newest(site, "daemon");
  for (Transaction* t : {&a, &b, &c})
    REQUIRE(t->open_session() == PAM_SUCCESS);
  site.write_config("user_sessions_limit = 1\nuser_limit_policy = evict\n");
  CHECK(newest.account() == PAM_SUCCESS);
  CHECK(newest.texts().empty());
  CHECK(site.seats() == 3);
  CHECK(newest.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("the last seats are refused to whom they are not reserved for") {
  RuleSite site("sessions_limit = 2\nreserved_sessions = 1\nreserved_for = @bin\n");
  Transaction a(site, "daemon"), b(site, "daemon"), c(site, "bin");
  CHECK(a.account() == PAM_SUCCESS);
  CHECK(b.account() == PAM_PERM_DENIED);
  CHECK(c.account() == PAM_SUCCESS);
}

TEST_CASE("a remote host is blacklisted after its failures, also for the right password") {
  RuleSite site("max_failed_auth_per_host = 3\nblacklist_time = 100s\n");
  for (int i = 0; i < 2; ++i)
    site.fail("192.0.2.7", "games");
  CHECK(site.preauth("192.0.2.7") == kIgnored);
  site.fail("192.0.2.7");
  CHECK(site.preauth("192.0.2.7") == PAM_PERM_DENIED);
  CHECK(site.preauth("192.0.2.8") == kIgnored);
  // A public-key login meets the account phase only.
  Transaction key(site, "daemon");
  CHECK(key.account() == PAM_PERM_DENIED);
  REQUIRE(key.texts().size() == 1);
  CHECK_THAT(key.texts()[0], Catch::Matches("Too many failed logins from your address\\. Please "
                                            "try again in (100|99) seconds\\."));
  CHECK(site.registry().counter(sessreg::kFailedAuths) == 3);
  CHECK(site.registry().counter(sessreg::kRefusedBlacklisted) == 2);
}

TEST_CASE("a success erases that user's failures from that host and nobody else's") {
  RuleSite site("max_failed_auth_per_host = 3\n");
  site.fail("192.0.2.7", "daemon");
  site.fail("192.0.2.7", "games");
  {
    Transaction success(site, "daemon");
    CHECK(success.account() == PAM_SUCCESS);
  }
  site.fail("192.0.2.7", "games");
  CHECK(site.preauth("192.0.2.7") == kIgnored);
  site.fail("192.0.2.7", "games");
  CHECK(site.preauth("192.0.2.7") == PAM_PERM_DENIED);
}

TEST_CASE("nothing is counted without a remote host, for an exempt one, or by default") {
  RuleSite counting("max_failed_auth_per_host = 1\nblacklist_exempt = 198.51.100.0/24\n");
  counting.fail("");
  CHECK(counting.preauth("") == kIgnored);
  counting.fail("198.51.100.9");
  CHECK(counting.preauth("198.51.100.9") == kIgnored);
  RuleSite silent("");
  for (int i = 0; i < 50; ++i)
    silent.fail("192.0.2.7");
  CHECK(silent.preauth("192.0.2.7") == kIgnored);
}

TEST_CASE("the auth phases decide nothing when they cannot work, but a failure stays one") {
  RuleSite site("max_failed_auth_per_host = ten\n");
  CHECK(site.preauth("192.0.2.7") == kIgnored);
  site.fail("192.0.2.7");
}

TEST_CASE("check_limit refuses before the password what account would refuse, and takes nothing") {
  RuleSite site("sessions_limit = 1\n");
  Transaction early(site, "daemon", "check_limit");
  CHECK(early.authenticate() == kIgnored);
  CHECK(site.seats() == 0);
  Transaction inside(site, "bin");
  CHECK(inside.account() == PAM_SUCCESS);
  Transaction late(site, "daemon", "check_limit");
  CHECK(late.authenticate() == PAM_PERM_DENIED);
  CHECK(late.texts() ==
        Texts{"There are more than 1 active user sessions. Please try again later."});
  Transaction root(site, "root", "check_limit");
  CHECK(root.authenticate() == kIgnored);
}

TEST_CASE("check_limit counts nobody who has died, nor whom account would evict") {
  RuleSite site("user_sessions_limit = 1\nuser_limit_policy = evict\n");
  Transaction inside(site, "daemon");
  CHECK(inside.open_session() == PAM_SUCCESS);
  Transaction early(site, "daemon", "check_limit");
  CHECK(early.authenticate() == kIgnored);
  CHECK(site.seats() == 1);
}

// A greeter that unlocks a screen, and a desktop that is connected to again, go through auth and
// account, and open no session.
TEST_CASE("the way back to an open session is not refused, needs no seat and ends nobody") {
  RuleSite site(
      "sessions_limit = 2\nuser_sessions_limit = 1\nuser_limit_policy = evict\n"
      "reattach_services = greeter desktop\n");
  for (const char* service : {"greeter", "desktop"})
    site.write_service(service, "check_limit");
  Transaction inside(site, "daemon", "greeter"), other(site, "bin", "sshd");
  REQUIRE(inside.open_session() == PAM_SUCCESS);
  REQUIRE(other.open_session() == PAM_SUCCESS);
  const std::string id = inside.env("SESSREG_ID");

  for (const char* service : {"greeter", "desktop"}) {
    INFO(service);
    Transaction back(site, "daemon", service);
    CHECK(back.authenticate() == kIgnored);
    const std::size_t texts_of_others = back.texts().size();
    CHECK(back.account() == PAM_SUCCESS);
    CHECK(back.texts().size() == texts_of_others);
    CHECK(back.env("SESSREG_RESERVATION").empty());
  }
  CHECK(site.seats() == 2);
  Transaction still(site, "daemon", "greeter");
  pam_putenv(still.handle(), ("SESSREG_ID=" + id).c_str());
  CHECK(still.close_session() == PAM_SUCCESS);  // it was there to be closed: nobody was evicted
  CHECK(site.seats() == 1);
}

TEST_CASE("opening decides about a session that is a new one after all") {
  RuleSite site("user_sessions_limit = 1\nreattach_services = greeter\n");
  site.write_service("greeter", "");
  Transaction inside(site, "daemon", "greeter"), another(site, "daemon", "greeter");
  REQUIRE(inside.open_session() == PAM_SUCCESS);
  CHECK(another.account() == PAM_SUCCESS);
  CHECK(another.open_session() == PAM_PERM_DENIED);
  CHECK(another.texts() == Texts{"You have as many sessions as you may have at once (1). Please "
                                 "end one of them and try again."});
  CHECK(site.seats() == 1);
}

TEST_CASE("there is no way back for who has no such session") {
  RuleSite site(
      "sessions_limit = 1\nmax_failed_auth_per_host = 1\nblacklist_exempt =\n"
      "reattach_services = greeter\n");
  site.write_service("greeter", "");
  const auto account = [&](const char* user, const char* service) {
    return Transaction(site, user, service).account();
  };
  SECTION("of a service that is named, as theirs has to be") {
    Transaction inside(site, "daemon", "sshd");
    REQUIRE(inside.open_session() == PAM_SUCCESS);
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
  SECTION("by another service") {
    Transaction inside(site, "daemon", "greeter");
    REQUIRE(inside.open_session() == PAM_SUCCESS);
    CHECK(account("daemon", "sshd") == PAM_PERM_DENIED);
    CHECK(account("bin", "greeter") == PAM_PERM_DENIED);
    CHECK(account("daemon", "greeter") == PAM_SUCCESS);
    site.write_service("greeter", "check_limit");
    CHECK(Transaction(site, "daemon", "greeter").authenticate() == kIgnored);
    CHECK(Transaction(site, "bin", "greeter").authenticate() == PAM_PERM_DENIED);
    site.write_config("sessions_limit = 1\nreattach_services =\n");
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
  SECTION("that is to live on") {
    Transaction inside(site, "daemon", "greeter");
    REQUIRE(inside.open_session() == PAM_SUCCESS);
    auto registry = site.registry();
    registry.for_each([&](const sessreg::Snapshot& held) { registry.mark_revoked(held.ref, ""); });
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
  SECTION("that lives") {
    Child leader([&] {
      Transaction inside(site, "daemon", "greeter");
      if (inside.open_session() != PAM_SUCCESS) return 1;
      _exit(0);
    });
    REQUIRE(leader.wait() == 0);
    Transaction other(site, "bin", "sshd");
    REQUIRE(other.open_session() == PAM_SUCCESS);
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
  SECTION("that is open, where only a seat is reserved") {
    Transaction begun(site, "daemon", "greeter");
    REQUIRE(begun.account() == PAM_SUCCESS);
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
  SECTION("or whose host is blacklisted") {
    Transaction inside(site, "daemon", "greeter");
    REQUIRE(inside.open_session() == PAM_SUCCESS);
    site.fail("192.0.2.7");
    CHECK(account("daemon", "greeter") == PAM_PERM_DENIED);
  }
}

TEST_CASE("with observe nobody is refused or evicted, and nobody told") {
  for (const std::string rule :
       {"sessions_limit = 1\n", "user_sessions_limit = 1\nuser_limit_policy = evict\n"}) {
    RuleSite site(rule, "observe");
    Transaction a(site, "daemon"), b(site, "daemon");
    CHECK(a.account() == PAM_SUCCESS);
    CHECK(a.open_session() == PAM_SUCCESS);
    CHECK(b.account() == PAM_SUCCESS);
    CHECK(b.open_session() == PAM_SUCCESS);
    CHECK(b.texts().empty());
    CHECK(site.seats() == 1);
    CHECK(b.close_session() == PAM_SUCCESS);
    CHECK(site.seats() == 1);
    CHECK(a.close_session() == PAM_SUCCESS);
    CHECK(site.seats() == 0);
  }
}

TEST_CASE("who is let in by observe is listed as that, and counted once as refused") {
  RuleSite site("sessions_limit = 1\n", "observe");
  Transaction a(site, "daemon"), b(site, "bin");
  REQUIRE(a.open_session() == PAM_SUCCESS);
  CHECK(b.account() == PAM_SUCCESS);
  CHECK(b.open_session() == PAM_SUCCESS);
  const std::string id = b.env("SESSREG_ID");
  CHECK(id.size() == 32);
  CHECK_FALSE(b.env("SESSREG_TOKEN").empty());
  std::map<std::string, sessreg::State> states;
  const auto look = [&] {
    states.clear();
    site.registry().for_each([&](const sessreg::Snapshot& session) {
      states[sessreg::to_hex(session.record.id)] =
          sessreg::state_while_alive(session, false, sessreg::boottime_ms());
    });
  };
  look();
  CHECK(states ==
        std::map<std::string, sessreg::State>{{a.env("SESSREG_ID"), sessreg::State::active},
                                              {id, sessreg::State::observed}});
  CHECK(site.registry().counter(sessreg::kWouldRefuseSiteFull) == 1);
  CHECK(site.registry().counter(sessreg::kRefusedSiteFull) == 0);
  CHECK(site.seats() == 1);
  // Asked once more, as where the module stands twice in the stack.
  CHECK(b.open_session() == PAM_SUCCESS);
  CHECK(b.env("SESSREG_ID") == id);
  CHECK(site.registry().counter(sessreg::kWouldRefuseSiteFull) == 1);
  CHECK(b.close_session() == PAM_SUCCESS);
  look();
  CHECK(states.size() == 1);
}

TEST_CASE("with observe a blacklisted host is counted once a login, and as nobody refused") {
  RuleSite site("max_failed_auth_per_host = 1\nblacklist_exempt =\n", "observe");
  site.fail("192.0.2.7", "bin");
  Transaction login(site, "daemon");
  CHECK(login.account() == PAM_SUCCESS);
  CHECK(login.open_session() == PAM_SUCCESS);
  CHECK(login.texts().empty());
  CHECK(site.registry().counter(sessreg::kWouldRefuseBlacklisted) == 1);
  CHECK(site.registry().counter(sessreg::kRefusedBlacklisted) == 0);
}

TEST_CASE("an account phase in a child is found by the hint, which is gone after open") {
  const bool observing = GENERATE(false, true);
  RuleSite site("sessions_limit = 1\n", observing ? "observe" : "");
  Pipe hint;
  Transaction parent(site, "daemon");
  Child child([&] {
    Transaction t(site, "daemon");
    if (t.account() != PAM_SUCCESS) return 1;
    for (const char c : t.env("SESSREG_RESERVATION"))
      hint.put(c);
    hint.put('\n');
    _exit(0);  // as sshd's does: nothing is cleaned up
  });
  std::string text = "SESSREG_RESERVATION=";
  for (int c = hint.get(); c != '\n' && c != -1; c = hint.get())
    text += static_cast<char>(c);
  child.wait();
  REQUIRE(pam_putenv(parent.handle(), text.c_str()) == PAM_SUCCESS);
  CHECK(parent.open_session() == PAM_SUCCESS);
  CHECK(parent.env("SESSREG_RESERVATION").empty());
  CHECK(site.seats() == 1);
  CHECK_FALSE(parent.env("SESSREG_ID").empty());
  if (observing) return;
  // What anybody may write there is no more than a hint.
  for (const char* forged : {"0:1", "99999999:0", "x", "1:", ":", "4294967295:4294967295"}) {
    Transaction other(site, "bin");
    pam_putenv(other.handle(), (std::string("SESSREG_RESERVATION=") + forged).c_str());
    CHECK(other.open_session() == PAM_PERM_DENIED);
  }
}
