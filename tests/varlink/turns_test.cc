#include "varlink/turns.h"

#include <map>
#include <string>

#include "../support/catch.h"

using sessreg::varlink::Turns;
using namespace std::chrono_literals;

namespace {

// The items come back as "uid.number"; each takes its user's time.
class Served {
 public:
  explicit Served(Turns<std::string>& turns) : turns_(turns) {}
  void costs(uid_t uid, Turns<std::string>::Time time) { cost_[uid] = time; }
  void add(uid_t uid, int count) {
    for (int i = 0; i < count; ++i)
      turns_.add(uid, std::to_string(uid) + "." + std::to_string(i));
  }
  std::string next() {
    const bool counts = turns_.is_contended();
    std::string item = turns_.next();
    const auto uid = static_cast<uid_t>(std::stoul(item));
    used_[uid] += cost_[uid];
    if (counts) turns_.used(cost_[uid]);
    return item;
  }
  std::string next(int count) {
    std::string all;
    for (int i = 0; i < count; ++i)
      all += (i == 0 ? "" : " ") + next();
    return all;
  }
  Turns<std::string>::Time used(uid_t uid) { return used_[uid]; }

 private:
  Turns<std::string>& turns_;
  std::map<uid_t, Turns<std::string>::Time> cost_, used_;
};

}  // namespace

TEST_CASE("one user's items come in their order") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  CHECK(turns.empty());
  served.add(7, 3);
  CHECK(served.next(3) == "7.0 7.1 7.2");
  CHECK(turns.empty());
}

TEST_CASE("users go round, each for its budget") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  for (const uid_t uid : {7u, 8u}) {
    served.costs(uid, 1ms);
    served.add(uid, 4);
  }
  served.costs(9, 2ms);
  served.add(9, 2);
  CHECK(served.next(10) == "7.0 7.1 8.0 8.1 9.0 7.2 7.3 8.2 8.3 9.1");
}

TEST_CASE("root is served first, and does not keep the others from it") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  for (const uid_t uid : {0u, 7u, 8u})
    served.costs(uid, 2ms);
  served.add(7, 2);
  served.add(8, 2);
  CHECK(served.next() == "7.0");
  served.add(0, 4);
  CHECK(served.next(7) == "0.0 8.0 0.1 7.1 0.2 8.1 0.3");
  SECTION("cheap calls of root's come one after the other") {
    served.costs(0, 100us);
    served.add(7, 1);
    served.add(0, 3);
    CHECK(served.next(4) == "0.0 0.1 0.2 7.0");
  }
}

TEST_CASE("who used more than the budget waits until the others have had as much") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  served.costs(7, 50ms);
  served.costs(8, 100us);
  served.add(7, 100);
  for (int i = 0; i < 3000; ++i) {
    served.add(8, 1);  // one at a time, as a peer that waits for each answer
    served.next();
  }
  CHECK(served.used(7) <= served.used(8) + 60ms);
  CHECK(served.used(7) >= served.used(8) - 60ms);
}

TEST_CASE("costly calls get no more than their share, also of who hangs up after each") {
  const bool hangs_up = GENERATE(false, true);
  const auto cost = GENERATE(20ms, 100ms);
  Turns<std::string> turns(2ms);
  Served served(turns);
  served.costs(7, cost);
  served.costs(8, 2ms);
  served.add(7, 1);
  served.add(8, 1);
  for (int i = 0; i < 20'000; ++i) {
    // Each asks again when it has its answer.
    if (served.next().starts_with("7")) {
      if (hangs_up) turns.forget(7);
      served.add(7, 1);
    } else {
      served.add(8, 1);
    }
  }
  const double share = static_cast<double>(served.used(8).count()) /
                       static_cast<double>((served.used(7) + served.used(8)).count());
  CHECK(share > 0.48);
  CHECK(share < 0.52);
}

TEST_CASE("who had nothing to do for long has no claim to more than the others") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  for (const uid_t uid : {7u, 8u})
    served.costs(uid, 1ms);
  served.add(8, 1);
  served.add(7, 1000);
  served.next(900);
  served.add(8, 10);
  served.add(9, 1);
  CHECK(served.next(7) == "7.899 7.900 8.0 8.1 9.0 7.901 7.902");
}

TEST_CASE("what was used while nobody else waited is not held against anybody") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  served.costs(7, 50ms);
  served.add(7, 10);
  served.next(8);
  served.add(8, 1);
  CHECK(served.next(2) == "7.8 8.0");
}

TEST_CASE("what a user has begun comes before the user's others, and after other users") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  for (const uid_t uid : {7u, 8u})
    served.costs(uid, 2ms);
  served.add(7, 3);
  served.add(8, 2);
  CHECK(served.next() == "7.0");
  turns.add_first(7, "7.0");
  CHECK(served.next(5) == "8.0 7.0 8.1 7.1 7.2");
}

TEST_CASE("an item that is removed is not served") {
  Turns<std::string> turns(2ms);
  Served served(turns);
  served.add(7, 3);
  served.add(0, 1);
  served.add(8, 1);
  turns.remove(7, "7.1");
  turns.remove(0, "0.0");
  turns.remove(8, "8.0");
  CHECK_FALSE(turns.is_contended());
  CHECK(served.next(2) == "7.0 7.2");
  CHECK(turns.empty());
  turns.forget(7);

  turns.forget(7);
}
