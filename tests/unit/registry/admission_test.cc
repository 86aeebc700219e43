// What is tried before a login is refused: the dead, the user's own sessions, slow logins.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <random>

#include "../../support/catch.h"
#include "../../support/version2.h"
#include "logins.h"

using namespace sessreg;

TEST_CASE("a session without a home stands beside its reservation") {
  Logins f(4096);
  for (int i = 0; i < 8; ++i) {
    const Admission reserved = f.reserve_for("a", unlimited);
    const auto bound =
        f.registry.bind(reserved.ref, f.login("a", f.last_pid()), unlimited, f.processes);
    REQUIRE(bound);
    CHECK((bound->ref.slot - reserved.ref.slot) % f.registry.slots() <= 8);
  }
}

TEST_CASE("a user's limit holds for that user alone") {
  Logins f;
  const Terms one = terms_with(-1, 1);
  CHECK(f.open("a", one).admitted());
  const Admission second = f.open("a", one);
  CHECK(second.refusal == Refusal::user_full);
  CHECK(second.limit == 1);
  CHECK(second.count == 1);
  CHECK(f.open("b", one).admitted());
  CHECK(f.registry.counter(kRefusedUserFull) == 1);
}

TEST_CASE("sessions from before a user had a limit count in it") {
  Logins f;
  for (int i = 0; i < 20; ++i)
    REQUIRE(f.open("git", unlimited).admitted());
  CHECK(f.open("git", terms_with(-1, 20)).refusal == Refusal::user_full);
  CHECK(f.open("git", terms_with(-1, 21)).admitted());
}

TEST_CASE("a user's dead sessions are found at that user's limit") {
  Logins f;
  const Terms one = terms_with(-1, 1);
  CHECK(f.open("a", one).admitted());
  f.processes.kill(f.last_pid());
  CHECK(f.open("a", one).admitted());
}

TEST_CASE("at the user's limit the stalest session gives way and nobody can take the seat") {
  Logins f;
  Terms two = terms_with(2, 2);
  two.evict_after_ms = 0;
  const Admission older = f.open("a", two);
  const Admission newer = f.open("a", two);
  f.age(older.ref, 5000);
  f.age(newer.ref, 1000);

  SECTION("at once where no reservation was made") {
    const Admission newest = f.open("a", two);
    REQUIRE(newest.admitted());
    REQUIRE(newest.displaced.size() == 1);
    CHECK(newest.displaced[0].session.ref == older.ref);
    CHECK(newest.displaced[0].why == Displaced::Why::evicted);
    CHECK(f.stage(older.ref) == Stage::evicted);
    CHECK(f.stage(newer.ref) == Stage::seated);
    CHECK(f.registry.count() == 2);
    CHECK(f.registry.return_to_seat(older.ref, two, true).outcome == Outcome::gone);
  }
  SECTION("for good when the reservation is bound") {
    const Admission reserved = f.reserve_for("a", two);
    REQUIRE(reserved.admitted());
    CHECK(reserved.displaced.empty());
    CHECK(f.stage(older.ref) == Stage::parked);
    const auto bound = f.registry.bind(reserved.ref, f.login("a", f.last_pid()), two, f.processes);
    REQUIRE(bound);
    REQUIRE(bound->displaced.size() == 1);
    CHECK(bound->displaced[0].session.ref == older.ref);
    CHECK(f.stage(older.ref) == Stage::evicted);
    CHECK(f.registry.count() == 2);
  }
  SECTION("and has its seat again when the reservation ends unbound") {
    const Admission reserved = f.reserve_for("a", two);
    CHECK(f.registry.release_reservation(reserved.ref));
    CHECK(f.stage(older.ref) == Stage::seated);
    CHECK(f.registry.count() == 2);
  }
  SECTION("likewise when its maker dies") {
    f.reserve_for("a", two);
    f.processes.kill(f.last_pid());
    f.processes.kill(1);
    CHECK(f.registry.reap(f.processes, boottime_ms()).reservations == 1);
    CHECK(f.stage(older.ref) == Stage::seated);
  }
}

TEST_CASE("eviction takes the unused shell, and spares the upload that nobody sees the use of") {
  Logins f;
  Terms three = terms_with(-1, 3);
  three.evict_after_ms = 0;
  const Admission upload = f.open("a", three);
  const Admission later_upload = f.open("a", three);
  const Admission shell = f.open("a", three);
  f.age(upload.ref, 200'000);
  f.age(later_upload.ref, 150'000);
  f.make_idle(shell.ref, 60);
  CHECK(f.registry.foresee(f.login("a", 9000), three, f.processes).displaced.at(0).session.ref ==
        shell.ref);

  SECTION("at once") {
    CHECK(f.open("a", three).displaced.at(0).session.ref == shell.ref);
    CHECK(f.stage(upload.ref) == Stage::seated);
    // Of those that nobody can see the use of, the one that was opened first.
    CHECK(f.open("a", three).displaced.at(0).session.ref == upload.ref);
    CHECK(f.stage(later_upload.ref) == Stage::seated);
  }
  SECTION("until the newcomer's session is open") {
    CHECK(f.reserve_for("a", three).admitted());
    CHECK(f.stage(shell.ref) == Stage::parked);
    CHECK(f.stage(upload.ref) == Stage::seated);
  }
  SECTION("above a limit that was lowered, too") {
    Terms two = terms_with(-1, 2);
    two.evict_after_ms = 0;
    CHECK(f.open("a", two).admitted());
    CHECK(f.stage(shell.ref) == Stage::evicted);
    CHECK(f.stage(upload.ref) == Stage::parked);
    CHECK(f.stage(later_upload.ref) == Stage::seated);
  }
  SECTION("a token that was shown tells how long it was not used") {
    f.registry.touch(later_upload.ref, boottime_ms() - 100'000, UseIsTold::yes);
    CHECK(f.open("a", three).displaced.at(0).session.ref == later_upload.ref);
  }
}

TEST_CASE("a seat is not given back over the limit of its user") {
  Logins f;
  Terms one = terms_with(-1, 1);
  one.evict_after_ms = 0;
  const Admission older = f.open("a", one);
  const Admission reserved = f.reserve_for("a", one);
  REQUIRE(reserved.admitted());
  // Somebody raised the limit, and a session came in.
  CHECK(f.open("a", terms_with(-1, 2)).admitted());
  CHECK(f.registry.release_reservation(reserved.ref));
  CHECK(f.stage(older.ref) == Stage::parked);
  CHECK(f.registry.count() == 1);
}

TEST_CASE("the lock holds until exactly user_lock has passed since the older session was opened") {
  Logins f;
  Terms one = terms_with(-1, 1);
  one.evict_after_ms = 300'000;
  const Admission older = f.open("a", one);
  f.age(older.ref, 200'000);
  const Admission locked = f.open("a", one);
  CHECK(locked.refusal == Refusal::locked);
  CHECK(locked.wait_ms > 90'000);
  CHECK(locked.wait_ms <= 100'000);
  CHECK(f.registry.counter(kRefusedLocked) == 1);
  f.age(older.ref, 99'000);
  CHECK(f.open("a", one).refusal == Refusal::locked);
  f.age(older.ref, 1'000);
  CHECK(f.open("a", one).admitted());
  CHECK(f.stage(older.ref) == Stage::evicted);
}

TEST_CASE("a login under way is not evicted by another of the same user") {
  Logins f;
  Terms one = terms_with(-1, 1);
  one.evict_after_ms = 0;
  const Admission older = f.open("a", one);
  CHECK(f.reserve_for("a", one).admitted());
  CHECK(f.reserve_for("a", one).refusal == Refusal::user_full);
  CHECK(f.stage(older.ref) == Stage::parked);
}

TEST_CASE("a user above a lowered limit gets in by evicting, and is within it then") {
  Logins f;
  std::vector<SlotRef> older;
  for (int i = 0; i < 3; ++i) {
    older.push_back(f.open("a", terms_with(-1, 3)).ref);
    f.age(older.back(), 10'000 - static_cast<std::uint64_t>(i) * 1000);
  }
  Terms one = terms_with(-1, 1);
  one.evict_after_ms = 0;
  CHECK(f.open("a", one).admitted());
  CHECK(f.registry.count() == 1);
  CHECK(f.stage(older[0]) == Stage::evicted);
  CHECK(f.stage(older[1]) == Stage::parked);
  CHECK(f.stage(older[2]) == Stage::parked);
}

TEST_CASE("a login that may come to nothing takes only what it can give back") {
  Logins f;
  std::vector<SlotRef> inside;
  for (int i = 0; i < 3; ++i) {
    inside.push_back(f.open("a", with_idle(-1, 60)).ref);
    f.make_idle(inside.back(), 300 - static_cast<std::uint64_t>(i) * 100);
  }
  Terms lowered = with_idle(-1, 60);
  std::string newcomer = "a";
  SECTION("of a user above a lowered limit, evicting") {
    lowered.user_limit = 2;
    lowered.evict_after_ms = 0;
    lowered.idle_after_s = lowered.shortest_idle_s = 0;
  }
  SECTION("of a user above a lowered limit, parking the idle") {
    lowered.user_limit = 2;
  }
  SECTION("of a site above a lowered limit") {
    lowered.site = limit_of(2);
    newcomer = "b";
  }
  const Admission login = f.reserve_for(newcomer, lowered);
  CHECK(login.admitted());
  CHECK(login.deferred);
  CHECK(login.ref == SlotRef{});
  CHECK(login.displaced.empty());
  CHECK(f.registry.count() == 3);
  CHECK(f.listed() == 3);
  CHECK(f.registry.counter(kAdmissions) == 3);
  // Its session does what has to be done, and is within the limit then.
  CHECK(f.open(newcomer, lowered).admitted());
  CHECK(f.registry.count() == 2);
  CHECK(f.stage(inside[2]) == Stage::seated);
}

TEST_CASE("a return waits for logins that hold what it might have, and for no others") {
  Logins f;
  Terms terms = with_idle(2, 60);
  const auto staff = f.registry.group_index("staff", 1);
  SECTION("at the site's limit") {
    const Admission parked = f.open("a", terms);
    f.make_idle(parked.ref, 100);
    f.open("b", terms);
    const Admission login = f.reserve_for("c", terms);
    REQUIRE(f.stage(parked.ref) == Stage::parked);
    Snapshot session;
    REQUIRE(f.registry.snapshot(parked.ref, session));
    const Decision refused = f.registry.return_to_seat(parked.ref, terms, false);
    CHECK(refused.outcome == Outcome::site_full);
    CHECK(f.registry.waits_for_logins(session, refused, terms));
    // Even without that login the last seat would be another's.
    Terms held_back = terms;
    held_back.reserved_seats = 1;
    held_back.may_use_reserved = false;
    session.record.flags = RecordFlags::none;
    CHECK_FALSE(f.registry.waits_for_logins(session, refused, held_back));
    REQUIRE(f.registry.bind(login.ref, f.login("c", f.last_pid()), terms, f.processes)->admitted());
    CHECK_FALSE(f.registry.waits_for_logins(session, refused, terms));
  }
  SECTION("at the user's limit") {
    Terms one = terms_with(-1, 1);
    one.evict_after_ms = 0;
    const Admission parked = f.open("a", one);
    const Admission login = f.reserve_for("a", one);
    f.reserve_for("b", one);
    Snapshot session;
    REQUIRE(f.registry.snapshot(parked.ref, session));
    const Decision refused = f.registry.return_to_seat(parked.ref, one, false);
    CHECK(refused.outcome == Outcome::user_full);
    CHECK(f.registry.waits_for_logins(session, refused, one));
    // That of another user is in nobody's way here.
    REQUIRE(f.registry.release(login.ref));
    REQUIRE(f.registry.snapshot(parked.ref, session));
    CHECK_FALSE(f.registry.waits_for_logins(session, {Outcome::user_full, 1, 1}, one));
  }
  SECTION("at a group's limit") {
    Terms of_staff = with_idle(-1, 60);
    of_staff.groups = {{*staff, 1}};
    const Admission parked = f.open("a", of_staff);
    f.make_idle(parked.ref, 100);
    const Admission login = f.reserve_for("b", of_staff);
    f.reserve_for("c", with_idle(-1, 60));
    Snapshot session;
    REQUIRE(f.registry.snapshot(parked.ref, session));
    const Decision refused = f.registry.return_to_seat(parked.ref, of_staff, false);
    CHECK(refused.outcome == Outcome::group_full);
    CHECK(f.registry.waits_for_logins(session, refused, of_staff));
    REQUIRE(f.registry.release(login.ref));
    CHECK_FALSE(f.registry.waits_for_logins(session, refused, of_staff));
  }
}

TEST_CASE("who does not open a session within three seconds gives way to who would be refused") {
  Logins f;
  const Terms one = terms_with(1);
  const Admission slow = f.reserve_for("a", one);
  const Login its_login = f.login("a", f.last_pid());
  f.age(slow.ref, kReservationYields_ms - 1000);
  CHECK(f.open("b", one).refusal == Refusal::site_full);
  CHECK(f.registry.foresee(f.login("b", 9000), one, f.processes).refusal == Refusal::site_full);
  f.age(slow.ref, 1000);
  f.forget_last_search();
  CHECK(f.registry.foresee(f.login("b", 9000), one, f.processes).admitted());
  CHECK(f.registry.is_reservation_of(slow.ref, its_login));
  const Admission newcomer = f.reserve_for("b", one);
  CHECK(newcomer.admitted());
  CHECK(newcomer.displaced.empty());
  CHECK(f.registry.count() == 1);
  CHECK(f.registry.counter(kReapedReservations) == 1);
  // Its own login needs a seat anew.
  CHECK_FALSE(f.registry.bind(slow.ref, its_login, one, f.processes));
  CHECK(f.open("a", one).refusal == Refusal::site_full);
  CHECK(f.registry.release_reservation(newcomer.ref));
  CHECK(f.open("a", one).admitted());
}

TEST_CASE("of whom has most slow logins one gives way, the oldest, and no more than is needed") {
  Logins f;
  const Terms five = terms_with(5);
  std::map<std::string, std::vector<SlotRef>> slow;
  std::uint64_t age_ms = 60'000;
  for (const char* user : {"a", "a", "b", "b", "b"}) {
    slow[user].push_back(f.reserve_for(user, five).ref);
    f.age(slow[user].back(), age_ms -= 1000);
  }
  const auto left_of = [&](const std::string& user) {
    std::string left;
    for (const SlotRef& ref : slow[user])
      left += f.stage(ref) == Stage::seated ? 'x' : '-';
    return left;
  };
  CHECK(f.open("c", five).admitted());
  CHECK(left_of("a") == "xx");
  CHECK(left_of("b") == "-xx");
  // Of two who have as many, the oldest.
  CHECK(f.open("c", five).admitted());
  CHECK(left_of("a") == "-x");
  CHECK(f.open("c", five).admitted());
  CHECK(left_of("b") == "--x");
  CHECK(f.registry.count() == 5);
}

TEST_CASE("who has most logins on their way is told by uid, and the young ones count") {
  Logins f;
  const Terms four = terms_with(4);
  const auto reserve = [&](const std::string& user, std::uint64_t age_ms) {
    const SlotRef ref = f.reserve_for(user, four).ref;
    f.age(ref, age_ms);
    return ref;
  };
  SECTION("though the name is written in two ways") {
    const SlotRef other = reserve("o", 9000);
    const SlotRef first = reserve("Stranger", 7000), second = reserve("stranger", 8000);
    REQUIRE(f.open("c", four).admitted());
    CHECK(f.open("c", four).admitted());
    CHECK(f.stage(second) == Stage::free);
    CHECK(f.stage(first) == Stage::seated);
    CHECK(f.stage(other) == Stage::seated);
  }
  SECTION("though most of them are younger than three seconds") {
    const SlotRef other = reserve("o", 9000);
    const SlotRef slow = reserve("stranger", 4000);
    REQUIRE(f.reserve_for("stranger", four).admitted());
    REQUIRE(f.reserve_for("stranger", four).admitted());
    CHECK(f.open("c", four).admitted());
    CHECK(f.stage(slow) == Stage::free);
    CHECK(f.stage(other) == Stage::seated);
    // Then there is one that is slow, whoever has most.
    CHECK(f.open("c", four).admitted());
    CHECK(f.stage(other) == Stage::free);
    CHECK(f.open("c", four).refusal == Refusal::site_full);
  }
  SECTION("and by name where there is none") {
    const SlotRef first = reserve("nobody", 9000), second = reserve("nobody else", 9000);
    const SlotRef one = reserve("x", 5000), two = reserve("x", 6000);
    CHECK(f.open("c", four).admitted());
    CHECK(f.stage(two) == Stage::free);
    for (const SlotRef& ref : {first, second, one})
      CHECK(f.stage(ref) == Stage::seated);
  }
}

TEST_CASE("a slow login gives way only where that helps") {
  Logins f;
  const Terms all = terms_with(2);
  SECTION("not while there is room, nor where an idle session yields") {
    const Admission slow = f.reserve_for("a", with_idle(2, 60));
    f.age(slow.ref, 5000);
    const Admission idle = f.open("b", with_idle(2, 60));
    CHECK(f.stage(slow.ref) == Stage::seated);
    f.make_idle(idle.ref, 100);
    CHECK(f.open("c", with_idle(2, 60)).admitted());
    CHECK(f.stage(slow.ref) == Stage::seated);
    CHECK(f.stage(idle.ref) == Stage::parked);
  }
  SECTION("not another user's at a user's limit") {
    const Admission slow = f.reserve_for("a", all);
    f.age(slow.ref, 5000);
    REQUIRE(f.open("b", terms_with(2, 1)).admitted());
    CHECK(f.open("b", terms_with(2, 1)).refusal == Refusal::user_full);
    CHECK(f.stage(slow.ref) == Stage::seated);
    // The user's own does, though the site is full, too.
    CHECK(f.open("a", terms_with(2, 1)).admitted());
    CHECK(f.stage(slow.ref) == Stage::free);
  }
  SECTION("not another group's at a group's limit") {
    const auto staff = f.registry.group_index("staff", 1);
    Terms of_staff = terms_with(-1);
    of_staff.groups = {{*staff, 1}};
    const Admission outsider = f.reserve_for("x", terms_with(-1));
    f.age(outsider.ref, 9000);
    const Admission member = f.reserve_for("a", of_staff);
    CHECK(f.open("b", of_staff).refusal == Refusal::group_full);
    f.age(member.ref, 5000);
    CHECK(f.open("b", of_staff).admitted());
    CHECK(f.stage(outsider.ref) == Stage::seated);
    CHECK(f.stage(member.ref) == Stage::free);
  }
  SECTION("not where seats are held back all the same") {
    const Admission slow = f.reserve_for("a", all);
    f.age(slow.ref, 5000);
    REQUIRE(f.open("b", all).admitted());
    Terms held_back = all;
    held_back.reserved_seats = 1;
    held_back.may_use_reserved = false;
    CHECK(f.open("c", held_back).refusal == Refusal::site_full);
    CHECK(f.stage(slow.ref) == Stage::seated);
  }
  SECTION("nor in a site that is closed to new logins") {
    const Admission slow = f.reserve_for("a", all);
    f.age(slow.ref, 5000);
    CHECK(f.open("c", terms_with(0)).refusal == Refusal::drain);
    CHECK(f.stage(slow.ref) == Stage::seated);
  }
}

TEST_CASE("a slow login that gives way gives back what it had taken") {
  Logins f;
  SECTION("to whom it would have evicted, and that one to who is entitled to it") {
    Terms one = terms_with(1, 1);
    one.evict_after_ms = 0;
    const Admission owner = f.open("a", one);
    const Admission slow = f.reserve_for("a", one);
    REQUIRE(f.stage(owner.ref) == Stage::parked);
    f.age(slow.ref, 5000);
    CHECK(f.open("b", terms_with(1, 1)).refusal == Refusal::site_full);
    CHECK(f.stage(owner.ref) == Stage::seated);
    CHECK(f.stage(slow.ref) == Stage::free);
    const Admission again = f.reserve_for("a", one);
    f.age(again.ref, 5000);
    CHECK(f.open("a", one).displaced.at(0).session.ref == owner.ref);
    CHECK(f.stage(owner.ref) == Stage::evicted);
    CHECK(f.registry.count() == 1);
  }
  SECTION("to an idle session, which yields to the newcomer") {
    const Terms one = with_idle(1, 60);
    const Admission owner = f.open("a", one);
    f.make_idle(owner.ref, 100);
    const Admission slow = f.reserve_for("b", one);
    REQUIRE(f.stage(owner.ref) == Stage::parked);
    f.age(slow.ref, 5000);
    const Admission newcomer = f.reserve_for("c", one);
    CHECK(newcomer.admitted());
    CHECK(f.stage(owner.ref) == Stage::parked);
    CHECK(f.stage(slow.ref) == Stage::free);
    CHECK(f.registry.release_reservation(newcomer.ref));
    CHECK(f.stage(owner.ref) == Stage::seated);
  }
}

TEST_CASE("dozens of logins of one user at once get in, also where a stranger holds every seat") {
  Logins f;
  const Terms all = terms_with(24);
  for (int i = 0; i < 24; ++i)
    f.age(f.reserve_for("stranger", all).ref, 4000);
  std::vector<std::pair<SlotRef, pid_t>> logins;
  for (int i = 0; i < 24; ++i) {
    const Admission login = f.reserve_for("robot", all);
    REQUIRE(login.admitted());
    logins.emplace_back(login.ref, f.last_pid());
  }
  CHECK(f.reserve_for("robot", all).refusal == Refusal::site_full);
  for (const auto& [ref, pid] : logins)
    CHECK(f.registry.bind(ref, f.login("robot", pid), all, f.processes)->admitted());
}

TEST_CASE("a group's limit holds for its members together, and for each of a user's groups") {
  Logins f;
  const auto staff = f.registry.group_index("staff", 2);
  const auto night = f.registry.group_index("night", 1);
  REQUIRE(staff);
  REQUIRE(night);
  CHECK(f.registry.group_index("staff", 2) == staff);
  Terms of_staff = terms_with(-1), of_both = terms_with(-1);
  of_staff.groups = {{*staff, 2}};
  of_both.groups = {{*staff, 2}, {*night, 1}};
  CHECK(f.open("a", of_both).admitted());
  const Admission night_full = f.open("b", of_both);
  CHECK(night_full.refusal == Refusal::group_full);
  CHECK(night_full.group == *night);
  CHECK(night_full.limit == 1);
  CHECK(f.open("b", of_staff).admitted());
  CHECK(f.open("c", of_staff).refusal == Refusal::group_full);
  CHECK(f.open("d", unlimited).admitted());
}

TEST_CASE("the last seats are for those they are reserved for") {
  Logins f;
  Terms staff = terms_with(3), other = terms_with(3);
  staff.reserved_seats = other.reserved_seats = 1;
  other.may_use_reserved = false;
  CHECK(f.open("a", other).admitted());
  CHECK(f.open("b", other).admitted());
  CHECK(f.open("c", other).refusal == Refusal::site_full);
  CHECK(f.open("admin", staff).admitted());
  CHECK(f.open("admin", staff).refusal == Refusal::site_full);
}

TEST_CASE("foreseeing takes nothing and answers as the login would be answered") {
  Logins f;
  const Terms one = with_idle(1, 60);
  const Admission a = f.open("a", one);
  const auto foresee = [&](const std::string& user, const Terms& terms) {
    f.forget_last_search();
    return f.registry.foresee(f.login(user, 9000), terms, f.processes);
  };
  CHECK(foresee("b", one).refusal == Refusal::site_full);
  f.make_idle(a.ref, 100);
  const Admission foreseen = foresee("b", one);
  CHECK(foreseen.admitted());
  REQUIRE(foreseen.displaced.size() == 1);
  CHECK(foreseen.displaced[0].why == Displaced::Why::parked);
  CHECK(f.stage(a.ref) == Stage::seated);
  Terms evicting = terms_with(1, 1);
  evicting.evict_after_ms = 0;
  const Admission evicted = foresee("a", evicting);
  CHECK(f.registry.count() == 1);
  CHECK(f.listed() == 1);
  CHECK(f.registry.counter(kRefusedSiteFull) == 0);
}

namespace {

// The same rules by plain counting, one login after the other.
class Reference {
 public:
  struct Session {
    std::string user;
    bool seated;
    bool idle;
    std::uint64_t age;
    bool staff;
  };
  std::map<std::uint32_t, Session> sessions;  // by slot

  std::int32_t seats(const std::string* user = nullptr, bool staff = false) const {
    return static_cast<std::int32_t>(
        std::count_if(sessions.begin(), sessions.end(), [&](const auto& entry) {
          const Session& s = entry.second;
          return s.seated && (user == nullptr || s.user == *user) && (!staff || s.staff);
        }));
  }
};

}  // namespace

TEST_CASE("random logins, idles and limits agree with a plain sequential reference") {
  std::mt19937 random(GENERATE(1u, 2u, 3u, 4u));
  Logins f(64);
  const auto staff = f.registry.group_index("staff", 3);
  REQUIRE(staff);
  Reference reference;
  const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  for (int step = 0; step < 600; ++step) {
    const auto any = [&]() {
      return std::next(reference.sessions.begin(),
                       pick(static_cast<unsigned>(reference.sessions.size())));
    };
    const unsigned action = pick(10);
    if (action < 6 || reference.sessions.empty()) {
      const std::string user(1, static_cast<char>('a' + pick(5)));
      const bool of_staff = user <= "b", entitled = user == "a";
      const auto limit = static_cast<std::int32_t>(pick(8)) + 1;
      Terms terms = with_idle(limit, 60);
      terms.user_limit = static_cast<std::int32_t>(pick(4)) - 1;
      terms.reserved_seats = 1;
      terms.may_use_reserved = entitled;
      if (of_staff) terms.groups = {{*staff, 3}};
      // Whoever is the only one in the way of a seat and idle gives it up; of more than one limit
      // at once the reference says nothing.
      const std::int32_t held_back = entitled ? 0 : 1;
      const std::int32_t over_site = reference.seats() + 1 + held_back - limit;
      const std::int32_t over_user =
          terms.user_limit < 0 ? 0 : reference.seats(&user) + 1 - terms.user_limit;
      const std::int32_t over_staff = of_staff ? reference.seats(nullptr, true) + 1 - 3 : 0;
      const auto idle =
          std::count_if(reference.sessions.begin(), reference.sessions.end(),
                        [](const auto& entry) { return entry.second.seated && entry.second.idle; });
      const bool full = over_site > 0 || over_user > 0 || over_staff > 0;
      const Admission admission = f.open(user, terms);
      if (!full) REQUIRE(admission.admitted());
      if (over_site > 0 && over_site > idle) REQUIRE_FALSE(admission.admitted());
      if (full && idle == 0) REQUIRE_FALSE(admission.admitted());
      if (over_site > 0 && over_site <= idle && over_user <= 0 && over_staff <= 0)
        REQUIRE(admission.admitted());
      // The registry is asked who was parked; never more than had to be.
      int parked = 0;
      for (auto& [slot, session] : reference.sessions) {
        const Stage stage = f.registry_stage(slot);
        if (session.seated && stage == Stage::parked) {
          REQUIRE(session.idle);
          session.seated = false;
          ++parked;
        }
        REQUIRE((stage == Stage::seated) == session.seated);
      }
      if (!full) REQUIRE(parked == 0);
      if (admission.admitted()) {
        REQUIRE(parked == std::max({0, over_site, over_user, over_staff}));
        reference.sessions[admission.ref.slot] = {user, true, false, 0, of_staff};
        f.refs[admission.ref.slot] = admission.ref;
        REQUIRE(reference.seats() + held_back <= limit);
        if (terms.user_limit >= 0) REQUIRE(reference.seats(&user) <= terms.user_limit);
        if (of_staff) REQUIRE(reference.seats(nullptr, true) <= 3);
      }
    } else if (action < 8) {
      const auto leaver = any();
      REQUIRE(f.registry.release(f.refs[leaver->first]));
      reference.sessions.erase(leaver);
    } else {
      const auto resting = any();
      if (!resting->second.idle) f.make_idle(f.refs[resting->first], 100);
      resting->second.idle = true;
    }
    REQUIRE(static_cast<std::int32_t>(f.registry.count()) == reference.seats());
  }
}

TEST_CASE(
    "in a table full of parked sessions the stalest that is seen gives way, then the oldest") {
  // An earlier version left as many as fit.
  const TempDir dir;
  const HostIdentity host = *host_identity();
  version2::Version2 old(host);
  const std::uint64_t now_ms = now().boottime_ms;
  for (std::uint32_t slot = 0; slot < version2::kSlots; ++slot)
    old.add(slot, Stage::parked, RecordKind::session, "u" + std::to_string(slot),
            slot == 500 ? now_ms / 4 : now_ms / 2, slot == 500 ? now_ms : now_ms / 2);
  const std::string path = dir.write("site.reg", old.bytes());
  chmod(path.c_str(), 0600);
  auto registry = Registry::open_or_create(path, host, version2::kCapacity);
  REQUIRE(registry);
  // Of one of them it is seen that it is used, and of all others not even whether.
  registry->for_each([&](const Snapshot& held) {
    if (text_of(held.record.user) == "u700") registry->touch(held.ref, now_ms, UseIsTold::yes);
  });

  Login login;
  login.user = "alice";
  login.service = "sshd";
  login.self = login.parent = self_id();
  Terms terms;
  terms.site = unlimited;
  registry->publish_limit(registry->published_limit(), unlimited);
  const FakeProcesses processes;
  for (std::uint32_t free = version2::kSlots; free < slots_for(version2::kCapacity); ++free)
    CHECK(registry->admit(login, terms, processes).displaced.empty());
  // Before its session is open, a login ends nobody.
  const Admission login_only = registry->reserve(login, terms, processes, ~0ull);
  CHECK(login_only.admitted());
  CHECK(login_only.deferred);
  CHECK(login_only.displaced.empty());
  CHECK(registry->count() == slots_for(version2::kCapacity) - version2::kSlots);
  for (const std::string expected : {"u700", "u500"}) {
    const Admission next = registry->admit(login, terms, processes);
    CHECK(next.admitted());
    REQUIRE(next.displaced.size() == 1);
    CHECK(next.displaced[0].why == Displaced::Why::table_full);
    CHECK(text_of(next.displaced[0].session.record.user) == expected);
  }
}
