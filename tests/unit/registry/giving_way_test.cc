// Nobody gives way for a login that is refused: each limit that may be in the way, combined with each
// way of making room.
#include <functional>
#include <vector>

#include "../../support/catch.h"
#include "logins.h"

using namespace sessreg;

namespace {

enum class Way { evicted, idle, slow };

constexpr std::int32_t kUserLimit = 2;

// Three sessions of alice's, whose limit was lowered to two, and as many of others' as it takes to fill
// the limit under test.
class Crowd : public Fixture {
 public:
  explicit Crowd(Way way) : Fixture(8), way_(way) {
    terms.user_limit = kUserLimit;
    if (way == Way::evicted) terms.evict_after_ms = 0;
    if (way == Way::idle) terms.idle_after_s = terms.shortest_idle_s = 10;
    for (int i = 0; i < 3; ++i)
      log_in("alice");
  }
  void log_in(const std::string& user, bool is_of_group = false) {
    Terms open = terms;
    open.site.limit = open.user_limit = -1;
    open.reserved_seats = 0;
    open.groups.clear();
    if (is_of_group) open.groups = {{*registry.group_index("staff", -1), -1}};
    const bool is_on_its_way = way_ == Way::slow && user == "alice";
    registry.publish_limit(registry.published_limit(), open.site);
    const Admission answer = is_on_its_way
                                 ? registry.reserve(login(user, ++pid_), open, processes, ~0ull)
                                 : registry.admit(login(user, ++pid_), open, processes);
    REQUIRE(answer.admitted());
    // All have a terminal on which nothing was typed for a minute; the first the longest. Of the
    // others something else was used just now.
    age(answer.ref, 100'000 - static_cast<std::uint64_t>(pid_ - 2000) * 1000);
    Snapshot session;
    REQUIRE(registry.snapshot(answer.ref, session));
    processes.type(pid_, session.record.opened_realtime_ms);
    if (user != "alice") registry.touch(answer.ref, boottime_ms());
    inside.push_back(answer.ref);
  }
  Admission try_login(const std::string& user) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    return registry.admit(login(user, ++pid_), terms, processes);
  }
  std::vector<Stage> stages() {
    std::vector<Stage> all;
    for (const SlotRef& ref : inside)
      all.push_back(stage(ref));
    return all;
  }

  Terms terms{limit_of(-1)};
  std::vector<SlotRef> inside;

 private:
  const Way way_;
  pid_t pid_ = 2000;
};

struct InTheWay {
  const char* name;
  std::function<void(Crowd&)> fill;
};
const std::vector<InTheWay> kInTheWay = {
    {"site",
     [](Crowd& c) {
       for (int i = 0; i < 3; ++i)
         c.log_in("user" + std::to_string(i));
       c.terms.site.limit = 3;  // lowered: with two of alice's gone there is still no room
     }},
    {"group",
     [](Crowd& c) {
       for (int i = 0; i < 2; ++i)
         c.log_in("user" + std::to_string(i), true);
       c.terms.groups = {{*c.registry.group_index("staff", 2), 2}};
     }},
    {"reserved",
     [](Crowd& c) {
       for (int i = 0; i < 3; ++i)
         c.log_in("user" + std::to_string(i));
       c.terms.site.limit = 6;
       c.terms.reserved_seats = 3;
       c.terms.may_use_reserved = false;
     }},
};

}  // namespace

TEST_CASE("nobody gives way to who is refused for another limit") {
  for (const InTheWay& limit : kInTheWay) {
    for (const Way way : {Way::evicted, Way::idle, Way::slow}) {
      CAPTURE(limit.name, static_cast<int>(way));
      Crowd c(way);
      limit.fill(c);
      const auto before = c.stages();
      const Admission answer = c.try_login("alice");
      CHECK_FALSE(answer.admitted());
      CHECK(c.stages() == before);
      CHECK(answer.displaced.empty());
      CHECK(c.registry.foresee(c.login("alice"), c.terms, c.processes).displaced.empty());
    }
  }
}

TEST_CASE("as many give way as it takes for every limit, where that lets the login in") {
  const Way way = GENERATE(Way::evicted, Way::idle, Way::slow);
  Crowd c(way);
  for (int i = 0; i < 3; ++i)
    c.log_in("user" + std::to_string(i));
  // With two of alice's gone there is room, as her limit wants it; or with all three.
  c.terms.site.limit = way == Way::evicted ? 5 : GENERATE(4, 5);
  const int gone = c.terms.site.limit == 4 ? 3 : 2;
  CHECK(c.try_login("alice").admitted());
  CHECK(c.registry.count() == static_cast<std::uint32_t>(6 - gone + 1));
  for (int i = 0; i < 6; ++i) {
    CAPTURE(i);
    CHECK((c.stages()[static_cast<std::size_t>(i)] == Stage::seated) == (i >= gone));
  }
}

TEST_CASE("before somebody's giving way is in vain for another limit the dead are looked for") {
  const Way way = GENERATE(Way::evicted, Way::idle);
  Logins f;
  Terms terms = terms_with(3, 1);
  if (way == Way::evicted) terms.evict_after_ms = 0;
  if (way == Way::idle) terms.idle_after_s = terms.shortest_idle_s = 10;
  const Admission older = f.open("a", terms);
  f.make_idle(older.ref, 100);
  const Admission other = f.open("b", terms);
  REQUIRE(f.open("c", terms).admitted());
  const pid_t leader = f.last_pid();
  terms.reserved_seats = 1;
  terms.may_use_reserved = false;
  CHECK_FALSE(f.open("a", terms).admitted());
  CHECK(f.stage(older.ref) == Stage::seated);
  f.processes.kill(leader);
  f.forget_last_search();
  CHECK(f.registry.foresee(f.login_of("a", 9000), terms, f.processes).displaced.size() == 1);
  CHECK(f.open("a", terms).admitted());
  CHECK(f.stage(older.ref) == (way == Way::evicted ? Stage::evicted : Stage::parked));
  CHECK(f.stage(other.ref) == Stage::seated);
}
