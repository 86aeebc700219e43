#include "registry/failure_table.h"

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>

using namespace sessreg;

namespace {

constexpr HashKey kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr std::uint64_t kBlacklist_ms = 60'000;
constexpr std::uint64_t kForget_ms = kForgetFailures_ms;
constexpr std::uint64_t kStart_ms = 1'000'000;

using PlainAtom = std::atomic<std::uint64_t>;

struct Killed {};

// As std::atomic<std::uint64_t>, but before an access of an operation under test something happens:
// it is killed (an exception that nothing catches on the way), or others run to their end.
class InterruptedAtom {
 public:
  static inline std::function<void()> before_access;

  InterruptedAtom() = default;
  std::uint64_t load(std::memory_order) const {
    interrupt();
    return value_;
  }
  bool compare_exchange_strong(std::uint64_t& seen, std::uint64_t next, std::memory_order,
                               std::memory_order) {
    interrupt();
    if (value_ != seen) {
      seen = value_;
      return false;
    }
    value_ = next;
    return true;
  }
  std::uint64_t value() const { return value_; }
  void set(std::uint64_t value) { value_ = value; }

 private:
  static void interrupt() {
    if (before_access) before_access();
  }
  std::uint64_t value_ = 0;
};

// Runs `act`; before its access number `at` (from 0), `then`. False: it made fewer accesses.
bool interrupt_at(std::size_t at, const std::function<void()>& act,
                  const std::function<void()>& then) {
  bool reached = false;
  std::size_t access = 0;
  InterruptedAtom::before_access = [&] {
    if (access++ != at) return;
    reached = true;
    auto saved = std::move(InterruptedAtom::before_access);
    InterruptedAtom::before_access = nullptr;
    then();
    // Back only if nobody was killed here; the counter is past `at`.
    InterruptedAtom::before_access = std::move(saved);
  };
  try {
    act();
  } catch (const Killed&) {
  }
  InterruptedAtom::before_access = nullptr;
  return reached;
}
bool kill_at(std::size_t at, const std::function<void()>& act) {
  return interrupt_at(at, act, [] { throw Killed(); });
}

template <class Atom>
struct Memory {
  explicit Memory(std::size_t size = kFailureEntries) : entries(size) {}
  Atom gate{};
  std::vector<FailureEntry<Atom>> entries;

  FailureTable<Atom> table(std::uint32_t max_failures = 3,
                           std::uint64_t blacklist_ms = kBlacklist_ms) {
    return {gate, entries, kKey, {max_failures, blacklist_ms}};
  }
};

RemoteHost host(std::string_view rhost) {
  return RemoteHost::from_rhost(rhost);
}
RemoteHost numbered(std::uint32_t number) {
  return host(std::to_string(10 + (number >> 24)) + "." + std::to_string(number >> 16 & 0xff) +
              "." + std::to_string(number >> 8 & 0xff) + "." + std::to_string(number & 0xff));
}
const RemoteHost kHost = host("192.0.2.1");
const RemoteHost kOther = host("198.51.100.1");

template <class Table>
std::map<std::string, FailureStatus> listed(Table table, std::uint64_t now_ms) {
  std::map<std::string, FailureStatus> hosts;
  table.for_each(now_ms, [&](const HostFailures& found) {
    CHECK(hosts.emplace(found.text, found.status).second);
  });
  return hosts;
}

template <class Table>
std::uint32_t failures(Table table, const RemoteHost& of, std::uint64_t now_ms = kStart_ms) {
  return table.status(of, now_ms).failures;
}

}  // namespace

// --- The rules ---

TEST_CASE("a host is blacklisted by the failure that reaches the number, not by one before") {
  Memory<PlainAtom> m;
  auto table = m.table(3);
  CHECK_FALSE(table.failed(kHost, "ann", kStart_ms).blacklisted);
  CHECK_FALSE(table.failed(kHost, "bob", kStart_ms + 1).blacklisted);
  CHECK(table.status(kHost, kStart_ms + 1).failures == 2);
  CHECK_FALSE(table.attempt(kHost, kStart_ms + 2).blacklisted);
  const FailureStatus third = table.failed(kHost, "ann", kStart_ms + 3);
  CHECK(third.blacklisted);
  CHECK(third.failures == 3);
  CHECK(third.until_ms == kStart_ms + 3 + kBlacklist_ms);
  CHECK(table.attempt(kHost, kStart_ms + 3).blacklisted);
  CHECK_FALSE(table.attempt(kOther, kStart_ms + 3).blacklisted);
}

TEST_CASE("one failure is enough where the number is one") {
  Memory<PlainAtom> m;
  CHECK(m.table(1).failed(kHost, "ann", kStart_ms).blacklisted);
}

TEST_CASE("nothing is counted or refused where the number is zero, or without a host") {
  Memory<PlainAtom> m;
  m.table(1).failed(kHost, "ann", kStart_ms);
  CHECK_FALSE(m.table(0).attempt(kHost, kStart_ms).blacklisted);
  CHECK_FALSE(m.table(0).failed(kHost, "ann", kStart_ms).blacklisted);
  CHECK_FALSE(m.table(1).failed(host(""), "ann", kStart_ms).blacklisted);
  CHECK(listed(m.table(1), kStart_ms).size() == 1);
  CHECK(failures(m.table(1), kHost) == 1);
}

TEST_CASE("a blacklist ends at its time, not a millisecond before, and then from zero") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kHost, "ann", kStart_ms);
  const std::uint64_t end_ms = kStart_ms + kBlacklist_ms;
  CHECK(table.status(kHost, end_ms - 1).blacklisted);
  CHECK_FALSE(table.status(kHost, end_ms).blacklisted);
  CHECK_FALSE(table.attempt(kHost, end_ms).blacklisted);
  CHECK(table.status(kHost, end_ms).failures == 0);
  CHECK(listed(table, end_ms).empty());
  CHECK(table.failed(kHost, "ann", end_ms).failures == 1);
  CHECK(table.failed(kHost, "ann", end_ms).blacklisted);
}

TEST_CASE("each attempt while blacklisted starts the time anew; a look does not") {
  Memory<PlainAtom> m;
  auto table = m.table(1);
  table.failed(kHost, "ann", kStart_ms);
  std::uint64_t now_ms = kStart_ms;
  for (int i = 0; i < 3; ++i) {
    now_ms += kBlacklist_ms - 1;
    const FailureStatus attempt = table.attempt(kHost, now_ms);
    REQUIRE(attempt.blacklisted);
    CHECK(attempt.until_ms == now_ms + kBlacklist_ms);
  }
  CHECK(table.status(kHost, now_ms + kBlacklist_ms - 1).blacklisted);
  CHECK_FALSE(table.status(kHost, now_ms + kBlacklist_ms).blacklisted);
  SECTION("a failure that was under way is an attempt, too") {
    now_ms += kBlacklist_ms - 1;
    CHECK(table.failed(kHost, "ann", now_ms).until_ms == now_ms + kBlacklist_ms);
    CHECK(table.status(kHost, now_ms + kBlacklist_ms - 1).blacklisted);
  }
}

TEST_CASE("an attempt with an older time does not shorten a blacklist") {
  Memory<PlainAtom> m;
  auto table = m.table(1);
  table.failed(kHost, "ann", kStart_ms);
  table.attempt(kHost, kStart_ms - 1000);
  table.failed(kHost, "ann", kStart_ms - 1000);
  CHECK(table.status(kHost, kStart_ms + kBlacklist_ms - 1).blacklisted);
}

TEST_CASE("failures that led to nothing are forgotten after a quarter of an hour without one") {
  Memory<PlainAtom> m;
  auto table = m.table(5);
  std::uint64_t now_ms = kStart_ms;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    CHECK(table.failed(kHost, "ann", now_ms).failures == i);
    now_ms += kForget_ms - 1;
  }
  CHECK(failures(table, kHost, now_ms) == 3);
  CHECK(failures(table, kHost, now_ms + 1) == 0);
  CHECK(listed(table, now_ms + 1).empty());
  CHECK(table.failed(kHost, "ann", now_ms + 1).failures == 1);
}

TEST_CASE("failures are not forgotten sooner than a blacklist would be") {
  Memory<PlainAtom> m;
  auto table = m.table(5, 4 * kForget_ms);
  table.failed(kHost, "ann", kStart_ms);
  CHECK(failures(table, kHost, kStart_ms + 4 * kForget_ms - 1) == 1);
  CHECK(failures(table, kHost, kStart_ms + 4 * kForget_ms) == 0);
}

TEST_CASE("a success erases that user's failures from that host and no one else's") {
  Memory<PlainAtom> m;
  auto table = m.table(10);
  for (const char* user : {"ann", "bob", "ann", "bob", "ann"})
    table.failed(kHost, user, kStart_ms);
  table.failed(kOther, "ann", kStart_ms);
  table.succeeded(kHost, "ann", kStart_ms);
  CHECK(failures(table, kHost) == 2);
  CHECK(failures(table, kOther) == 1);
  table.succeeded(kHost, "ann", kStart_ms);
  table.succeeded(kHost, "carol", kStart_ms);
  table.succeeded(host("203.0.113.1"), "bob", kStart_ms);
  CHECK(failures(table, kHost) == 2);
  table.succeeded(kHost, "bob", kStart_ms);
  CHECK(failures(table, kHost) == 0);
  CHECK(listed(table, kStart_ms).size() == 1);
}

TEST_CASE("nobody gets out of a blacklist by logging in with an account of their own in between") {
  Memory<PlainAtom> m;
  auto table = m.table(5);
  for (int i = 0; i < 4; ++i) {
    CHECK_FALSE(table.failed(kHost, "root", kStart_ms).blacklisted);
    table.failed(kHost, "mallory", kStart_ms);
    table.succeeded(kHost, "mallory", kStart_ms);
  }
  CHECK(table.failed(kHost, "root", kStart_ms).blacklisted);
}

TEST_CASE("a success does not lift a blacklist, and does nothing to what is forgotten") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kHost, "ann", kStart_ms);
  table.succeeded(kHost, "ann", kStart_ms);
  CHECK(table.status(kHost, kStart_ms).blacklisted);
  CHECK(failures(table, kHost) == 2);
  table.succeeded(kHost, "ann", kStart_ms + kBlacklist_ms);
  CHECK(failures(table, kHost, kStart_ms + kBlacklist_ms) == 0);
}

TEST_CASE("the last users to fail are kept apart; what earlier ones failed stays in the number") {
  Memory<PlainAtom> m;
  auto table = m.table(1000);
  table.failed(kHost, "first", kStart_ms);
  table.failed(kHost, "first", kStart_ms);
  for (std::size_t i = 1; i < kUsersKept; ++i)
    table.failed(kHost, "user" + std::to_string(i), kStart_ms);
  SECTION("as many as are kept can each erase theirs") {
    table.succeeded(kHost, "first", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept - 1);
    for (std::size_t i = 1; i < kUsersKept; ++i)
      table.succeeded(kHost, "user" + std::to_string(i), kStart_ms);
    CHECK(failures(table, kHost) == 0);
  }
  SECTION("with one more, the one who failed longest ago cannot") {
    table.failed(kHost, "last", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept + 2);
    table.succeeded(kHost, "first", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept + 2);
    table.succeeded(kHost, "user1", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept + 1);
  }
  SECTION("who failed again is not the oldest") {
    table.failed(kHost, "first", kStart_ms);
    table.failed(kHost, "last", kStart_ms);
    table.succeeded(kHost, "first", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept);
  }
  SECTION("an erased user's place is used before anybody is forgotten") {
    table.succeeded(kHost, "user3", kStart_ms);
    table.failed(kHost, "last", kStart_ms);
    table.succeeded(kHost, "first", kStart_ms);
    CHECK(failures(table, kHost) == kUsersKept - 1);
  }
}

TEST_CASE("cycling through user names loses no failure and takes no memory") {
  Memory<PlainAtom> m(10);
  auto table = m.table(1000);
  for (std::uint32_t i = 1; i < 1000; ++i)
    REQUIRE(table.failed(kHost, std::string(i, 'x'), kStart_ms).failures == i);
  CHECK(table.failed(kHost, "last", kStart_ms).blacklisted);
  CHECK(listed(table, kStart_ms).size() == 1);
}

TEST_CASE("all addresses of an IPv6 network of 64 bits count as one host, others do not") {
  Memory<PlainAtom> m;
  auto table = m.table(3);
  table.failed(host("2001:db8:0:1::1"), "a", kStart_ms);
  table.failed(host("2001:db8:0:1:ffff:ffff:ffff:ffff"), "b", kStart_ms);
  table.failed(host("2001:db8:0:2::1"), "b", kStart_ms);
  CHECK(table.failed(host("2001:db8:0:1::2"), "c", kStart_ms).blacklisted);
  CHECK(listed(table, kStart_ms).count("2001:db8:0:1::/64") == 1);
  table.failed(host("::ffff:192.0.2.1"), "a", kStart_ms);
  CHECK(failures(table, kHost) == 1);
}

TEST_CASE(
    "host names of any length and bytes count by all of their bytes, and are cut to be shown") {
  Memory<PlainAtom> m;
  auto table = m.table(3);
  const std::string name(4096, 'x');
  const RemoteHost hosts[] = {host(name + "a"), host(name + "b"), host("\x1b[2J\n\xff"),
                              host("Client.Example."), host(std::string(44, 'y'))};
  for (const RemoteHost& each : hosts)
    CHECK(table.failed(each, "a", kStart_ms).failures == 1);
  CHECK(failures(table, host("client.example")) == 1);
  std::multiset<std::string> texts;
  table.for_each(kStart_ms, [&](const HostFailures& found) { texts.insert(found.text); });
  const std::string cut = std::string(41, 'x') + "...";
  CHECK(texts == std::multiset<std::string>{cut, cut, "\x1b[2j\n\xff", "client.example",
                                            std::string(44, 'y')});
}

TEST_CASE("hosts are listed as they are at that time") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kOther, "ann", kStart_ms + 5);
  table.failed(kOther, "ann", kStart_ms + 6);
  table.attempt(kOther, kStart_ms + 9);
  int seen = 0;
  table.for_each(kStart_ms + 10, [&](const HostFailures& found) {
    ++seen;
    if (found.text == "192.0.2.1") {
      CHECK(found.status.failures == 1);
      CHECK_FALSE(found.status.blacklisted);
      CHECK(found.last_failure_ms == kStart_ms);
    } else {
      CHECK(found.text == "198.51.100.1");
      CHECK(found.status.failures == 2);
      CHECK(found.status.blacklisted);
      CHECK(found.last_failure_ms == kStart_ms + 6);
      CHECK(found.status.until_ms == kStart_ms + 9 + kBlacklist_ms);
    }
  });
  CHECK(seen == 2);
}

TEST_CASE("a reset forgets one host or all, blacklisted or not") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kOther, "ann", kStart_ms);
  table.failed(kOther, "ann", kStart_ms);
  CHECK_FALSE(table.reset(host("203.0.113.1"), kStart_ms));
  CHECK_FALSE(table.reset(host(""), kStart_ms));
  SECTION("one") {
    CHECK(table.reset(kOther, kStart_ms));
    CHECK_FALSE(table.reset(kOther, kStart_ms));
    CHECK(failures(table, kOther) == 0);
    CHECK(failures(table, kHost) == 1);
    CHECK_FALSE(table.failed(kOther, "ann", kStart_ms).blacklisted);
  }
  SECTION("one that is listed, by its hash") {
    table.for_each(kStart_ms, [&](const HostFailures& found) {
      CHECK(table.reset(found.host_hash, kStart_ms));
    });
    CHECK(listed(table, kStart_ms).empty());
  }
  SECTION("one that counts for nothing any more") {
    CHECK_FALSE(table.reset(kOther, kStart_ms + kBlacklist_ms));
  }
  SECTION("all") {
    CHECK(table.reset_all(kStart_ms) == 2);
    CHECK(table.reset_all(kStart_ms) == 0);
    CHECK(listed(table, kStart_ms).empty());
  }
}

// --- Fixed size ---

TEST_CASE("cycling through addresses pushes out the stalest, and no blacklisted host") {
  const std::size_t size = 160;
  Memory<PlainAtom> m(size);
  auto table = m.table(2);
  constexpr std::uint32_t kBlacklisted = 100;
  for (std::uint32_t i = 0; i < kBlacklisted; ++i) {
    table.failed(numbered(i), "root", kStart_ms);
    REQUIRE(table.failed(numbered(i), "root", kStart_ms).blacklisted);
  }
  const auto room = static_cast<std::uint32_t>(failure_hosts(size)) - kBlacklisted;
  std::uint64_t now_ms = kStart_ms;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    now_ms = kStart_ms + i / 2;  // stays within the blacklist's time
    table.failed(numbered(1000 + i), "root", now_ms);
  }
  for (std::uint32_t i = 0; i < kBlacklisted; ++i)
    REQUIRE(table.status(numbered(i), now_ms).blacklisted);
  CHECK(listed(table, now_ms).size() == failure_hosts(size));
  // Of the others, the last that came are left.
  for (std::uint32_t i = 0; i < room - 1; ++i)
    REQUIRE(failures(table, numbered(1000 + 99'999 - i), now_ms) == 1);
  CHECK(failures(table, numbered(1000 + 99'999 - room - 1), now_ms) == 0);
}

TEST_CASE("the whole table is searched for a stale entry, at its full size") {
  Memory<PlainAtom> m;
  auto table = m.table(1);
  constexpr std::uint32_t kHosts = failure_hosts(kFailureEntries);
  // All are blacklisted but one.
  const std::uint32_t stale = GENERATE(0U, 511U, 1023U);
  for (std::uint32_t i = 0; i < kHosts; ++i) {
    auto rules = i == stale ? m.table(2) : table;
    rules.failed(numbered(i), "root", kStart_ms);
  }
  table.failed(numbered(5000), "root", kStart_ms + 1);
  CHECK(failures(table, numbered(stale), kStart_ms + 1) == 0);
  CHECK(listed(table, kStart_ms + 1).size() == kHosts);
  // Now all are: the one that is so the shortest gives way, which is not the first.
  const std::uint32_t shortest = (stale + 100) % kHosts;
  for (std::uint32_t i = 0; i < kHosts; ++i) {
    if (i != shortest && i != stale) REQUIRE(table.attempt(numbered(i), kStart_ms + 1).blacklisted);
  }
  table.failed(numbered(5001), "root", kStart_ms + 2);
  CHECK_FALSE(table.status(numbered(shortest), kStart_ms + 2).blacklisted);
  CHECK(listed(table, kStart_ms + 2).size() == kHosts);
}

TEST_CASE("a blacklisted host whose time is over gives way before one that is counted") {
  Memory<PlainAtom> m(10);
  auto table = m.table(2);
  table.failed(kHost, "root", kStart_ms);
  table.failed(kHost, "root", kStart_ms);
  const std::uint64_t over_ms = kStart_ms + kBlacklist_ms;
  for (std::uint32_t i = 0; i < 7; ++i)
    table.failed(numbered(i), "root", kStart_ms - 10 + i);
  table.failed(numbered(100), "root", over_ms);
  for (std::uint32_t i = 0; i < 7; ++i)
    CHECK(failures(table, numbered(i), over_ms) == 1);
  table.failed(numbered(101), "root", over_ms);
  CHECK(failures(table, numbered(0), over_ms) == 0);
  for (std::uint32_t i = 1; i < 7; ++i)
    CHECK(failures(table, numbered(i), over_ms) == 1);
}

TEST_CASE("counting a host that is known pushes nobody out of a full table") {
  Memory<PlainAtom> m(10);
  auto table = m.table(100);
  for (std::uint32_t i = 0; i < 8; ++i)
    table.failed(numbered(i), "root", kStart_ms);
  for (std::uint32_t i = 0; i < 80; ++i)
    table.failed(numbered(i % 8), "root", kStart_ms);
  for (std::uint32_t i = 0; i < 8; ++i)
    CHECK(failures(table, numbered(i)) == 11);
}

// --- Together ---

TEST_CASE("failures of many threads are all counted, whichever host and user they are of") {
  Memory<PlainAtom> m(40);
  constexpr std::uint32_t kThreads = 4, kEach = 2000, kHosts = 3;
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&m, t] {
      auto table = m.table(1'000'000);
      for (std::uint32_t i = 0; i < kEach; ++i)
        table.failed(numbered(i % kHosts), "user" + std::to_string((t + i) % 11), kStart_ms);
    });
  }
  for (auto& thread : threads)
    thread.join();
  std::uint32_t sum = 0;
  for (const auto& [text, status] : listed(m.table(), kStart_ms))
    sum += status.failures;
  CHECK(sum == kThreads * kEach);
  CHECK(failures(m.table(), numbered(0)) == kThreads * ((kEach + 2) / kHosts));
}

TEST_CASE("of the threads whose failures reach the number at once, it is reached by one exactly") {
  for (int round = 0; round < 50; ++round) {
    Memory<PlainAtom> m(40);
    constexpr std::uint32_t kThreads = 4, kEach = 5;
    std::atomic<std::uint32_t> before{0}, reached{0}, after{0}, wrong{0};
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        auto table = m.table(kThreads * kEach / 2);
        for (std::uint32_t i = 0; i < kEach; ++i) {
          const FailureStatus status = table.failed(kHost, "root", kStart_ms);
          (status.failures < kThreads * kEach / 2    ? before
           : status.failures == kThreads * kEach / 2 ? reached
                                                     : after)++;
          if (status.blacklisted != (status.failures >= kThreads * kEach / 2)) ++wrong;
        }
      });
    }
    for (auto& thread : threads)
      thread.join();
    REQUIRE(before == kThreads * kEach / 2 - 1);
    REQUIRE(reached == 1);
    REQUIRE(wrong == 0);
    REQUIRE(after == kThreads * kEach / 2);
  }
}

TEST_CASE("threads that fail, succeed, attempt, list and reset leave what adds up") {
  Memory<PlainAtom> m(20);  // room for 16 hosts; 24 compete
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&m, t] {
      auto table = m.table(50);
      std::mt19937 random(t);
      for (std::uint32_t i = 0; i < 2000; ++i) {
        const RemoteHost at = numbered(static_cast<std::uint32_t>(random() % 24));
        const std::string user = "user" + std::to_string(random() % 12);
        switch (random() % 8) {
          case 0:
            table.succeeded(at, user, kStart_ms + i);
            break;
          case 1:
            table.attempt(at, kStart_ms + i);
            break;
          case 2:
            if (random() % 50 == 0) table.reset(at, kStart_ms + i);
            break;
          case 3:
            if (random() % 50 == 0) table.for_each(kStart_ms + i, [](const HostFailures&) {});
            break;
          default:
            table.failed(at, user, kStart_ms + i);
        }
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  // listed() checks that no host is there twice.
  CHECK(listed(m.table(50), kStart_ms + 2000).size() <= 16);
  CHECK(m.table(50).reset_all(kStart_ms + 2000) > 0);
  CHECK(listed(m.table(50), kStart_ms + 2000).empty());
}

// --- Killed, or stopped and woken, between any two accesses ---

namespace {

// An operation, and the failures of kHost, of which two are ann's and one is bob's, once it has
// happened. The number is 4.
struct Operation {
  const char* name;
  std::function<void(FailureTable<InterruptedAtom>)> act;
  std::uint32_t failures_after;
};
const std::vector<Operation> kOperations = {
    {"failed", [](auto table) { table.failed(kHost, "carol", kStart_ms); }, 4},
    {"succeeded", [](auto table) { table.succeeded(kHost, "ann", kStart_ms); }, 1},
    {"reset", [](auto table) { table.reset(kHost, kStart_ms); }, 0},
    {"of a new host", [](auto table) { table.failed(kOther, "ann", kStart_ms); }, 3},
    {"attempt", [](auto table) { table.attempt(kHost, kStart_ms + 1); }, 3},
    {"list", [](auto table) { table.for_each(kStart_ms, [](const HostFailures&) {}); }, 3},
};

void prepare(Memory<InterruptedAtom>& m) {
  for (const char* user : {"ann", "ann", "bob"})
    m.table(4).failed(kHost, user, kStart_ms);
}

std::size_t claims(const Memory<InterruptedAtom>& m) {
  return static_cast<std::size_t>(
      std::count_if(m.entries.begin(), m.entries.end(),
                    [](const auto& entry) { return (entry.state.value() & 3) == 1; }));
}

}  // namespace

TEST_CASE("an operation whose process is killed anywhere has happened or not, and hinders nobody") {
  for (const Operation& operation : kOperations) {
    CAPTURE(operation.name);
    bool happened = false, not_yet = false;
    for (std::size_t at = 0;; ++at) {
      Memory<InterruptedAtom> m(5);
      prepare(m);
      if (!kill_at(at, [&] { operation.act(m.table(4)); })) break;
      CAPTURE(at);
      // First a list alone, as it has nothing else to do than to settle.
      const auto hosts = listed(m.table(4), kStart_ms);
      const std::uint32_t now = failures(m.table(4), kHost);
      REQUIRE((now == 3 || now == operation.failures_after));
      REQUIRE(hosts.count("192.0.2.1") == (now != 0));
      if (now != 0) REQUIRE(hosts.at("192.0.2.1").failures == now);
      happened |= now != 3;
      not_yet |= now == 3;
      REQUIRE(m.table(4).status(kHost, kStart_ms).blacklisted == (now >= 4));
      REQUIRE(failures(m.table(4), kOther) <= 1);
      // All goes on, also with the one entry less that a dead claim may take.
      REQUIRE(m.table(8).failed(kHost, "dave", kStart_ms).failures == now + 1);
      for (std::uint32_t i = 0; i < 4; ++i)
        REQUIRE(m.table(8).failed(numbered(i), "dave", kStart_ms + i).failures == 1);
    }
    CHECK(not_yet);
    CHECK(happened == (operation.failures_after != 3));
  }
}

TEST_CASE("any number of killed processes leave a table that works and forgets no blacklist") {
  Memory<InterruptedAtom> m(10);
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kHost, "ann", kStart_ms);
  std::mt19937 random(1);
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const RemoteHost at = numbered(static_cast<std::uint32_t>(random() % 12));
    kill_at(random() % 120, [&] { m.table(1000).failed(at, "ann", kStart_ms + i); });
  }
  CHECK(table.status(kHost, kStart_ms + 3000).blacklisted);
  CHECK(listed(m.table(1000), kStart_ms + 3000).size() <= 8);
  const std::uint32_t before = failures(m.table(1000), numbered(3), kStart_ms + 3000);
  CHECK(m.table(1000).failed(numbered(3), "ann", kStart_ms + 3000).failures == before + 1);
}

TEST_CASE("claims of the dead are collected, the oldest first, when no entry is free") {
  Memory<InterruptedAtom> m(10);
  auto table = m.table(100);
  for (std::uint32_t i = 0; i < 8; ++i)
    table.failed(numbered(i), "root", kStart_ms);
  // An access that finds one more entry claimed: its claimer dies there.
  for (std::size_t dead = 1; dead <= 2; ++dead) {
    InterruptedAtom::before_access = [&] {
      if (claims(m) == dead) throw Killed();
    };
    CHECK_THROWS_AS(table.failed(numbered(0), "root", kStart_ms + dead), Killed);
    InterruptedAtom::before_access = nullptr;
  }
  REQUIRE(claims(m) == 2);
  CHECK(table.failed(numbered(0), "root", kStart_ms + 10).failures == 2);
  CHECK(claims(m) == 1);
  for (const auto& entry : m.entries) {
    if ((entry.state.value() & 3) == 1) CHECK(entry.state.value() >> 26 == kStart_ms + 2);
  }
  for (std::uint32_t i = 1; i < 8; ++i)
    CHECK(failures(table, numbered(i)) == 1);
}

TEST_CASE(
    "whoever is interrupted anywhere by anything whole goes on as if it came after or before") {
  struct Other {
    const char* name;
    std::function<void(FailureTable<InterruptedAtom>)> act;
    std::uint32_t failures_if_first, failures_if_last;  // with a `failed` of carol's
  };
  const std::vector<Other> others = {
      {"failed", [](auto table) { table.failed(kHost, "ann", kStart_ms); }, 5, 5},
      {"failed three times",
       [](auto table) {
         for (int i = 0; i < 3; ++i)
           table.failed(kHost, "ann", kStart_ms);
       },
       7, 7},
      {"succeeded", [](auto table) { table.succeeded(kHost, "ann", kStart_ms); }, 2, 2},
      {"succeeded with all",
       [](auto table) {
         table.succeeded(kHost, "ann", kStart_ms);
         table.succeeded(kHost, "bob", kStart_ms);
       },
       1, 1},
      {"reset", [](auto table) { table.reset(kHost, kStart_ms); }, 1, 0},
      // 8 changes of a table of 5 entries use each of them again.
      {"failed elsewhere",
       [](auto table) {
         for (std::uint32_t i = 0; i < 8; ++i)
           table.failed(kOther, "ann", kStart_ms);
       },
       4, 4},
  };
  for (const Other& other : others) {
    CAPTURE(other.name);
    for (std::size_t at = 0;; ++at) {
      Memory<InterruptedAtom> m(5);
      prepare(m);
      auto table = m.table(100);
      const bool reached = interrupt_at(
          at, [&] { table.failed(kHost, "carol", kStart_ms); }, [&] { other.act(m.table(100)); });
      if (!reached) break;
      CAPTURE(at);
      const std::uint32_t now = failures(table, kHost);
      REQUIRE((now == other.failures_if_first || now == other.failures_if_last));
      listed(table, kStart_ms);  // no host twice
      REQUIRE(claims(m) == 0);
    }
  }
}

TEST_CASE("of two that come with the same new host at once, both are counted in one entry") {
  for (std::size_t at = 0;; ++at) {
    Memory<InterruptedAtom> m(5);
    auto table = m.table(100);
    if (!interrupt_at(
            at, [&] { table.failed(kHost, "ann", kStart_ms); },
            [&] { m.table(100).failed(kHost, "bob", kStart_ms); }))
      break;
    CAPTURE(at);
    REQUIRE(failures(table, kHost) == 2);
    REQUIRE(listed(table, kStart_ms).size() == 1);
  }
}

TEST_CASE("two are counted also if the second is killed inside the first, or has settled it") {
  for (std::size_t at = 0;; ++at) {
    bool reached = true;
    for (std::size_t killed_at = 0;; ++killed_at) {
      Memory<InterruptedAtom> m(5);
      prepare(m);
      bool killed = false;
      reached = interrupt_at(
          at, [&] { m.table(100).failed(kHost, "carol", kStart_ms); },
          [&] {
            killed = kill_at(killed_at, [&] { m.table(100).failed(kHost, "ann", kStart_ms); });
          });
      if (!reached || !killed) break;
      CAPTURE(at, killed_at);
      const std::uint32_t now = failures(m.table(100), kHost);
      REQUIRE((now == 4 || now == 5));
      REQUIRE(listed(m.table(100), kStart_ms).size() == 1);
    }
    if (!reached) break;
  }
}

TEST_CASE("a claimer that was taken for dead and wakes up counts, and spoils nobody's record") {
  // Of 5 entries, 4 have hosts. The sleeper has the fifth, so everybody else must take it from it.
  for (std::size_t at = 0;; ++at) {
    Memory<InterruptedAtom> m(5);
    auto table = m.table(100);
    for (std::uint32_t i = 0; i < 4; ++i)
      table.failed(numbered(i), "root", kStart_ms);
    if (!interrupt_at(
            at, [&] { table.failed(numbered(0), "root", kStart_ms); },
            [&] {
              for (std::uint32_t i = 1; i < 4; ++i)
                REQUIRE(m.table(100).failed(numbered(i), "root", kStart_ms).failures == 2);
            }))
      break;
    CAPTURE(at);
    for (std::uint32_t i = 0; i < 4; ++i)
      REQUIRE(failures(table, numbered(i)) == 2);
    REQUIRE(listed(table, kStart_ms).size() == 4);
  }
}

TEST_CASE("a claimer that wakes up in a claim of another, who was killed in it, counts") {
  bool reached = true;
  for (std::size_t at = 0; reached; ++at) {
    bool killed = true;
    for (std::size_t killed_at = 0; reached && killed; ++killed_at) {
      Memory<InterruptedAtom> m(5);
      auto table = m.table(100);
      for (std::uint32_t i = 0; i < 4; ++i)
        table.failed(numbered(i), "root", kStart_ms);
      reached = interrupt_at(
          at, [&] { table.failed(numbered(0), "root", kStart_ms); },
          [&] {
            killed =
                kill_at(killed_at, [&] { m.table(100).failed(numbered(1), "root", kStart_ms); });
          });
      CAPTURE(at, killed_at);
      REQUIRE(failures(table, numbered(0)) == 2);
      REQUIRE(listed(table, kStart_ms).size() == 4);
    }
  }
}

TEST_CASE("an attempt while blacklisted starts the time anew whatever happens at the same time") {
  for (std::size_t at = 0;; ++at) {
    Memory<InterruptedAtom> m(5);
    auto table = m.table(1);
    table.failed(kHost, "root", kStart_ms);
    const std::uint64_t late_ms = kStart_ms + kBlacklist_ms;
    // Somebody finds the blacklist over, just when an attempt of before comes through.
    FailureStatus attempt, failed;
    if (!interrupt_at(
            at, [&] { failed = m.table(2).failed(kHost, "root", late_ms); },
            [&] { attempt = m.table(2).attempt(kHost, late_ms - 1); }))
      break;
    CAPTURE(at);
    // Either the attempt came first, and the failure met a blacklist; or it came second, and was
    // not refused.
    REQUIRE(attempt.blacklisted == failed.blacklisted);
    REQUIRE(table.status(kHost, late_ms + 1).blacklisted == failed.blacklisted);
  }
}

TEST_CASE("a host that others move while it is looked for is found") {
  for (std::uint64_t moves = 1; moves <= 4; ++moves) {
    for (std::size_t at = 0;; ++at) {
      Memory<InterruptedAtom> m(5);
      auto table = m.table(1);
      table.failed(kHost, "root", kStart_ms);
      FailureStatus looked, attempt;
      const auto move = [&] {
        for (std::uint64_t i = 1; i <= moves; ++i)
          m.table(1).attempt(kHost, kStart_ms + i);
      };
      const bool in_look = interrupt_at(
          at, [&] { looked = table.status(kHost, kStart_ms + 5); }, move);
      if (in_look) REQUIRE(looked.blacklisted);
      const bool in_attempt = interrupt_at(
          at, [&] { attempt = table.attempt(kHost, kStart_ms + 2); }, move);
      if (in_attempt) REQUIRE(attempt.blacklisted);
      REQUIRE(claims(m) == 0);
      if (!in_look && !in_attempt) break;
    }
  }
}

TEST_CASE("a success that an end of the count overtakes does not lift the blacklist") {
  for (std::size_t at = 0;; ++at) {
    Memory<InterruptedAtom> m(5);
    prepare(m);
    FailureStatus fourth;
    if (!interrupt_at(
            at, [&] { m.table(4).succeeded(kHost, "ann", kStart_ms); },
            [&] { fourth = m.table(4).failed(kHost, "carol", kStart_ms); }))
      break;
    CAPTURE(at);
    REQUIRE(m.table(4).status(kHost, kStart_ms).blacklisted == fourth.blacklisted);
  }
}

// --- Damage ---

TEST_CASE("a table of random bytes is used without harm, and heals") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 40; ++round) {
    Memory<InterruptedAtom> m(40);
    m.gate.set(random());
    const unsigned stages =
        static_cast<unsigned>(round) % 4;  // random stages, all free, all claimed, all live
    for (auto& entry : m.entries) {
      entry.state.set(stages == 0 ? random() : (random() & ~std::uint64_t{3}) | (stages - 1));
      for (auto& word : entry.record)
        word.set(random());
      // Half of them whole, of random contents.
      if (random() % 2 == 0) {
        for (auto& word : entry.record)
          word.set((word.value() & ~std::uint64_t{0xffffff}) |
                   (entry.state.value() >> 2 & 0xffffff));
      }
    }
    if (round % 5 == 0) m.gate.set((m.gate.value() & ~std::uint64_t{0x3fffff}) | (random() % 4));
    std::size_t accesses = 0;
    InterruptedAtom::before_access = [&] { ++accesses; };
    auto table = m.table(3);
    table.for_each(kStart_ms, [](const HostFailures& found) { REQUIRE(found.text.size() <= 44); });
    table.attempt(kHost, kStart_ms);
    table.succeeded(kHost, "ann", kStart_ms);
    for (std::uint32_t i = 1; i <= 3; ++i)
      REQUIRE(table.failed(kHost, "ann", kStart_ms).failures == i);
    REQUIRE(table.status(kHost, kStart_ms).blacklisted);
    // The damaged give way before a blacklisted host that is one.
    for (std::uint32_t i = 0; i < 100; ++i) {
      table.failed(numbered(i), "ann", kStart_ms);
      REQUIRE(failures(table, numbered(i)) == 1);
    }
    REQUIRE(table.status(kHost, kStart_ms).blacklisted);
    table.reset_all(kStart_ms);
    REQUIRE(listed(table, kStart_ms).empty());
    CHECK(accesses < 3'000'000);
    InterruptedAtom::before_access = nullptr;
  }
}

namespace {

// Changes the record of the one live entry, as damage would.
void forge(Memory<PlainAtom>& m, const std::function<void(FailureRecord&)>& edit) {
  for (auto& entry : m.entries) {
    if ((entry.state & 3) != 2) continue;
    std::array<std::uint8_t, kFailureRecordWords * 5> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::uint8_t>(entry.record[i / 5] >> (24 + i % 5 * 8));
    FailureRecord record;
    memcpy(&record, bytes.data(), sizeof record);
    edit(record);
    memcpy(bytes.data(), &record, sizeof record);
    for (std::size_t word = 0; word < kFailureRecordWords; ++word) {
      std::uint64_t next = entry.record[word] & 0xffffff;
      for (std::size_t i = 0; i < 5; ++i)
        next |= std::uint64_t{bytes[word * 5 + i]} << (24 + i * 8);
      entry.record[word] = next;
    }
    return;
  }
  FAIL("no live entry");
}

}  // namespace

TEST_CASE("a time in the future blacklists nobody for ever") {
  Memory<PlainAtom> m;
  auto table = m.table(1);
  table.failed(kHost, "ann", kStart_ms);
  SECTION("a little ahead is another clock's reading, and counts as now") {
    forge(m, [](auto& record) { record.last_attempt_ms = kStart_ms + kClockSlack_ms; });
    CHECK(table.status(kHost, kStart_ms).until_ms == kStart_ms + kBlacklist_ms);
    CHECK(table.attempt(kHost, kStart_ms).blacklisted);
    CHECK_FALSE(table.status(kHost, kStart_ms + kClockSlack_ms + kBlacklist_ms).blacklisted);
  }
  SECTION("more than that is damage, and counts as nothing") {
    const std::uint64_t ahead_ms = GENERATE(kStart_ms + kClockSlack_ms + 1, ~std::uint64_t{0});
    forge(m, [&](auto& record) { record.last_attempt_ms = ahead_ms; });
    CHECK_FALSE(table.status(kHost, kStart_ms).blacklisted);
    CHECK(listed(table, kStart_ms).empty());
    const FailureStatus again = table.failed(kHost, "ann", kStart_ms);
    CHECK(again.failures == 1);
    CHECK(again.until_ms == kStart_ms + kBlacklist_ms);
  }
  SECTION("the same of failures that are only counted") {
    auto two = m.table(2);
    two.reset(kHost, kStart_ms);
    two.failed(kHost, "ann", kStart_ms);
    forge(m, [](auto& record) { record.last_failure_ms = ~std::uint64_t{0}; });
    CHECK(failures(two, kHost) == 0);
    CHECK_FALSE(two.failed(kHost, "ann", kStart_ms).blacklisted);
  }
}

TEST_CASE("numbers that are damaged do not overflow") {
  Memory<PlainAtom> m;
  auto table = m.table(5);
  table.failed(kHost, "ann", kStart_ms);
  forge(m, [](auto& record) {
    record.other_failures = 0xffffffff;
    for (auto& user : record.users)
      user.failures = 0xffffffff;
  });
  CHECK(failures(table, kHost) == 0xffffffff);
  CHECK(table.failed(kHost, "ann", kStart_ms).failures == 0xffffffff);
  CHECK(table.failed(kHost, "bob", kStart_ms).failures == 0xffffffff);
  // Of a user alone, and where the ninth user's place is made.
  table.reset_all(kStart_ms);
  auto many = m.table(0xffffffff);
  many.failed(kOther, "ann", kStart_ms);
  forge(m, [](auto& record) { record.users[0].failures = 0xffffffff; });
  CHECK(many.failed(kOther, "ann", kStart_ms).failures == 0xffffffff);
  forge(m, [](auto& record) {
    record.other_failures = 1;
    record.users.fill({1, 0xffffffff});
  });
  many.failed(kOther, "bob", kStart_ms);
  forge(m, [](auto& record) {
    CHECK(record.other_failures == 0xffffffff);
    record.users = {};
  });
}

TEST_CASE("a host is another if any byte of its hash is") {
  Memory<PlainAtom> m;
  auto table = m.table(5);
  const std::size_t byte = GENERATE(0U, 4U, 5U, 15U);
  table.failed(kHost, "ann", kStart_ms);
  forge(m, [&](auto& record) { record.host_hash[byte] ^= 1; });
  CHECK(failures(table, kHost) == 0);
}

TEST_CASE("a record with one torn word counts as nothing") {
  Memory<PlainAtom> m(5);
  auto table = m.table(1);
  const std::size_t torn = GENERATE(range(std::size_t{0}, kFailureRecordWords));
  table.failed(kHost, "ann", kStart_ms);
  for (auto& entry : m.entries) {
    if ((entry.state & 3) == 2) entry.record[torn].fetch_xor(1);
  }
  CHECK_FALSE(table.attempt(kHost, kStart_ms).blacklisted);
  CHECK(listed(table, kStart_ms).empty());
  CHECK(table.failed(kHost, "ann", kStart_ms).failures == 1);
}

TEST_CASE("the epoch of an entry comes round without harm") {
  Memory<InterruptedAtom> m(5);
  for (auto& entry : m.entries)
    entry.state.set(std::uint64_t{0xfffffe} << 2);
  auto table = m.table(1000);
  for (std::uint32_t i = 1; i <= 20; ++i)
    REQUIRE(table.failed(kHost, "ann", kStart_ms).failures == i);
  CHECK(claims(m) == 0);
}

TEST_CASE("the names of hosts and users are hashed with the key of the file") {
  Memory<PlainAtom> m;
  m.table().failed(kHost, "ann", kStart_ms);
  HashKey other = kKey;
  other[0] ^= 1;
  FailureTable<PlainAtom> foreign(m.gate, m.entries, other, {3, kBlacklist_ms});
  CHECK(foreign.status(kHost, kStart_ms).failures == 0);
}
