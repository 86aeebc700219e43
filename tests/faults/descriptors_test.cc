// The login service has no descriptors left, or only a few.
#include <fcntl.h>
#include <sys/resource.h>

#include "../support/child.h"
#include "../support/sanitized.h"
#include "site.h"

using namespace faults;

namespace {

// The first is more than any phase has open at once.
constexpr unsigned kEnough = 8, kAsEver = 1000;

// As long as it lives, this process can open `left` descriptors more, and gets EMFILE then.
class FewDescriptors {
 public:
  explicit FewDescriptors(unsigned left) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit lower = before_;
    lower.rlim_cur = open_descriptors() + 40;  // so that there is little to fill
    setrlimit(RLIMIT_NOFILE, &lower);
    const bool enough = left >= kAsEver;
    for (int fd = 0; !enough && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
      taken_.push_back(fd);
    for (; left > 0 && !taken_.empty(); --left) {
      close(taken_.back());
      taken_.pop_back();
    }
  }
  ~FewDescriptors() {
    for (const int fd : taken_)
      close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

// What that phase may answer: as ever, or as where it cannot work.
bool is_proper(Phase phase, int code, unsigned left) {
  // libpam itself refuses whatever it cannot tell the kernel's audit, root too.
  if (left == 0 && phase != Phase::end && code == PAM_SYSTEM_ERR) return true;
  switch (phase) {
    case Phase::preauth:
      return code == kIgnored;
    case Phase::authfail:
      return code == PAM_AUTH_ERR;
    case Phase::account:
    case Phase::open:
      return code == PAM_SUCCESS || code == PAM_SYSTEM_ERR;
    default:
      return code == PAM_SUCCESS;
  }
}

}  // namespace

TEST_CASE("without descriptors in one phase: one line, a proper code, and no seat is lost") {
  FaultSite site;
  check_that_logins_work(site);  // makes registry and key
  const std::size_t before = open_descriptors();
  for (const Phase starved : kPhases) {
    for (unsigned left = 0; left <= kEnough; ++left) {
      INFO(name_of(starved) << " with " << left << " descriptors");
      OneLogin login(site);
      bool is_open = true;
      for (const Phase phase : kPhases) {
        // Who is refused opens nothing; a reservation is what pam_end has to give back.
        if ((!is_open || starved == Phase::end) && (phase == Phase::open || phase == Phase::close))
          continue;
        if (phase == Phase::end && starved == Phase::close)
          CHECK(login.run(Phase::close) == PAM_SUCCESS);  // a later close can do it
        take_log();
        int code = 0;
        {
          const FewDescriptors few(phase == starved ? left : kAsEver);
          code = login.run(phase);
        }
        if (phase == Phase::account || phase == Phase::open) is_open &= code == PAM_SUCCESS;
        CHECK(is_proper(phase, code, phase == starved ? left : kAsEver));
        if (phase != starved || left == kEnough) CHECK(code != PAM_SYSTEM_ERR);
        if (phase == starved && left == 0 && (phase == Phase::account || phase == Phase::open))
          CHECK(code == PAM_SYSTEM_ERR);
        if (code == PAM_SYSTEM_ERR && (phase == Phase::account || phase == Phase::open)) {
          const auto log = take_log();
          REQUIRE(log.size() == 1);
          CHECK_THAT(log[0], Catch::Contains("Too many open files"));
        }
      }
      // What pam_end could not give back runs out by itself.
      if (starved == Phase::end) site.reap(131'000);
      CHECK(site.seats() == 0);
      CHECK(site.slots_in_use() == 0);
      if (!kHasShadowMemory) CHECK(open_descriptors() == before);
    }
  }
  check_that_logins_work(site);
}

TEST_CASE("without descriptors from the first login on, which has to make registry and key") {
  for (unsigned left = 0; left <= kEnough; ++left) {
    INFO(left << " descriptors");
    FaultSite site;
    const std::size_t before = open_descriptors();
    {
      OneLogin login(site);
      const FewDescriptors few(left);
      bool is_open = false;
      for (const Phase phase : kPhases) {
        if (phase == Phase::close && !is_open) continue;
        const int code = login.run(phase);
        if (phase == Phase::open) is_open = code == PAM_SUCCESS;
        INFO(name_of(phase) << " gave " << code);
        CHECK(is_proper(phase, code, left));
      }
    }
    if (!kHasShadowMemory) CHECK(open_descriptors() == before);
    check_that_logins_work(site);
  }
}

TEST_CASE("where a registry cannot be opened for want of descriptors root gets in") {
  FaultSite site;
  FaultSite allowing("", "on_error=allow");
  OneLogin root(site, "root"), other(allowing, "bin");
  // One is enough for libpam and to read the configuration, not to open a registry.
  const FewDescriptors one(1);
  take_log();
  for (const Phase phase : {Phase::account, Phase::open}) {
    CHECK(root.run(phase) == PAM_SUCCESS);
    CHECK(other.run(phase) == (phase == Phase::account ? kIgnored : PAM_SUCCESS));
    const auto log = take_log();
    REQUIRE(log.size() == 2);
    CHECK_THAT(log[0], Catch::Contains("root let through"));
    CHECK_THAT(log[1], Catch::Contains("let through uncounted"));
  }
}

TEST_CASE("whoever looks for the dead and runs out of descriptors takes nobody for dead") {
  const FaultSite site;
  Pipe opened, pids, leave;
  Child leader([&] {
    setsid();
    Transaction t(site, "daemon");
    const int code = t.open_session();
    Child of_session([&] {
      leave.close_write();
      leave.get();
      return 0;
    });
    opened.put(static_cast<char>(code));
    pause();
    return 0;
  });
  REQUIRE(opened.get() == PAM_SUCCESS);
  leader.kill_and_wait();  // without closing; a process of the session lives on
  auto registry = site.registry();
  bool has_failed = true;
  for (unsigned good = 0; has_failed; ++good) {
    {
      const FailingOpen failing(good);
      registry.reap(sessreg::SystemProcesses(), sessreg::boottime_ms());
      has_failed = FailingOpen::has_failed();
    }
    INFO("after " << good << " files");
    REQUIRE(registry.count() == 1);
  }
  leave.close_write();
  const auto is_free = [&] {
    site.reap();
    return site.seats() == 0;
  };
  for (int i = 0; i < 3000 && !is_free(); ++i)
    usleep(10'000);
  CHECK(site.slots_in_use() == 0);
}
