#include "registry/registry.h"

#include <algorithm>
#include <thread>

#include "../../support/catch.h"
#include "registry/gate.h"
#include "registry_fixture.h"

using namespace sessreg;

TEST_CASE("admits up to the limit and refuses the next with the reason") {
  Fixture f;
  CHECK(f.admit("a", limit_of(2)).admitted());
  const auto second = f.admit("b", limit_of(2));
  CHECK(second.admitted());
  CHECK(second.count == 2);
  const auto third = f.admit("c", limit_of(2));
  CHECK(third.refusal == Refusal::site_full);
  CHECK(third.limit == 2);
  CHECK(third.count == 2);
  CHECK(f.registry.count() == 2);
  CHECK(f.registry.counter(kAdmissions) == 2);
  CHECK(f.registry.counter(kRefusedSiteFull) == 1);
  CHECK(f.registry.counter(kHighWater) == 2);
}

TEST_CASE("a limit of 0 drains: the ones inside stay, nobody new is admitted") {
  Fixture f;
  const auto inside = f.admit("a", unlimited);
  CHECK(f.admit("b", limit_of(0)).refusal == Refusal::drain);
  Snapshot session;
  CHECK(f.registry.snapshot(inside.ref, session));
}

TEST_CASE("with -1 the capacity is the only bound, and its refusal has a reason of its own") {
  Fixture f(3);
  for (int i = 0; i < 3; ++i)
    CHECK(f.admit("a", unlimited).admitted());
  CHECK(f.admit("a", unlimited).refusal == Refusal::table_full);
  CHECK(f.registry.counter(kRefusedTableFull) == 1);
}

TEST_CASE("release gives the seat back once and never again") {
  Fixture f;
  const auto one = f.admit("a", limit_of(1));
  CHECK(f.registry.release(one.ref));
  CHECK_FALSE(f.registry.release(one.ref));
  CHECK(f.registry.count() == 0);
}

TEST_CASE("a reference to an earlier occupant of a slot does not reach the later one") {
  Fixture f(1);
  std::map<std::uint32_t, SlotRef> earlier;
  bool reused = false;
  for (int i = 0; i < 20'000 && !reused; ++i) {
    const auto session = f.admit("a", limit_of(1));
    REQUIRE(session.admitted());
    if (const auto it = earlier.find(session.ref.slot); it != earlier.end()) {
      reused = true;
      Snapshot other;
      CHECK_FALSE(f.registry.snapshot(it->second, other));
      CHECK_FALSE(f.registry.release(it->second));
      CHECK_FALSE(f.registry.touch(it->second, 1));
      CHECK_FALSE(f.registry.mark_revoked(it->second, "late"));
      CHECK(f.registry.snapshot(session.ref, other));
      CHECK(other.mark == MarkStage::none);
    }
    earlier[session.ref.slot] = session.ref;
    REQUIRE(f.registry.release(session.ref));
  }
  CHECK(reused);
}

TEST_CASE("bind keeps the seat, the id and the count") {
  Fixture f;
  const auto login = f.login("a");
  const auto reserved = f.reserve(login, limit_of(1));
  REQUIRE(reserved.admitted());
  CHECK(f.reserve(f.login("b", 2000), limit_of(1)).refusal == Refusal::site_full);
  const auto bound = f.registry.bind(reserved.ref, login, unlimited, f.processes);
  REQUIRE(bound);
  CHECK(bound->id == reserved.id);
  CHECK(bound->ref.slot != reserved.ref.slot);
  CHECK(f.registry.count() == 1);
  CHECK(f.listed() == 1);
  Snapshot session;
  REQUIRE(f.registry.snapshot(bound->ref, session));
  CHECK(session.record.kind == RecordKind::session);
  CHECK(text_of(session.record.user) == "a");
  CHECK_FALSE(f.registry.bind(reserved.ref, login, unlimited, f.processes));
}

TEST_CASE("bind works with every seat taken") {
  Fixture f(4);
  std::vector<std::pair<Login, Admission>> reserved;
  for (pid_t pid = 1000; pid < 1004; ++pid)
    reserved.emplace_back(f.login("a", pid), f.reserve(f.login("a", pid), unlimited));
  for (const auto& [login, admission] : reserved)
    CHECK(f.registry.bind(admission.ref, login, unlimited, f.processes));
  CHECK(f.registry.count() == 4);
}

TEST_CASE("another user or service cannot bind a reservation") {
  Fixture f;
  const auto reserved = f.reserve(f.login("a"), unlimited);
  CHECK_FALSE(f.registry.bind(reserved.ref, f.login("b"), unlimited, f.processes));
  Login other_service = f.login("a");
  other_service.service = "login";
  CHECK_FALSE(f.registry.bind(reserved.ref, other_service, unlimited, f.processes));
  CHECK(f.registry.bind(reserved.ref, f.login("a"), unlimited, f.processes));
}

TEST_CASE("the parent of a maker that has exited finds the reservation") {
  Fixture f;
  const auto reserved = f.reserve(f.login("a", 2000, 1000), unlimited);
  f.processes.kill(2000);
  std::vector<SlotRef> strays;
  CHECK(f.registry.find_reservation(f.login("a", 1000), strays) == reserved.ref);
  CHECK(strays.empty());
  // but nobody else does
  CHECK_FALSE(f.registry.find_reservation(f.login("a", 3000), strays));
  CHECK_FALSE(f.registry.find_reservation(f.login("b", 1000), strays));
}

TEST_CASE("a login binds the reservation that it inherited, and no other one of its maker") {
  Fixture f;
  const auto reserved = f.reserve(f.login("a", 1000), unlimited);
  const auto another = f.reserve(f.login("a", 1000), unlimited);
  Login opener = f.login("a", 2000);
  CHECK_FALSE(f.registry.is_reservation_of(reserved.ref, opener));
  opener.inherited = reserved.ref;
  CHECK(f.registry.is_reservation_of(reserved.ref, opener));
  CHECK_FALSE(f.registry.is_reservation_of(another.ref, opener));
  Login of_other_user = f.login("b", 2000);
  of_other_user.inherited = reserved.ref;
  CHECK_FALSE(f.registry.is_reservation_of(reserved.ref, of_other_user));
  const auto bound = f.registry.bind(reserved.ref, opener, unlimited, f.processes);
  REQUIRE(bound);
  std::vector<SlotRef> strays;
  CHECK_FALSE(f.registry.find_reservation(opener, strays));
}

TEST_CASE("two connections of one listener do not bind each other's reservations") {
  Fixture f;
  Login first = f.login("a", 2000, 1000), second = f.login("a", 2001, 1000);
  first.connection = "192.0.2.1 1111 192.0.2.9 22";
  second.connection = "192.0.2.1 2222 192.0.2.9 22";
  const auto one = f.reserve(first, unlimited);
  const auto two = f.reserve(second, unlimited);
  Login opener = f.login("a", 1000);
  std::vector<SlotRef> strays;
  opener.connection = second.connection;
  CHECK(f.registry.find_reservation(opener, strays) == two.ref);
  opener.connection = first.connection;
  CHECK(f.registry.find_reservation(opener, strays) == one.ref);
}

TEST_CASE("reservations that a process made for other users are found as strays") {
  Fixture f;
  const auto reserved = f.reserve(f.login("a"), unlimited);
  std::vector<SlotRef> strays;
  CHECK_FALSE(f.registry.find_reservation(f.login("b"), strays));
  CHECK(strays == std::vector{reserved.ref});
}

TEST_CASE("what a process reserved for another of its services, or another process, is no stray") {
  Fixture f;
  Login of_sudo = f.login("a");
  of_sudo.service = "sudo";
  REQUIRE(f.reserve(of_sudo, unlimited).admitted());
  REQUIRE(f.reserve(f.login("a", 2000), unlimited).admitted());
  std::vector<SlotRef> strays;
  CHECK_FALSE(f.registry.find_reservation(f.login("b"), strays));
  CHECK(strays.empty());
}

TEST_CASE("a session has the user's limit that its login was measured by") {
  Fixture f;
  Terms two(unlimited);
  two.user_limit = 2;
  f.registry.publish_limit(f.registry.published_limit(), unlimited);
  const auto reserved = f.registry.reserve(f.login("a"), two, f.processes, ~0ull);
  // Edited in between.
  const auto bound = f.registry.bind(reserved.ref, f.login("a"), Terms(unlimited), f.processes);
  REQUIRE(bound);
  Snapshot session;
  REQUIRE(f.registry.snapshot(bound->ref, session));
  CHECK(session.record.user_limit == 2);
}

TEST_CASE("a session is over when its leader and all processes of its sid are gone") {
  Fixture f;
  f.admit("a", limit_of(1), 1000);
  f.processes.kill(1000);
  f.processes.leave_running(1000);
  CHECK(f.admit("b", limit_of(1)).refusal == Refusal::site_full);
  CHECK_FALSE(f.registry.reap(f.processes, now().boottime_ms).any());
  f.processes.end_session(1000);
  CHECK(f.admit("b", limit_of(1), 2000).admitted());
  CHECK(f.registry.count() == 1);
  CHECK(f.registry.counter(kReapedSessions) == 1);
}

TEST_CASE("a leader whose pid was given to somebody else is dead without a search of /proc") {
  Fixture f;
  f.admit("a", limit_of(1), 1000);
  f.processes.reuse(1000);
  f.processes.leave_running(1000);  // the other process's own session
  CHECK(f.registry.reap(f.processes, now().boottime_ms).sessions == 1);
  CHECK(f.processes.searches == 0);
}

TEST_CASE("a reservation ends at its time, to the millisecond") {
  Fixture f;
  const auto before = now().boottime_ms;
  f.registry.publish_limit(f.registry.published_limit(), unlimited);
  f.registry.reserve(f.login("a"), unlimited, f.processes, before + 5000);
  CHECK_FALSE(f.registry.reap(f.processes, before + 4999).any());
  CHECK(f.registry.reap(f.processes, before + 5000).reservations == 1);
  CHECK(f.registry.count() == 0);
}

TEST_CASE("a reservation outlives its maker by the grace time, for the maker's parent") {
  Fixture f;
  const auto reserved = f.reserve(f.login("a", 2000, 1000), unlimited);
  f.processes.kill(2000);
  Snapshot held;
  REQUIRE(f.registry.snapshot(reserved.ref, held));
  const auto made = held.record.opened_boottime_ms;
  CHECK_FALSE(f.registry.reap(f.processes, made + kMakerDeathGrace_ms - 1).any());
  CHECK(f.registry.reap(f.processes, made + kMakerDeathGrace_ms).reservations == 1);
}

TEST_CASE("a reservation whose maker and maker's parent are gone is nobody's to bind") {
  Fixture f;
  f.reserve(f.login("a", 2000, 1000), unlimited);
  f.processes.kill(2000);
  f.processes.kill(1000);
  CHECK(f.registry.reap(f.processes, now().boottime_ms).reservations == 1);
}

TEST_CASE("release_reservation never touches a session") {
  Fixture f;
  const auto session = f.admit("a", unlimited);
  CHECK_FALSE(f.registry.release_reservation(session.ref));
  CHECK(f.registry.count() == 1);
}

TEST_CASE("an exempt session is listed, holds no seat, and goes with its processes") {
  Fixture f;
  Admission listed;
  REQUIRE(f.registry.list_exempt(f.login("root", 1000), listed));
  CHECK(f.registry.count() == 0);
  CHECK(f.listed() == 1);
  f.processes.kill(1000);
  CHECK(f.registry.reap(f.processes, now().boottime_ms).sessions == 1);
  CHECK(f.listed() == 0);
}

TEST_CASE("lowering the limit blocks newcomers and throws nobody out") {
  Fixture f;
  for (int i = 0; i < 5; ++i)
    f.admit("a", limit_of(5));
  f.registry.set_override(3);
  CHECK(f.registry.count() == 5);
  CHECK(f.registry.limit_in_force(5) == 3);
  const auto refused = f.admit("b", limit_of(5));
  CHECK(refused.refusal == Refusal::site_full);
  CHECK(refused.limit == 3);
  f.registry.set_override(std::nullopt);
  CHECK(f.registry.limit_in_force(5) == 5);
  f.registry.set_override(6);
  CHECK(f.admit("b", limit_of(5)).admitted());
}

TEST_CASE("a login with another configuration than the registry's is told to read it again") {
  Fixture f;
  f.registry.publish_limit(f.registry.published_limit(), {7, 1});
  const auto stale = f.registry.admit(f.login("a"), ConfiguredLimit{8, 5}, f.processes);
  CHECK(stale.stale_configuration);
  CHECK_FALSE(stale.admitted());
  CHECK(f.registry.count() == 0);
  CHECK(f.registry.admit(f.login("a"), ConfiguredLimit{7, 1}, f.processes).admitted());
}

TEST_CASE("activity only moves forward") {
  Fixture f;
  const auto session = f.admit("a", unlimited);
  const auto later = now().boottime_ms + 60'000;
  CHECK(f.registry.touch(session.ref, later));
  CHECK(f.registry.touch(session.ref, later - 30'000));
  Snapshot seen;
  REQUIRE(f.registry.snapshot(session.ref, seen));
  CHECK(seen.last_activity_ms == later / kActivityUnit_ms * kActivityUnit_ms);
}

TEST_CASE("the first revocation's reason stays, cut at a character") {
  Fixture f;
  const auto session = f.admit("a", unlimited);
  std::string reason(kReasonBytes - 1, 'x');
  reason += "\u00e9";
  CHECK(f.registry.mark_revoked(session.ref, reason));
  CHECK(f.registry.mark_revoked(session.ref, "a second one"));
  Snapshot seen;
  REQUIRE(f.registry.snapshot(session.ref, seen));
  CHECK(seen.mark == MarkStage::revoked);
  CHECK(reason_of(seen) == std::string(kReasonBytes - 1, 'x'));
}

TEST_CASE("a mark by its user gives way to one by others, which leaves the reason") {
  Fixture f;
  const auto session = f.admit("a", unlimited);
  const auto mark = [&] {
    Snapshot seen;
    REQUIRE(f.registry.snapshot(session.ref, seen));
    CHECK(reason_of(seen) == "mine");
    return seen.mark;
  };
  CHECK(f.registry.mark_revoked(session.ref, "mine", 7, MarkStage::revoked_by_its_user));
  CHECK(mark() == MarkStage::revoked_by_its_user);
  CHECK(f.registry.mark_revoked(session.ref, "again", 7, MarkStage::revoked_by_its_user));
  CHECK(mark() == MarkStage::revoked_by_its_user);
  CHECK(f.registry.mark_revoked(session.ref, "the host's"));
  CHECK(mark() == MarkStage::revoked);
  CHECK(f.registry.mark_revoked(session.ref, "again", 7, MarkStage::revoked_by_its_user));
  CHECK(mark() == MarkStage::revoked);
}

TEST_CASE("a session that is vacated has no seat and no claim to one, and is listed") {
  Fixture f;
  Terms terms(limit_of(1));
  terms.idle_after_s = terms.shortest_idle_s = 1;
  const std::uint32_t group = *f.registry.group_index("g", 5);
  terms.groups = {{group, 5}};
  f.registry.publish_limit(f.registry.published_limit(), limit_of(1));
  const auto session = f.registry.admit(f.login("a"), terms, f.processes);
  REQUIRE(session.admitted());
  REQUIRE(f.registry.mark_revoked(session.ref, "enough"));
  SECTION("a seated one") {}
  SECTION("one whose seat a reservation has taken, which then ends") {
    REQUIRE(f.registry.touch(session.ref, 1, UseIsTold::yes));
    f.age(session.ref, 60'000);
    const auto other =
        f.registry.reserve(f.login("b", 1001), terms, f.processes, ~std::uint64_t{0});
    REQUIRE(other.admitted());
    REQUIRE(f.stage(session.ref) == Stage::parked);
    CHECK(f.registry.vacate(session.ref));
    CHECK(f.registry.count() == 1);
    CHECK(f.registry.release_reservation(other.ref));
  }
  CHECK(f.registry.vacate(session.ref));
  CHECK(f.stage(session.ref) == Stage::evicted);
  CHECK(f.registry.count() == 0);
  CHECK(f.registry.vacate(session.ref));
  CHECK(f.registry.return_to_seat(session.ref, terms, true).outcome == Outcome::gone);
  CHECK(f.registry.admit(f.login("c", 1002), terms, f.processes).admitted());
  CHECK(f.registry.release(session.ref));
  CHECK_FALSE(f.registry.vacate(session.ref));
}

TEST_CASE("a session in its service's own process is out of its seat when its time is up") {
  Fixture f;
  Terms terms(limit_of(2));
  terms.lifetime_ms = 1000;
  f.registry.publish_limit(f.registry.published_limit(), limit_of(2));
  Login shared = f.login("a", 1000), own = f.login("b", 1001);
  shared.has_shared_leader = true;
  const auto in_service = f.registry.admit(shared, terms, f.processes);
  const auto in_own = f.registry.admit(own, terms, f.processes);
  const std::uint64_t opened_ms = now().boottime_ms;
  f.registry.reap(f.processes, opened_ms + 900);
  CHECK(f.registry.count() == 2);
  f.registry.reap(f.processes, opened_ms + 1100);
  CHECK(f.registry.count() == 1);
  CHECK(f.stage(in_own.ref) == Stage::seated);
  Snapshot seen;
  REQUIRE(f.registry.snapshot(in_service.ref, seen));
  CHECK(seen.state.stage == Stage::evicted);
  CHECK(reason_of(seen) == "its lifetime is over");
}

TEST_CASE("threads that come and go at once never exceed the limit, and leave nothing behind") {
  Fixture f;
  constexpr std::int32_t kLimit = 3;
  constexpr int kThreads = 8, kTurns = 2000;
  f.registry.publish_limit(f.registry.published_limit(), limit_of(kLimit));
  std::atomic<int> inside{0}, highest{0}, admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Registry mine = std::move(*Registry::open(f.dir / "site.reg", f.host));
      for (int i = 0; i < kTurns; ++i) {
        const auto login = f.login("u" + std::to_string(t), 1000 + t);
        auto seat = mine.reserve(login, limit_of(kLimit), f.processes, ~std::uint64_t{0});
        if (!seat.admitted()) continue;
        const int now_inside = ++inside;
        for (int seen = highest;
             seen < now_inside && !highest.compare_exchange_weak(seen, now_inside);) {
        }
        ++admitted;
        if (i % 2 == 0) {
          const auto bound = mine.bind(seat.ref, login, unlimited, f.processes);
          if (bound) seat = *bound;
        }
        --inside;
        mine.release(seat.ref);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(highest <= kLimit);
  CHECK(admitted >= kTurns);
  CHECK(f.registry.count() == 0);
  CHECK(f.listed() == 0);
}

TEST_CASE("one search finds the seat of a process that died right after its gate operation") {
  Fixture f;
  f.registry.publish_limit(f.registry.published_limit(), unlimited);
  // By hand, as that process would: claim, record, gate, and no settling.
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  REQUIRE(mapped);
  Gate<ProcessAtom> gate(mapped->shared(), mapped->slots(), mapped->header().capacity);
  RecordImage record{};
  record.kind = RecordKind::session;
  record.leader_pid = 3000;
  record.leader_start_ticks = 100;
  record.victim_slot = kNoSlot;
  const auto claim = gate.table().claim(5, record.user_hash, {3000, 1});
  REQUIRE(claim);
  gate.table().write_record(*claim, record);
  mapped->shared().gate.store(
      gate.widths().pack(GateWord{1, claim->slot, claim->epoch, GateOp::add}));
  f.processes.kill(3000);
  CHECK(f.registry.reap(f.processes, now().boottime_ms).sessions == 1);
  CHECK(f.registry.count() == 0);
}

TEST_CASE(
    "a claimer whose start time is not known is not taken for dead as long as its pid lives") {
  Fixture f;
  constexpr std::uint32_t kPid = 3000, kSlot = 7;
  // A hash of 0: it did not know its own start time.
  const std::uint32_t hash = GENERATE(0u, 5u);
  auto mapped = open_registry_file(f.dir / "site.reg", f.host);
  const Widths widths(f.registry.slots());
  mapped->slots()[kSlot].state.store(widths.pack(StateWord{Stage::claimed, 1, kPid, hash}));
  if (hash != 0) f.processes.hide_start(kPid);
  CHECK_FALSE(f.registry.reap(f.processes, now().boottime_ms).any());
  CHECK_FALSE(f.registry.is_free(kSlot));
  f.processes.kill(kPid);
  CHECK(f.registry.reap(f.processes, now().boottime_ms).claims == 1);
  CHECK(f.registry.is_free(kSlot));
}
