// Sessions without a process: they end by what is done to them and by the clock, and of one device
// there is one.
#include <array>
#include <atomic>
#include <thread>

#include "../../support/catch.h"
#include "logins.h"

using namespace sessreg;

namespace {

class Devices : public Logins {
 public:
  using Logins::Logins;

  Login device(const std::string& user, const std::string& key) const {
    Login login = login_of(user, 700);
    login.service = "web";
    login.no_process = true;
    login.device = key;
    login.tty = "Firefox Linux";
    return login;
  }
  Admission login_by(const std::string& user, const std::string& key, const Terms& terms) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    return registry.admit(device(user, key), terms, processes);
  }
  Admission use_by(const std::string& user, const std::string& key, const Terms& terms) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    return registry.use(device(user, key), terms, processes);
  }
  Snapshot at(SlotRef ref) {
    Snapshot session{};
    REQUIRE(registry.snapshot(ref, session));
    return session;
  }
  void revoke(SlotRef ref, const char* reason) {
    REQUIRE(registry.mark_revoked(ref, reason));
    registry.vacate(ref);
  }
  Reaped reap() { return registry.reap(processes, now().boottime_ms); }

  ~Devices() { CHECK(processes.asked_about_nobody == 0); }
};

Terms with_ttl(std::int32_t limit, std::uint32_t ttl_s) {
  Terms terms(limit_of(limit));
  terms.ttl_s = ttl_s;
  return terms;
}

}  // namespace

TEST_CASE("a session without a process outlives whoever opened it") {
  Devices f;
  const Admission a = f.login_by("alice", "", with_ttl(1, 60));
  REQUIRE(a.admitted());
  f.processes.kill(700);
  CHECK_FALSE(f.reap().any());
  CHECK(f.registry.count() == 1);
  CHECK(f.open("bob", limit_of(1)).refusal == Refusal::site_full);
  const Snapshot session = f.at(a.ref);
  CHECK_FALSE(has_process(session.record));
  CHECK_FALSE(leader_of(session.record));
  CHECK(device_of(session.record) == kNoDevice);
  CHECK(text_of(session.record.tty) == "Firefox Linux");
  CHECK(f.registry.release(a.ref));
  CHECK(f.registry.count() == 0);
}

TEST_CASE("it is over exactly when its time to live or its lifetime is") {
  Devices f;
  Terms terms = with_ttl(1, 60);
  const bool is_exempt = GENERATE(false, true);
  const bool of_lifetime = GENERATE(false, true);
  if (of_lifetime) {
    terms.ttl_s = 0;
    terms.lifetime_ms = 60'000;
  }
  Admission a;
  if (is_exempt)
    REQUIRE(f.registry.list_exempt(f.device("alice", "x"), a, terms));
  else
    a = f.login_by("alice", "x", terms);
  const Snapshot session = f.at(a.ref);
  const std::uint64_t end_ms = session.record.opened_boottime_ms + 60'000;
  CHECK(expiry_ms(session, true) == end_ms);
  CHECK(expiry_ms(session, false) == end_ms);  // nobody's terminals are asked
  CHECK_FALSE(f.registry.reap(f.processes, end_ms - 1).any());
  CHECK(f.registry.reap(f.processes, end_ms).sessions == 1);
  CHECK(f.stage(a.ref) == Stage::free);
  CHECK(f.registry.count() == 0);
}

TEST_CASE("the seat of one that is out of time goes to the next login") {
  Devices f;
  const Admission a = f.login_by("alice", "x", with_ttl(1, 60));
  f.age(a.ref, 59'000);
  CHECK(f.login_by("bob", "y", with_ttl(1, 60)).refusal == Refusal::site_full);
  CHECK(f.registry.touch(a.ref, now().boottime_ms));
  f.age(a.ref, 59'000);
  CHECK(f.login_by("bob", "y", with_ttl(1, 60)).refusal == Refusal::site_full);
  f.age(a.ref, 1'000);
  CHECK(f.login_by("bob", "y", with_ttl(1, 60)).admitted());
  CHECK(f.stage(a.ref) == Stage::free);
}

TEST_CASE("a refusal is not believed beyond the moment when a session's time is up") {
  Devices f;
  const Terms terms = with_ttl(1, 1);
  const Admission a = f.login_by("alice", "x", terms);
  REQUIRE(a.admitted());
  CHECK(f.registry.admit(f.device("bob", "y"), terms, f.processes).refusal == Refusal::site_full);
  std::this_thread::sleep_for(std::chrono::milliseconds(1'050));
  CHECK(f.registry.admit(f.device("bob", "y"), terms, f.processes).admitted());
}

TEST_CASE("without a process it is idle by the clock, from its opening on") {
  Devices f;
  const Terms one = with_idle(1, 60);
  const Admission a = f.login_by("alice", "x", one);
  f.age(a.ref, 59'000);
  CHECK(f.login_by("bob", "y", one).refusal == Refusal::site_full);
  f.age(a.ref, 1'000);
  const Admission b = f.login_by("bob", "y", one);
  CHECK(b.admitted());
  CHECK(f.stage(a.ref) == Stage::parked);
  CHECK(f.processes.terminal_looks == 0);
  // It does not come back by itself: only a use brings it back.
  CHECK(f.registry.release(b.ref));
  f.reap();
  CHECK(f.stage(a.ref) == Stage::parked);
  CHECK(f.use_by("alice", "x", one).found);
  CHECK(f.registry.return_to_seat(a.ref, one, false).done());
}

TEST_CASE("what is revoked frees its seat at once, and tells why for a day") {
  Devices f;
  const Stage before = GENERATE(Stage::seated, Stage::parked, Stage::exempt);
  const Terms one = before == Stage::parked ? with_idle(1, 60) : Terms(limit_of(1));
  Admission a;
  if (before == Stage::exempt) {
    REQUIRE(f.registry.list_exempt(f.device("alice", "x"), a));
  } else {
    a = f.login_by("alice", "x", one);
    f.age(a.ref, 100'000);
  }
  if (before == Stage::parked) REQUIRE(f.login_by("bob", "y", one).admitted());
  REQUIRE(f.stage(a.ref) == before);
  f.revoke(a.ref, "no more");
  CHECK(f.stage(a.ref) == Stage::evicted);
  CHECK(f.registry.count() == (before == Stage::parked ? 1u : 0u));
  Snapshot note = f.at(a.ref);
  CHECK(is_note(note));
  CHECK(reason_of(note) == "no more");
  CHECK(f.registry.return_to_seat(a.ref, one, true).outcome == Outcome::gone);
  // From the revocation on, however long ago it was used.
  const std::uint64_t end_ms = end_of_note_ms(note);
  CHECK(end_ms + 1'000 >= now().boottime_ms + kNoteKept_ms);
  CHECK_FALSE(f.registry.reap(f.processes, end_ms - 1).any());
  CHECK(f.registry.reap(f.processes, end_ms).sessions == 1);
  CHECK(f.stage(a.ref) == Stage::free);
}

TEST_CASE("a note tells for a day from the eviction on, however long before it was used") {
  Devices f;
  Terms one = terms_with(5, 1);
  one.evict_after_ms = 0;
  const Admission old = f.login_by("alice", "x", one);
  f.age(old.ref, 600'000);
  const Admission anew = f.login_by("alice", "y", one);
  REQUIRE(anew.displaced.size() == 1);
  REQUIRE(f.registry.mark_revoked(old.ref, "a newer login"));
  CHECK(f.registry.vacate(old.ref));  // as send_off does
  CHECK(end_of_note_ms(f.at(old.ref)) + 1'000 >= now().boottime_ms + kNoteKept_ms);
}

TEST_CASE("a note tells until its device logs in anew, and not when that session has been closed") {
  Devices f;
  const Terms terms = limit_of(5);
  const Admission revoked = f.login_by("alice", "x", terms),
                  other = f.login_by("alice", "y", terms);
  f.revoke(revoked.ref, "no more");
  f.revoke(other.ref, "of another device");
  CHECK(f.use_by("alice", "x", terms).ref == revoked.ref);
  const Login login = f.device("alice", "x");
  Admission anew;
  SECTION("counted") {
    anew = f.registry.admit(login, terms, f.processes);
  }
  SECTION("exempt") {
    REQUIRE(f.registry.list_exempt(login, anew));
  }
  SECTION("in two steps, of which the first may come to nothing") {
    const Admission reserved = f.registry.reserve(login, terms, f.processes, ~0ull);
    CHECK(f.stage(revoked.ref) == Stage::evicted);
    const auto bound = f.registry.bind(reserved.ref, login, terms, f.processes);
    REQUIRE(bound);
    anew = *bound;
  }
  CHECK(f.registry.release(anew.ref));
  const Admission opened = f.use_by("alice", "x", terms);
  CHECK(opened.admitted());
  CHECK_FALSE(opened.found);
  CHECK(f.use_by("alice", "y", terms).ref == other.ref);
}

TEST_CASE("a mark that was never finished ends the session as well") {
  Devices f;
  const Admission a = f.login_by("alice", "x", limit_of(1));
  open_registry_file(f.dir / "site.reg", f.host)
      ->slots()[a.ref.slot]
      .mark.store(std::uint64_t{a.ref.epoch} << 32 |
                  static_cast<std::uint64_t>(MarkStage::writing));
  REQUIRE(f.at(a.ref).mark == MarkStage::writing);
  f.reap();
  CHECK(f.registry.count() == 0);
  CHECK(f.stage(a.ref) == Stage::evicted);
}

TEST_CASE("no parked session of another service leaves a full table for an application") {
  Devices f(3);
  Terms terms = with_idle(1, 60);
  const Admission parked = f.open("alice", terms);
  f.make_idle(parked.ref, 100);
  REQUIRE(f.open("bob", terms).admitted());
  REQUIRE(f.stage(parked.ref) == Stage::parked);
  Admission listed;
  while (f.registry.list_exempt(f.login_of("root", 5), listed)) {
  }
  terms.site.limit = -1;
  f.registry.publish_limit(f.registry.published_limit(), terms.site);
  terms.evictable_services = {"web"};
  CHECK(f.registry.admit(f.device("anna", "x"), terms, f.processes).refusal == Refusal::table_full);
  CHECK(f.stage(parked.ref) == Stage::parked);
  terms.evictable_services.reset();
  CHECK(f.registry.admit(f.device("anna", "x"), terms, f.processes).admitted());
}

TEST_CASE("a note goes with the time to live") {
  Devices f;
  const Admission a = f.login_by("alice", "x", with_ttl(1, 600));
  f.revoke(a.ref, "no more");
  const Snapshot note = f.at(a.ref);
  CHECK(end_of_note_ms(note) == expiry_ms(note, true));
  CHECK(f.registry.reap(f.processes, end_of_note_ms(note)).sessions == 1);
}

TEST_CASE("a search completes a revocation whose revoker has died") {
  Devices f;
  const Admission a = f.login_by("alice", "x", limit_of(1));
  REQUIRE(f.registry.mark_revoked(a.ref, "no more"));
  CHECK(f.registry.count() == 1);
  CHECK(f.login_by("bob", "y", limit_of(1)).admitted());
  CHECK(f.stage(a.ref) == Stage::evicted);
  CHECK(reason_of(f.at(a.ref)) == "no more");
}

TEST_CASE("notes never keep a login out") {
  Devices f(3);
  const std::uint32_t slots = f.registry.slots();
  std::vector<SlotRef> notes;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const Admission a = f.login_by("alice", std::to_string(i), limit_of(-1));
    REQUIRE(a.admitted());
    f.revoke(a.ref, "no more");
    f.age(a.ref, 1'000 * (slots - i));
    notes.push_back(a.ref);
  }
  CHECK(f.listed() == slots);
  const bool of_reservation = GENERATE(false, true);
  if (of_reservation)
    CHECK(f.reserve_for("bob", limit_of(-1)).admitted());
  else
    CHECK(f.open("bob", limit_of(-1)).admitted());
  CHECK(f.stage(notes[0]) == Stage::free);  // the oldest
  CHECK(f.listed() == slots);
  Admission exempt;
  CHECK(f.registry.list_exempt(f.login_of("root", 5), exempt));
  CHECK(f.stage(notes[1]) == Stage::free);
}

TEST_CASE("notes go before parked sessions") {
  Devices f(3);
  const Terms terms = with_idle(2, 60);
  const Admission a = f.login_by("alice", "x", terms);
  f.age(a.ref, 100'000);
  REQUIRE(f.login_by("bob", "y", terms).admitted());
  REQUIRE(f.login_by("carol", "z", terms).admitted());
  REQUIRE(f.stage(a.ref) == Stage::parked);
  while (f.listed() < f.registry.slots()) {
    Admission listed;
    REQUIRE(f.registry.list_exempt(f.device("root", std::to_string(f.listed())), listed));
    f.revoke(listed.ref, "no more");
  }
  CHECK(f.open("dora", limit_of(-1)).admitted());
  CHECK(f.stage(a.ref) == Stage::parked);
}

TEST_CASE("a login of a device takes the place of its session, also on a full site") {
  Devices f;
  Terms terms = terms_with(2, 1);
  const Admission old = f.login_by("alice", "x", terms);
  REQUIRE(f.open("bob", terms).admitted());
  f.age(old.ref, 10'000);
  SECTION("at its limits") {}
  SECTION("above limits that were lowered") {
    terms.site.limit = 1;
  }
  SECTION("while nobody new is admitted") {
    terms.site.limit = 0;
  }
  SECTION("with the seats that are left kept for others") {
    terms.reserved_seats = 1;
    terms.may_use_reserved = false;
  }
  SECTION("whatever user_lock says") {
    terms.evict_after_ms = 1'000'000;
  }
  const Admission anew = f.login_by("alice", "x", terms);
  REQUIRE(anew.admitted());
  CHECK(anew.displaced.empty());
  CHECK(f.stage(old.ref) == Stage::free);
  CHECK(f.stage(anew.ref) == Stage::seated);
  CHECK(anew.id != old.id);
  CHECK(f.registry.count() == 2);
  CHECK(f.listed() == 2);
}

TEST_CASE("devices are told apart by key, by service and by user") {
  Devices f;
  const Admission a = f.login_by("alice", "x", limit_of(-1));
  CHECK(f.login_by("alice", "y", limit_of(-1)).admitted());
  CHECK(f.login_by("bob", "x", limit_of(-1)).admitted());
  Login other = f.device("alice", "x");
  other.service = "mail";
  CHECK(f.registry.admit(other, limit_of(-1), f.processes).admitted());
  CHECK(f.login_by("alice", "", limit_of(-1)).admitted());
  CHECK(f.login_by("alice", "", limit_of(-1)).admitted());
  CHECK(f.registry.count() == 6);
  const Snapshot session = f.at(a.ref);
  CHECK(f.registry.is_device_of(session.record, "x"));
  CHECK_FALSE(f.registry.is_device_of(session.record, "y"));
  CHECK_FALSE(f.registry.is_device_of(session.record, ""));
}

TEST_CASE("a use finds the session of its device, or opens one") {
  Devices f;
  const Terms terms = with_idle(1, 60);
  const Admission first = f.use_by("alice", "x", terms);
  CHECK(first.admitted());
  CHECK_FALSE(first.found);
  const Admission again = f.use_by("alice", "x", terms);
  CHECK(again.found);
  CHECK(again.ref == first.ref);
  CHECK(again.id == first.id);
  CHECK(f.registry.counter(kAdmissions) == 1);
  CHECK(f.use_by("alice", "y", terms).refusal == Refusal::site_full);
  CHECK(f.use_by("bob", "x", terms).refusal == Refusal::site_full);
  f.age(first.ref, 100'000);
  CHECK(f.use_by("bob", "x", terms).admitted());
  const Admission parked = f.use_by("alice", "x", terms);
  CHECK(parked.found);
  CHECK(parked.ref == first.ref);
  CHECK(f.stage(first.ref) == Stage::parked);
  CHECK(f.registry.counter(kAdmissions) == 2);
}

TEST_CASE("where a login needs a seat the parked session of its device goes only if it gets one") {
  Devices f;
  Terms terms = with_idle(2, 60);
  const Admission parked = f.login_by("alice", "x", terms);
  f.age(parked.ref, 300'000);
  const Admission b = f.login_by("bob", "y", terms), c = f.login_by("carol", "z", terms);
  REQUIRE(f.stage(parked.ref) == Stage::parked);

  SECTION("refused: it stays") {
    CHECK(f.login_by("alice", "x", terms).refusal == Refusal::site_full);
    CHECK(f.stage(parked.ref) == Stage::parked);
    return;
  }
  SECTION("another one is idle") {
    f.age(b.ref, 100'000);
  }
  SECTION("a seat is free") {
    CHECK(f.registry.release(b.ref));
  }
  SECTION("a slow login gives way") {
    CHECK(f.registry.release(b.ref));
    const Admission slow = f.reserve_for("dora", terms);
    REQUIRE(slow.admitted());
    f.age(slow.ref, 4'000);
  }
  SECTION("an own session of the user gives way") {
    CHECK(f.registry.release(b.ref));
    REQUIRE(f.login_by("alice", "other", terms).admitted());
    terms.user_limit = 1;
    terms.evict_after_ms = 0;
  }
  const Admission anew = f.login_by("alice", "x", terms);
  CHECK(anew.admitted());
  CHECK(f.stage(parked.ref) == Stage::free);
  CHECK(f.stage(anew.ref) == Stage::seated);
  CHECK(f.registry.count() == 2);
}

TEST_CASE("who takes its device's seat again counts in the groups that it counted in") {
  Devices f;
  Terms plain(limit_of(5)), staff(limit_of(5));
  f.registry.publish_limit(f.registry.published_limit(), plain.site);
  staff.groups = {{*f.registry.group_index("staff", 1), 1}};
  REQUIRE(f.login_by("alice", "x", plain).admitted());
  REQUIRE(f.login_by("bob", "y", staff).admitted());
  // The group is full, and she was never in it.
  const Admission alice = f.login_by("alice", "x", staff);
  CHECK(alice.admitted());
  CHECK(f.at(alice.ref).record.groups == 0);
  const Admission bob = f.login_by("bob", "y", plain);
  CHECK(bob.admitted());
  CHECK(f.open("carol", staff).refusal == Refusal::group_full);
  CHECK(f.registry.release(bob.ref));
  CHECK(f.open("carol", staff).admitted());
  CHECK(f.registry.count() == 2);
}

TEST_CASE("of an exempt device there is one session as well") {
  Devices f;
  const Terms one = limit_of(1);
  Admission exempt, again;
  REQUIRE(f.registry.list_exempt(f.device("alice", "x"), exempt));
  CHECK(f.registry.count() == 0);
  CHECK(f.use_by("alice", "x", one).ref == exempt.ref);
  REQUIRE(f.registry.list_exempt(f.device("alice", "x"), again));
  CHECK(f.stage(exempt.ref) == Stage::free);
  CHECK(f.stage(again.ref) == Stage::exempt);
  const Admission counted = f.login_by("alice", "x", one);
  CHECK(counted.admitted());
  CHECK(f.stage(again.ref) == Stage::free);
  REQUIRE(f.registry.list_exempt(f.device("alice", "x"), again));
  CHECK(f.stage(counted.ref) == Stage::free);
  CHECK(f.registry.count() == 0);
  CHECK(f.listed() == 1);
}

TEST_CASE("sessions with devices count in their user's limit with all others") {
  Devices f;
  const Terms terms = terms_with(-1, 3);
  CHECK(f.login_by("alice", "x", terms).admitted());
  CHECK(f.login_by("alice", "", terms).admitted());
  const Admission third = f.open("alice", terms);
  CHECK(third.admitted());
  CHECK(f.login_by("alice", "y", terms).refusal == Refusal::user_full);
  CHECK(f.open("alice", terms).refusal == Refusal::user_full);
  CHECK(f.registry.release(third.ref));
  CHECK(f.login_by("alice", "y", terms).admitted());
  CHECK(f.open("alice", terms).refusal == Refusal::user_full);
  CHECK(f.open("bob", terms).admitted());
}

TEST_CASE("a user's limit counts each session once, wherever it stands") {
  // So many in so small a table that the users' homes overlap.
  Devices f(40);
  const Terms terms = terms_with(-1, 5);
  for (int user = 0; user < 8; ++user)
    for (int i = 0; i < 5; ++i) {
      CAPTURE(user, i);
      const std::string name = "u" + std::to_string(user);
      const bool with_device = i % 2 == 0;
      CHECK((with_device ? f.login_by(name, std::to_string(i), terms) : f.open(name, terms))
                .admitted());
    }
  for (int user = 0; user < 8; ++user) {
    CHECK(f.open("u" + std::to_string(user), terms).refusal == Refusal::user_full);
    CHECK(f.login_by("u" + std::to_string(user), "9", terms).refusal == Refusal::user_full);
  }
}

TEST_CASE("a login takes over the session that it names, if it is the user's own") {
  Devices f;
  const Terms terms = terms_with(2, 1);
  const Admission own = f.login_by("alice", "x", terms), other = f.login_by("bob", "y", terms);
  Login login = f.device("alice", "new");
  SECTION("with a seat") {
    login.take_over = own.ref;
    const Admission anew = f.registry.admit(login, terms, f.processes);
    CHECK(anew.admitted());
    REQUIRE(anew.displaced.size() == 1);
    CHECK(anew.displaced[0].session.ref == own.ref);
    CHECK(anew.displaced[0].why == Displaced::Why::evicted);
    CHECK(f.stage(own.ref) == Stage::evicted);
    CHECK(f.registry.count() == 2);
  }
  SECTION("even if there is room") {
    login.take_over = own.ref;
    CHECK(f.registry.admit(login, limit_of(2), f.processes).admitted());
    CHECK(f.stage(own.ref) == Stage::evicted);
  }
  SECTION("not another user's") {
    login.take_over = other.ref;
    CHECK(f.registry.admit(login, terms, f.processes).refusal == Refusal::user_full);
    CHECK(f.stage(other.ref) == Stage::seated);
  }
  SECTION("it has gone: its seat is free") {
    login.take_over = own.ref;
    CHECK(f.registry.release(own.ref));
    CHECK(f.registry.admit(login, terms, f.processes).admitted());
  }
  SECTION("refused for another limit, it ends nobody") {
    login.take_over = own.ref;
    Terms fuller = terms;
    fuller.groups = {{*f.registry.group_index("staff", 0), 0}};
    CHECK(f.registry.admit(login, fuller, f.processes).refusal == Refusal::group_full);
    CHECK(f.stage(own.ref) == Stage::seated);
  }
  SECTION("its own device has lost its seat, which goes") {
    const Terms idle = with_idle(2, 60);
    login.device = "x";
    f.age(own.ref, 100'000);
    REQUIRE(f.registry.release(own.ref));
    REQUIRE(f.login_by("alice", "x", idle).admitted());
    const std::optional<SlotRef> x = f.registry.find_device(login);
    f.age(*x, 100'000);
    const Admission y = f.login_by("alice", "y", idle);
    REQUIRE(f.stage(*x) == Stage::parked);
    login.take_over = y.ref;
    const Admission anew = f.registry.admit(login, idle, f.processes);
    CHECK(anew.admitted());
    CHECK(f.stage(anew.ref) == Stage::seated);
    CHECK(f.stage(y.ref) == Stage::evicted);
    CHECK(f.stage(*x) == Stage::free);
  }
  SECTION("its own device's session hands its seat over") {
    login.device = "x";
    login.take_over = own.ref;
    const Admission anew = f.registry.admit(login, terms, f.processes);
    CHECK(anew.admitted());
    CHECK(anew.displaced.empty());
    CHECK(f.stage(own.ref) == Stage::free);
  }
  CHECK(f.registry.count() == 2);
}

TEST_CASE("a reservation is bound to a session of a device") {
  Devices f;
  const Terms terms = terms_with(2, 1);
  Login login = f.device("alice", "x");
  const auto bind = [&](SlotRef reservation) {
    return f.registry.bind(reservation, login, terms, f.processes);
  };
  f.registry.publish_limit(f.registry.published_limit(), terms.site);
  SECTION("the first") {
    const Admission reserved = f.registry.reserve(login, terms, f.processes, ~0ull);
    REQUIRE(reserved.admitted());
    CHECK(has_process(f.at(reserved.ref).record));  // its maker
    const auto bound = bind(reserved.ref);
    REQUIRE(bound);
    CHECK_FALSE(has_process(f.at(bound->ref).record));
    CHECK(f.use_by("alice", "x", terms).ref == bound->ref);
  }
  SECTION("with a session there is, whose seat it takes, or gives back") {
    const Admission old = f.login_by("alice", "x", terms);
    REQUIRE(f.open("bob", terms).admitted());
    const Admission reserved = f.registry.reserve(login, terms, f.processes, ~0ull);
    REQUIRE(reserved.admitted());
    CHECK(f.registry.count() == 2);
    CHECK(f.stage(old.ref) == Stage::parked);
    const bool comes_to_nothing = GENERATE(false, true);
    if (comes_to_nothing) {
      CHECK(f.registry.release_reservation(reserved.ref));
      CHECK(f.stage(old.ref) == Stage::seated);
    } else {
      const auto bound = bind(reserved.ref);
      REQUIRE(bound);
      CHECK(f.stage(bound->ref) == Stage::seated);
      CHECK(f.stage(old.ref) == Stage::free);
    }
    CHECK(f.registry.count() == 2);
  }
  SECTION("a parked or exempt one stays until the session is opened") {
    const bool is_exempt = GENERATE(false, true);
    Terms room = with_idle(3, 60);
    Admission old;
    if (is_exempt) {
      REQUIRE(f.registry.list_exempt(login, old));
    } else {
      room.site.limit = 1;
      old = f.login_by("alice", "x", room);
      f.age(old.ref, 100'000);
      REQUIRE(f.open("bob", room).admitted());
      room.site.limit = 3;
    }
    f.registry.publish_limit(f.registry.published_limit(), room.site);
    const Stage before = f.stage(old.ref);
    const Admission reserved = f.registry.reserve(login, room, f.processes, ~0ull);
    REQUIRE(reserved.admitted());
    CHECK(f.stage(old.ref) == before);
    const bool comes_to_nothing = GENERATE(false, true);
    if (comes_to_nothing) {
      CHECK(f.registry.release_reservation(reserved.ref));
      CHECK(f.stage(old.ref) == before);
    } else {
      REQUIRE(f.registry.bind(reserved.ref, login, room, f.processes));
      CHECK(f.stage(old.ref) == Stage::free);
    }
  }
  SECTION("with one that was opened meanwhile") {
    const Terms two = terms_with(2, 2);
    const Admission reserved = f.registry.reserve(login, two, f.processes, ~0ull);
    const Admission other = f.login_by("alice", "x", two);
    REQUIRE(other.admitted());
    const auto bound = bind(reserved.ref);
    REQUIRE(bound);
    CHECK(f.stage(other.ref) == Stage::free);
    CHECK(f.stage(bound->ref) == Stage::seated);
    CHECK(f.registry.count() == 1);
  }
}

TEST_CASE("what a login of a device would do is foreseen") {
  Devices f;
  const Terms one = limit_of(1);
  const Admission old = f.login_by("alice", "x", one);
  CHECK(f.registry.foresee(f.device("alice", "x"), one, f.processes).admitted());
  CHECK_FALSE(f.registry.foresee(f.device("alice", "y"), one, f.processes).admitted());
  Login taker = f.device("alice", "y");
  taker.take_over = old.ref;
  const Admission foreseen = f.registry.foresee(taker, one, f.processes);
  CHECK(foreseen.admitted());
  CHECK(foreseen.displaced.size() == 1);
  CHECK(f.stage(old.ref) == Stage::seated);
  CHECK(f.listed() == 1);
}

TEST_CASE("with any number of logins, uses and ends at once a device has one session at most") {
  constexpr int kThreads = 4, kDevices = 3, kRounds = 400;
  constexpr std::uint32_t kLimit = 4;
  Devices f(16);
  Terms terms = with_idle(kLimit, 1);
  f.registry.publish_limit(f.registry.published_limit(), terms.site);
  std::atomic<unsigned> too_many{0}, of_one_device{0};
  std::atomic<bool> over{false};
  const auto worker = [&](unsigned seed) {
    Registry registry = std::move(*Registry::open(f.dir / "site.reg", f.host));
    const FakeProcesses processes;
    std::uint32_t random = seed * 2654435761u + 1;
    const auto pick = [&](unsigned n) {
      random = random * 1664525u + 1013904223u;
      return (random >> 16) % n;
    };
    for (int round = 0; round < kRounds; ++round) {
      Login login = f.device("alice", std::to_string(pick(kDevices)));
      login.self = {static_cast<pid_t>(800 + seed), 100};
      Admission got;
      switch (pick(4)) {
        case 0:
          got = registry.admit(login, terms, processes);
          break;
        case 1:
          registry.list_exempt(login, got, terms);
          break;
        default:
          got = registry.use(login, terms, processes);
      }
      if (registry.count() > kLimit) ++too_many;
      if (got.ref.slot == kNoSlot) continue;
      switch (pick(4)) {
        case 0:
          registry.release(got.ref);
          break;
        case 1:
          if (registry.mark_revoked(got.ref, "no more")) registry.vacate(got.ref);
          break;
        case 2:
          registry.touch(got.ref, now().boottime_ms);
          registry.return_to_seat(got.ref, terms, false);
          break;
        default:
          break;
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i)
    threads.emplace_back(worker, i);
  std::thread watcher([&] {
    Registry registry = std::move(*Registry::open(f.dir / "site.reg", f.host));
    while (!over) {
      const std::uint64_t before = registry.gate_word();
      std::array<int, kDevices> sessions{};
      registry.for_each([&](const Snapshot& held) {
        if (held.state.stage == Stage::evicted) return;
        for (std::size_t i = 0; i < kDevices; ++i)
          sessions[i] += registry.is_device_of(held.record, std::to_string(i));
      });
      // Of one instant only if the gate has stood still.
      if (registry.gate_word() != before) continue;
      for (const int n : sessions)
        if (n > 1) ++of_one_device;
    }
  });
  for (std::thread& thread : threads)
    thread.join();
  over = true;
  watcher.join();
  CHECK(too_many == 0);
  CHECK(of_one_device == 0);
  for (int i = 0; i < kDevices; ++i) {
    CAPTURE(i);
    int sessions = 0;
    f.registry.for_each([&](const Snapshot& held) {
      sessions += held.state.stage != Stage::evicted &&
                  f.registry.is_device_of(held.record, std::to_string(i));
    });
    CHECK(sessions <= 1);
    // It can still log in, and be found.
    const Admission last = f.login_by("alice", std::to_string(i), limit_of(-1));
    CHECK(last.admitted());
    CHECK(f.use_by("alice", std::to_string(i), limit_of(-1)).ref == last.ref);
  }
}
