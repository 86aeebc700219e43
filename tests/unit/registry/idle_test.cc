// When nobody uses a session, and its seat goes to somebody who waits.
#include "../../support/catch.h"
#include "logins.h"

using namespace sessreg;

TEST_CASE("an idle session yields its seat when somebody waits, and not before") {
  Logins f;
  const Terms two = with_idle(2, 60);
  const Admission a = f.open("a", two), b = f.open("b", two);
  f.make_idle(a.ref, 100);
  f.make_idle(b.ref, 200);
  CHECK(f.stage(b.ref) == Stage::seated);
  const Admission c = f.open("c", two);
  REQUIRE(c.admitted());
  CHECK(c.displaced.empty());
  CHECK(f.stage(b.ref) == Stage::parked);  // the stalest
  CHECK(f.stage(a.ref) == Stage::seated);
  CHECK(f.registry.count() == 2);
  CHECK(f.registry.counter(kParked) == 1);

  SECTION("and comes back when there is room, else not") {
    CHECK(f.registry.return_to_seat(b.ref, two, false).outcome == Outcome::site_full);
    CHECK(f.registry.release(c.ref));
    CHECK(f.registry.return_to_seat(b.ref, two, false).done());
    CHECK(f.stage(b.ref) == Stage::seated);
    CHECK(f.registry.counter(kReturned) == 1);
  }
  SECTION("but not if it was revoked meanwhile") {
    CHECK(f.registry.release(c.ref));
    CHECK(f.registry.mark_revoked(b.ref, "no more"));
    CHECK(f.registry.return_to_seat(b.ref, two, true).outcome == Outcome::gone);
    CHECK(f.registry.count() == 1);
  }
  SECTION("or over the limit where that is allowed") {
    CHECK(f.registry.return_to_seat(b.ref, two, true).done());
    CHECK(f.registry.count() == 3);
    CHECK(f.open("d", with_idle(2, 0)).refusal == Refusal::site_full);
  }
  SECTION("it comes back by itself when its terminal was typed on and a seat is free") {
    CHECK(f.registry.release(c.ref));
    Snapshot parked;
    REQUIRE(f.registry.snapshot(b.ref, parked));
    f.processes.type(static_cast<pid_t>(parked.record.leader_pid), now().realtime_ms);
    // Two want in, so that the table is searched: who was here before is first.
    CHECK(f.open("d", two).admitted());
    f.processes.type(2001, now().realtime_ms);  // a's
    CHECK(f.open("e", two).refusal == Refusal::site_full);
    CHECK(f.stage(b.ref) == Stage::parked);
  }
}

TEST_CASE("idle begins at exactly idle_after") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const Admission a = f.open("a", one);
  f.age(a.ref, 58'000);
  f.give_terminal(a.ref);
  CHECK(f.open("b", one).refusal == Refusal::site_full);
  f.age(a.ref, 2'000);
  f.give_terminal(a.ref);
  CHECK(f.open("b", one).admitted());
}

TEST_CASE("terminals are read before anybody is called idle") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const Admission a = f.open("a", one);
  const pid_t leader = f.last_pid();
  f.age(a.ref, 100'000);
  f.processes.type(leader, now().realtime_ms - 3'000);
  CHECK(f.open("b", one).refusal == Refusal::site_full);
  Snapshot session;
  REQUIRE(f.registry.snapshot(a.ref, session));
  CHECK(session.last_activity_ms + 10'000 > boottime_ms());  // and kept
}

TEST_CASE("without a terminal or a token nobody is idle or out of time") {
  Logins f;
  Terms one = with_idle(1, 60);
  one.ttl_s = 60;
  const Admission a = f.open("a", one);
  f.age(a.ref, 1'000'000);
  CHECK(f.open("b", one).refusal == Refusal::site_full);
  Snapshot session;
  REQUIRE(f.registry.snapshot(a.ref, session));
  CHECK_FALSE(expiry_ms(session, false));
  CHECK(expiry_ms(session, true) < boottime_ms());
  // A token that was shown once tells that it could be shown again.
  CHECK(f.registry.touch(a.ref, boottime_ms() - 900'000, UseIsTold::yes));
  CHECK(f.open("b", one).admitted());
}

TEST_CASE("a desktop is not idle because nobody types on a terminal of it") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const bool is_known_from_login = GENERATE(true, false);
  CAPTURE(is_known_from_login);
  const Admission desktop = is_known_from_login ? f.open_desktop("a", one) : f.open("a", one);
  const pid_t leader = f.last_pid();
  if (!is_known_from_login) f.processes.show_display(leader);
  f.make_idle(desktop.ref, 100);
  CHECK(f.open("b", one).refusal == Refusal::site_full);

  SECTION("but what is typed there is use") {
    const std::uint64_t typed_ms = boottime_ms() - 20'000;
    f.processes.type(leader, now().realtime_ms - 20'000);
    CHECK(f.open("b", one).refusal == Refusal::site_full);
    Snapshot session;
    REQUIRE(f.registry.snapshot(desktop.ref, session));
    CHECK(session.last_activity_ms + 1'000 >= typed_ms);
  }
  SECTION("but because somebody tells, until nobody does any more") {
    f.registry.note_daemon(getpid(), boottime_ms());
    REQUIRE(f.registry.touch(desktop.ref, boottime_ms() - 90'000, UseIsTold::yes));
    REQUIRE(f.registry.touch(desktop.ref, boottime_ms() - 90'000, UseIsTold::no));
    CHECK(f.open("b", one).refusal == Refusal::site_full);
    REQUIRE(f.registry.touch(desktop.ref, boottime_ms() - 90'000, UseIsTold::yes));
    REQUIRE(f.registry.touch(desktop.ref, boottime_ms() - 80'000));
    CHECK(f.open("b", one).admitted());
    CHECK(f.stage(desktop.ref) == Stage::parked);
  }
  SECTION("and what was told of it counts only while the daemon is at work") {
    REQUIRE(f.registry.touch(desktop.ref, boottime_ms() - 90'000, UseIsTold::yes));
    f.registry.note_daemon(getpid(), boottime_ms() - kDaemonSilence_ms - 1);
    CHECK((f.open("b", one).refusal == Refusal::site_full) == is_known_from_login);
  }
}

TEST_CASE("at its user's limit a desktop is spared where an unused shell can give way") {
  Logins f;
  Terms two = terms_with(-1, 2);
  two.evict_after_ms = 0;
  const Admission desktop = f.open_desktop("a", two);
  f.make_idle(desktop.ref, 2'000);
  const Admission shell = f.open("a", two);
  f.make_idle(shell.ref, 60);
  REQUIRE(f.open("a", two).admitted());
  CHECK(f.stage(shell.ref) == Stage::evicted);
  CHECK(f.stage(desktop.ref) == Stage::seated);
}

TEST_CASE("a clock that is set makes nobody idle, and keeps nobody for ever") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const Admission a = f.open("a", one);
  const pid_t leader = f.last_pid();
  f.age(a.ref, 100'000);
  const std::int64_t step_ms = GENERATE(-5 * 3'600'000, 5 * 3'600'000);
  CAPTURE(step_ms);
  // As if the clock had been set by that since the terminals were looked at last: then it was
  // `step_ms` less.
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  const Now at = now();
  const auto before = static_cast<std::uint64_t>(
      at.realtime_ms - static_cast<std::int64_t>(at.boottime_ms) - step_ms);
  mapped->shared().clock_offset_ms.store(before);
  SECTION("typed on just before it was set") {
    f.processes.type(leader, at.realtime_ms - step_ms - 3'000);
    CHECK(f.open("b", one).refusal == Refusal::site_full);
  }
  SECTION("typed on since") {
    f.processes.type(leader, at.realtime_ms - 3'000);
    CHECK(f.open("b", one).refusal == Refusal::site_full);
  }
  SECTION("typed on long before: it is idle") {
    f.processes.type(leader, at.realtime_ms - step_ms - 100'000);
    // What looks later by the new clock may count for it, but once only.
    f.open("b", one);
    f.age(a.ref, 100'000);
    if (f.stage(a.ref) == Stage::seated) CHECK(f.open("b", one).admitted());
    CHECK(f.stage(a.ref) == Stage::parked);
  }
}

TEST_CASE("above a lowered limit the idle are parked only if there are enough of them") {
  Logins f;
  std::vector<SlotRef> inside;
  for (int i = 0; i < 4; ++i)
    inside.push_back(f.open("u" + std::to_string(i), with_idle(4, 60)).ref);
  const Terms lowered = with_idle(2, 60);
  for (int i = 0; i < 2; ++i)
    f.make_idle(inside[static_cast<std::size_t>(i)], 100);
  CHECK(f.open("x", lowered).refusal == Refusal::site_full);
  CHECK(f.registry.count() == 4);
  f.make_idle(inside[2], 100);
  CHECK(f.open("x", lowered).admitted());
  CHECK(f.registry.count() == 2);
  CHECK(f.stage(inside[3]) == Stage::seated);
}

TEST_CASE("reserved seats are not had by an idle session's") {
  Logins f;
  Terms staff = with_idle(2, 60), other = with_idle(2, 60);
  staff.reserved_seats = other.reserved_seats = 1;
  other.may_use_reserved = false;
  const Admission a = f.open("admin", staff), b = f.open("admin2", staff);
  f.make_idle(a.ref, 100);
  CHECK(f.open("x", other).refusal == Refusal::site_full);
  CHECK(f.stage(a.ref) == Stage::seated);
  f.make_idle(b.ref, 100);
  CHECK(f.open("x", other).admitted());  // both had to give way
  CHECK(f.registry.count() == 1);
}

TEST_CASE("a reserved seat is for who returns, too, if it was for that user's login") {
  Logins f;
  Terms terms = with_idle(2, 60);
  terms.reserved_seats = 1;
  const bool may_use_it = GENERATE(true, false);
  Terms of_first = terms;
  of_first.may_use_reserved = may_use_it;
  const Admission first = f.open("a", of_first);
  REQUIRE(f.open("b", terms).admitted());
  f.make_idle(first.ref, 100);
  const Admission third = f.open("c", terms);
  REQUIRE(f.stage(first.ref) == Stage::parked);
  REQUIRE(f.registry.release(third.ref));
  const Decision back = f.registry.return_to_seat(first.ref, terms, false);
  CHECK(back.outcome == (may_use_it ? Outcome::done : Outcome::site_full));
}

TEST_CASE("at a group's limit only an idle session of the group gives way") {
  Logins f;
  Terms of_staff = with_idle(-1, 60);
  const auto staff = f.registry.group_index("staff", 1);
  of_staff.groups = {{*staff, 1}};
  const Admission outsider = f.open("x", with_idle(-1, 60));
  f.make_idle(outsider.ref, 500);
  const Admission member = f.open("a", of_staff);
  CHECK(f.open("b", of_staff).refusal == Refusal::group_full);
  f.make_idle(member.ref, 100);
  CHECK(f.open("b", of_staff).admitted());
  CHECK(f.stage(outsider.ref) == Stage::seated);
  CHECK(f.stage(member.ref) == Stage::parked);
}
