// Logins in several processes: who may bind a reservation, where the account phase and the opening of
// the session are in different ones, and what a closed session leaves running.
#include <security/pam_modules.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../support/audit_session.h"
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

namespace {

constexpr int kNoAudit = 77;

// Logs in, leaves a process behind that tells its pid, and logs out. 0: PAM did what it should.
int log_in_and_out(const PamSite& site, Pipe& pid, bool in_own_audit_session,
                   const std::string& user = "daemon") {
  if (in_own_audit_session && !begin_audit_session()) return kNoAudit;
  Transaction t(site, user.c_str());
  if (t.account() != PAM_SUCCESS || t.open_session() != PAM_SUCCESS) return 1;
  Pipe is_left;
  if (fork() == 0) {
    setsid();
    if (fork() == 0) {
      alarm(100);
      if (user == "daemon" && setuid(1) != 0) _exit(1);  // whose session it is
      const pid_t self = getpid();
      for (std::size_t i = 0; i < sizeof self; ++i)
        pid.put(static_cast<char>(self >> 8 * i));
      is_left.put('l');
      for (;;)
        pause();
    }
    _exit(0);
  }
  is_left.get();
  wait(nullptr);
  return t.close_session() == PAM_SUCCESS ? 0 : 1;
}

// False: there is nothing to test here.
bool has_ended_well(Child& service) {
  const int code = service.wait();
  if (code == kNoAudit) {
    WARN("skipped: audit sessions cannot be begun here");
    return false;
  }
  REQUIRE(code == 0);
  return true;
}

pid_t pid_from(Pipe& pipe) {
  pid_t pid = 0;
  for (std::size_t i = 0; i < sizeof pid; ++i)
    pid |= (pipe.get() & 0xff) << 8 * i;
  return pid;
}

}  // namespace

TEST_CASE("what a session leaves running counts on, where count_leftovers says so", "[.root]") {
  const auto [counted, is_kept] = GENERATE(table<std::string, bool>(
      {{"no", false}, {"any", true}, {"terminal", true}}));  // it is young: see kYoung_s
  CAPTURE(counted);
  PamSite site("sessions_limit = 1\ncount_leftovers = " + counted + "\n");
  Pipe pid;
  Child service([&] { return log_in_and_out(site, pid, true); });
  if (!has_ended_well(service)) return;
  const pid_t left = pid_from(pid);
  CHECK(site.seats() == (is_kept ? 1 : 0));
  Transaction other(site, "bin");
  CHECK(other.account() == (is_kept ? PAM_PERM_DENIED : PAM_SUCCESS));
  other.end(PAM_SUCCESS);
  kill(left, SIGKILL);
  // It is somebody else's child, so that nobody here can wait for it.
  for (int i = 0; i < 2000 && kill(left, 0) == 0; ++i)
    usleep(5'000);
  const auto gets_in = [&] {
    Transaction another(site, "bin");
    return another.account() == PAM_SUCCESS;
  };
  // A refusal may believe a search of the second before it, where that took long.
  bool is_free = gets_in();
  for (int i = 0; i < 300 && !is_free; ++i) {
    usleep(10'000);
    is_free = gets_in();
  }
  CHECK(is_free);
}

TEST_CASE("a session inside another one's audit session leaves nothing that counts", "[.root]") {
  PamSite site("sessions_limit = 1\ncount_leftovers = any\n");
  Pipe pid;
  Child login([&] {
    if (!begin_audit_session()) return kNoAudit;
    Child inside([&] { return log_in_and_out(site, pid, false); });  // as su
    return inside.wait();
  });
  if (!has_ended_well(login)) return;
  CHECK(site.seats() == 0);
  kill(pid_from(pid), SIGKILL);
}

TEST_CASE("what root leaves running counts for nobody", "[.root]") {
  PamSite site("sessions_limit = 1\nexempt =\ncount_leftovers = any\n");
  Pipe pid;
  Child service([&] { return log_in_and_out(site, pid, true, "root"); });
  if (!has_ended_well(service)) return;
  CHECK(site.seats() == 0);
  kill(pid_from(pid), SIGKILL);
}
