// Signals arrive all the time, and interrupt whatever system call is under way.
#include <signal.h>
#include <sys/time.h>

#include <csignal>

#include "../support/sanitized.h"
#include "site.h"

using namespace faults;

namespace {

volatile std::sig_atomic_t signals_seen = 0;

// As long as it lives, SIGALRM (of real time) and SIGVTALRM (of this process's) arrive, in
// different periods, with a handler that lets no system call be restarted.
class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action {};
    action.sa_handler = [](int) { signals_seen = signals_seen + 1; };
    sigaction(SIGALRM, &action, &before_[0]);
    sigaction(SIGVTALRM, &action, &before_[1]);
    set(kHasShadowMemory ? 1'000 : 100);
  }
  ~SignalStorm() {
    set(0);
    sigaction(SIGALRM, &before_[0], nullptr);
    sigaction(SIGVTALRM, &before_[1], nullptr);
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;

 private:
  static void set(suseconds_t period_us) {
    const itimerval real{{0, period_us}, {0, period_us}};
    const itimerval own{{0, period_us * 3}, {0, period_us * 3}};
    setitimer(ITIMER_REAL, &real, nullptr);
    setitimer(ITIMER_VIRTUAL, &own, nullptr);
  }
  struct sigaction before_[2]{};
};

}  // namespace

TEST_CASE("2000 logins in a storm of signals: every phase answers as ever") {
  FaultSite site;
  Transaction first(site, "games"), second(site, "man");
  REQUIRE(first.open_session() == PAM_SUCCESS);
  REQUIRE(second.open_session() == PAM_SUCCESS);
  signals_seen = 0;
  int wrong = 0, without_token = 0;
  take_log();
  {
    const SignalStorm storm;
    for (int i = 0; i < 2000; ++i) {
      OneLogin login(site);
      wrong += login.run(Phase::preauth) != kIgnored;
      wrong += login.run(Phase::account) != PAM_SUCCESS;
      wrong += login.run(Phase::open) != PAM_SUCCESS;
      without_token += login.main().env("SESSREG_TOKEN").empty();
      // Full now: who is refused has looked for the dead, in all of /proc.
      if (i % 20 == 0) {
        OneLogin refused(site, "bin");
        wrong += refused.run(Phase::account) != PAM_PERM_DENIED;
      }
      wrong += login.run(Phase::close) != PAM_SUCCESS;
    }
  }
  CHECK(wrong == 0);
  CHECK(without_token == 0);
  CHECK(signals_seen > 1000);
  for (const std::string& line : take_log())
    CHECK_THAT(line, Catch::Contains("refused: "));  // and nothing else
  first.close_session();
  second.close_session();
  check_that_logins_work(site);
}

TEST_CASE("a registry and a key are made in a storm of signals") {
  for (int i = 0; i < 100; ++i) {
    FaultSite site;
    OneLogin login(site);
    take_log();
    {
      const SignalStorm storm;
      CHECK(login.run(Phase::account) == PAM_SUCCESS);
      CHECK(login.run(Phase::open) == PAM_SUCCESS);
      CHECK(login.run(Phase::close) == PAM_SUCCESS);
    }
    CHECK(take_log() == std::vector<std::string>{});
  }
}

TEST_CASE("a large registry is made though its allocation is interrupted again and again") {
  const FaultSite site("", "", 20'000);
  Transaction t(site, "daemon");
  const ImpatientKernel impatient;
  CHECK(t.account() == PAM_SUCCESS);
}
