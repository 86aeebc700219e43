// The login service has no memory left.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "../support/child.h"
#include "../support/sanitized.h"
#include "site.h"

using namespace faults;

namespace {

// What that phase may answer: as ever, or that it had no memory; libpam says so too, also behind a
// module that succeeded, where it cannot tell the kernel's audit.
bool is_proper(Phase phase, int code) {
  if (code == PAM_SYSTEM_ERR || code == PAM_BUF_ERR) return phase != Phase::end;
  if (phase == Phase::preauth) return code == kIgnored;
  if (phase == Phase::authfail) return code == PAM_AUTH_ERR;
  return code == PAM_SUCCESS;
}

class NobodyLives final : public sessreg::Processes {
 public:
  sessreg::Life life(const sessreg::ProcessId&) const override { return sessreg::Life::gone; }
  sessreg::LiveSids live_sids() const override { return sessreg::LiveSids(std::vector<pid_t>()); }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t) const override { return std::nullopt; }
};

// What a login does whose phase `poor` cannot have memory after `good` allocations. False: it had
// all that it wanted.
bool try_with(const FaultSite& site, Phase poor, unsigned good, FailingMemory::How how) {
  INFO(name_of(poor) << " after " << good << " allocations, "
                     << (how == FailingMemory::How::once ? "once" : "from then on"));
  bool has_failed = false, libpam_failed = false;
  {
    OneLogin login(site);
    bool is_reserved = false, is_open = false;
    for (const Phase phase : kPhases) {
      // A reservation is what pam_end has to give back.
      if (poor == Phase::end && (phase == Phase::open || phase == Phase::close)) continue;
      if (phase == Phase::open && !is_reserved) continue;
      if (phase == Phase::close && !is_open) continue;
      if (phase == Phase::end && poor == Phase::close) login.run(Phase::close);
      take_log();
      int code = 0;
      if (phase == poor) {
        const FailingMemory failing(good, how);
        code = login.run(phase);
        has_failed = FailingMemory::has_failed();
      } else {
        code = login.run(phase);
        CHECK(code != PAM_SYSTEM_ERR);
      }
      INFO(name_of(phase) << " gave " << code);
      CHECK(is_proper(phase, code));
      const bool said_why = !take_log().empty();
      if (phase == Phase::account) is_reserved = code == PAM_SUCCESS;
      if (phase == Phase::open) is_open = code == PAM_SUCCESS;
      if (phase == Phase::open && code != PAM_SUCCESS) libpam_failed = !said_why;
    }
  }
  // Behind a module that has opened the session, libpam told the service that it has not. So
  // nobody closes it; it ends with this process.
  if (libpam_failed) site.registry().reap(NobodyLives(), sessreg::boottime_ms());
  // A reservation that pam_end could not give back runs out by itself.
  if (poor == Phase::end) site.reap(131'000);
  CHECK(site.seats() == 0);
  CHECK(site.slots_in_use() == 0);
  return has_failed;
}

}  // namespace

TEST_CASE("without memory at any one point of a login: a PAM code, and no seat is lost") {
  if (kHasShadowMemory) {
    WARN("nothing shown: this sanitizer has a malloc and an address space of its own");
    return;
  }
  FaultSite site;
  check_that_logins_work(site);
  for (const Phase phase : kPhases)
    for (const auto how : {FailingMemory::How::once, FailingMemory::How::from_then_on}) {
      unsigned good = 0;
      while (try_with(site, phase, good, how))
        ++good;
      CHECK(good > 0);  // it was not in vain
    }
  check_that_logins_work(site);
}

namespace {

// As long as it lives, this process may map so many bytes more.
class SmallAddressSpace {
 public:
  explicit SmallAddressSpace(std::size_t more) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before_);
    rlimit lower = before_;
    lower.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + more;
    setrlimit(RLIMIT_AS, &lower);
  }
  ~SmallAddressSpace() { setrlimit(RLIMIT_AS, &before_); }
  SmallAddressSpace(const SmallAddressSpace&) = delete;
  SmallAddressSpace& operator=(const SmallAddressSpace&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("with an address space too small for the registry, then for less and less: no crash") {
  if (kHasShadowMemory) {
    WARN("nothing shown: this sanitizer has a malloc and an address space of its own");
    return;
  }
  // So large that mapping it is what fails first.
  FaultSite site("", "", 20'000);
  check_that_logins_work(site);
  int refused = 0, admitted = 0;
  for (const Phase poor : kPhases) {
    for (std::size_t more = 0; more <= 16 << 20; more = more == 0 ? 4096 : more * 2) {
      INFO(name_of(poor) << " with " << more << " bytes more");
      Child child([&] {
        OneLogin login(site);
        for (const Phase phase : kPhases) {
          int code = 0;
          take_log();
          if (phase == poor) {
            const SmallAddressSpace small(more);
            code = login.run(phase);
          } else {
            code = login.run(phase);
          }
          if (phase != poor) continue;
          if (!is_proper(phase, code)) return 100;
          if (code == PAM_SYSTEM_ERR && take_log().size() != 1) return 101;
          if (phase == Phase::account || phase == Phase::open) return code == PAM_SUCCESS ? 1 : 2;
        }
        return 0;
      });
      const int said = child.wait();
      CHECK((said >= 0 && said <= 2));  // -1: a signal
      admitted += said == 1;
      refused += said == 2;
      site.reap(131'000);
      CHECK(site.slots_in_use() == 0);
    }
  }
  CHECK(refused > 0);
  CHECK(admitted > 0);
  check_that_logins_work(site);
}
