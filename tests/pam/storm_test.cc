// Many real processes at one instant.
#include <memory>
#include <set>

#include "../support/catch.h"
#include "../support/child.h"
#include "transaction.h"

namespace {

constexpr int kLogins = 48;

// Logs in when `start` is closed, says how it went, and stays until `leave` is closed.
class Holder {
 public:
  Holder(const PamSite& site, Pipe& start, Pipe& leave, bool also_account)
      : child_([&] {
          start.close_write();
          leave.close_write();
          start.get();
          Transaction t(site, "daemon");
          int code = also_account ? t.account() : PAM_SUCCESS;
          if (code == PAM_SUCCESS) code = t.open_session();
          said_.put(static_cast<char>(code));
          leave.get();
          if (code == PAM_SUCCESS) t.close_session();
          return 0;
        }) {
    said_.close_write();
  }
  bool admitted() {
    const int code = said_.get();
    CHECK((code == PAM_SUCCESS || code == PAM_PERM_DENIED));
    return code == PAM_SUCCESS;
  }
  Child& child() { return child_; }

 private:
  Pipe said_;
  Child child_;
};

}  // namespace

TEST_CASE("48 processes log in at one instant against a limit of 7: 7 get in, 25 times") {
  PamSite site("sessions_limit = 7\n");
  for (int round = 0; round < 25; ++round) {
    Pipe start, leave;
    std::vector<std::unique_ptr<Holder>> holders;
    for (int i = 0; i < kLogins; ++i)
      holders.push_back(std::make_unique<Holder>(site, start, leave, i % 3 != 0));
    start.close_write();
    int admitted = 0;
    for (auto& holder : holders)
      admitted += holder->admitted();
    CHECK(admitted == 7);
    CHECK(site.seats() == 7);
    leave.close_write();
    for (auto& holder : holders)
      holder->child().wait();
    CHECK(site.seats() == 0);
  }
}

TEST_CASE("SIGKILL of all holders gives every seat back to the next ones, without a daemon") {
  PamSite site("sessions_limit = 5\n");
  for (int round = 0; round < 10; ++round) {
    Pipe start, leave;
    start.close_write();
    std::vector<std::unique_ptr<Holder>> holders;
    for (int i = 0; i < 5; ++i)
      holders.push_back(std::make_unique<Holder>(site, start, leave, i % 2 == 0));
    for (auto& holder : holders)
      REQUIRE(holder->admitted());
    Transaction full(site, "daemon");
    REQUIRE(full.account() == PAM_PERM_DENIED);
    for (auto& holder : holders)
      holder->child().kill_and_wait();
  }
  CHECK(site.seats() == 5);
  std::vector<std::unique_ptr<Transaction>> next;
  for (int i = 0; i < 5; ++i) {
    next.push_back(std::make_unique<Transaction>(site, "daemon"));
    // Where the search for the last refusal was slow, it is not made anew for up to a second.
    int code = next.back()->account();
    for (int turn = 0; turn < 300 && code != PAM_SUCCESS; ++turn) {
      usleep(10'000);
      code = next.back()->account();
    }
    CHECK(code == PAM_SUCCESS);
  }
  Transaction sixth(site, "daemon");
  CHECK(sixth.account() == PAM_PERM_DENIED);
}

TEST_CASE("processes killed anywhere inside a login lose no seat") {
  PamSite site("sessions_limit = 3\n");
  {
    Transaction warm(site, "daemon");
    REQUIRE(warm.account() == PAM_SUCCESS);
  }
  for (int round = 0; round < 100; ++round) {
    Child child([&] {
      for (;;) {
        Transaction t(site, "daemon");
        if (t.account() == PAM_SUCCESS && t.open_session() == PAM_SUCCESS) t.close_session();
      }
      return 0;
    });
    usleep(static_cast<useconds_t>(1000 + round * 37));
    child.kill_and_wait();
  }
  auto registry = site.registry();
  registry.reap(sessreg::SystemProcesses(), sessreg::now().boottime_ms + 20'000);
  CHECK(registry.count() == 0);
  int left = 0;
  registry.for_each([&](const sessreg::Snapshot&) { ++left; });
  CHECK(left == 0);
}
