// How long a refused login may believe what the last search found.
#include "../../support/catch.h"
#include "logins.h"

using namespace sessreg;

TEST_CASE("a refusal believes a search for at most a second, and less if it found it cheap") {
  Logins f;
  const Terms one = terms_with(1);
  REQUIRE(f.open("a", one).admitted());
  const pid_t leader = f.last_pid();
  REQUIRE(f.open("b", one).refusal == Refusal::site_full);  // searches
  f.processes.kill(leader);
  bool admitted = false;
  const std::uint64_t began = boottime_ms();
  while (!admitted && boottime_ms() < began + 5 * kDeathCheck_ms)
    admitted = f.registry.admit(f.login("b", 3000), one, f.processes).admitted();
  CHECK(admitted);
}

TEST_CASE("no search is believed from before somebody had a seat given back") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const Admission idle = f.open("a", one);
  f.make_idle(idle.ref, 100);
  const Admission login = f.reserve_for("b", one);
  REQUIRE(f.stage(idle.ref) == Stage::parked);
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  mapped->shared().search.store(Widths::pack(SearchWord{1, coarse_ms() + kDeathCheck_ms}));
  REQUIRE(f.registry.admit(f.login("c", 3000), one, f.processes).refusal == Refusal::site_full);
  REQUIRE(f.registry.release_reservation(login.ref));
  REQUIRE(f.stage(idle.ref) == Stage::seated);
  CHECK(f.registry.admit(f.login("c", 3000), one, f.processes).admitted());
  CHECK(f.stage(idle.ref) == Stage::parked);
}

TEST_CASE("the clock is noted when the terminals of all were looked at, not those of one user") {
  Logins f;
  constexpr std::uint64_t kOld = 1;
  Terms one = with_idle(1, 60);
  const bool of_one_user = GENERATE(true, false);
  if (of_one_user) one.user_limit = 1;
  const Admission a = f.open("a", one);
  f.make_idle(a.ref, 100);
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  mapped->shared().clock_offset_ms.store(kOld);
  if (of_one_user) one.site = unlimited;
  f.open("a", one);
  REQUIRE(f.processes.terminal_looks == 1);
  CHECK((mapped->shared().clock_offset_ms.load() == kOld) == of_one_user);
}

TEST_CASE("whatever number has died, the processes of the host are read once") {
  constexpr int kMany = 300;
  Logins f(kMany);
  for (int i = 0; i < kMany; ++i) {
    REQUIRE(f.open("a", terms_with(-1)).admitted());
    f.processes.kill(f.last_pid());
  }
  f.processes.searches = 0;
  CHECK(f.registry.reap(f.processes, boottime_ms()).sessions == kMany);
  CHECK(f.processes.searches == 1);
}

TEST_CASE("a registry knows the key that it was told is whole, and no other") {
  Logins f;
  std::vector<std::uint8_t> key(64, 7), other = key;
  other[63] ^= 1;
  CHECK_FALSE(f.registry.is_whole_key(key));
  CHECK_FALSE(f.registry.is_whole_key(std::vector<std::uint8_t>(64)));
  f.registry.note_whole_key(key);
  CHECK(f.registry.is_whole_key(key));
  CHECK_FALSE(f.registry.is_whole_key(other));
  CHECK(Registry::open(f.dir / "site.reg", f.host)->is_whole_key(key));
  f.registry.note_whole_key(other);
  CHECK_FALSE(f.registry.is_whole_key(key));
}

TEST_CASE("a search under another configuration is not believed") {
  Logins f;
  REQUIRE(f.open("a", with_idle(1, 600)).admitted());
  const pid_t leader = f.last_pid();
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  // One that found nothing to come for as long as may be.
  mapped->shared().search.store(Widths::pack(SearchWord{1, coarse_ms() + kDeathCheck_ms}));
  f.processes.kill(leader);
  CHECK_FALSE(f.registry.admit(f.login("b", 3000), with_idle(1, 600), f.processes).admitted());
  Terms edited = with_idle(1, 600);
  edited.site.identity = 2;
  f.registry.publish_limit(f.registry.published_limit(), edited.site);
  CHECK(f.registry.admit(f.login("b", 3000), edited, f.processes).admitted());
}

TEST_CASE("what was written ahead of the clock by damage is not believed") {
  Logins f;
  const Terms one = terms_with(1);
  REQUIRE(f.open("a", one).admitted());
  f.processes.kill(f.last_pid());
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  mapped->shared().search.store(Widths::pack(SearchWord{1, coarse_ms() + 100 * kDeathCheck_ms}));
  CHECK(f.registry.admit(f.login("b", 3000), one, f.processes).admitted());
}
