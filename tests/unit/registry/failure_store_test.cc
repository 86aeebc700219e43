#include "registry/failure_store.h"

#include <functional>
#include <random>
#include <thread>

#include "../../support/catch.h"
#include "failure_fixture.h"

using namespace sessreg;

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
            if (random() % 50 == 0) table.list(kStart_ms + i);
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
    {"list", [](auto table) { table.list(kStart_ms); }, 3},
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

namespace {

// A table with one place left, where eight hosts of one network are.
Memory<InterruptedAtom> nearly_full(std::uint32_t failures_each) {
  Memory<InterruptedAtom> m(20);
  for (std::uint32_t i = 0; i < 8; ++i) {
    for (std::uint32_t times = 0; times < failures_each; ++times)
      m.table(2).failed(in_48(i), "root", kStart_ms);
  }
  for (std::uint32_t i = 0; i < 7; ++i)
    m.table(2).failed(numbered(i), "root", kStart_ms);
  return m;
}

}  // namespace

TEST_CASE(
    "killed anywhere while a network comes to be counted as one, all of it stays blacklisted") {
  bool happened = false, left_some = false;
  for (std::size_t at = 0;; ++at) {
    auto m = nearly_full(2);
    if (!kill_at(at, [&] { m.table(2).failed(numbered(100), "root", kStart_ms); })) break;
    CAPTURE(at);
    for (std::uint32_t i = 0; i < 8; ++i)
      REQUIRE(m.table(2).status(in_48(i), kStart_ms).blacklisted);
    for (std::uint32_t i = 0; i < 7; ++i)
      REQUIRE(failures(m.table(2), numbered(i)) == 1);
    const bool is_one = m.table(2).status(in_48(0x77), kStart_ms).blacklisted;
    happened |= is_one;
    left_some |= is_one && listed(m.table(2), kStart_ms).count("2001:db8:7:7::/64") == 1;
    // The next that finds no room goes on.
    for (std::uint32_t i = 200; i < 210; ++i)
      m.table(2).failed(numbered(i), "root", kStart_ms);
    const auto hosts = listed(m.table(2), kStart_ms);
    REQUIRE(hosts.at("2001:db8:7::/56").failures == 16);
    for (const auto& [text, status] : hosts)
      REQUIRE_FALSE(text.ends_with("/64"));
  }
  CHECK(happened);
  CHECK(left_some);
}

TEST_CASE("what happens to a network's hosts while it comes to be counted as one is not lost") {
  for (std::size_t at = 0;; ++at) {
    auto m = nearly_full(1);
    const bool reached = interrupt_at(
        at, [&] { m.table(100).failed(numbered(100), "root", kStart_ms); },
        [&] { m.table(100).failed(in_48(3), "ann", kStart_ms); });
    if (!reached) break;
    CAPTURE(at);
    REQUIRE(failures(m.table(100), in_48(3)) == 9);
    REQUIRE(failures(m.table(100), in_48(4)) == 9);
    REQUIRE(listed(m.table(100), kStart_ms).count("2001:db8:7:3::/64") == 0);
  }
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
    for (const HostFailures& found : table.list(kStart_ms))
      REQUIRE(found.text.size() <= 44);
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
