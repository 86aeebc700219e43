#include "registry/failure_table.h"

#include <random>
#include <set>

#include "../../support/catch.h"
#include "failure_fixture.h"

using namespace sessreg;

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
  for (const HostFailures& found : table.list(kStart_ms))
    texts.insert(found.text);
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
  for (const HostFailures& found : table.list(kStart_ms + 10)) {
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
  }
  CHECK(seen == 2);
}

TEST_CASE("a reset forgets one host or all, blacklisted or not") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  table.failed(kHost, "ann", kStart_ms);
  table.failed(kOther, "ann", kStart_ms);
  table.failed(kOther, "ann", kStart_ms);
  CHECK(table.reset(host("203.0.113.1"), kStart_ms).empty());
  CHECK(table.reset(host(""), kStart_ms).empty());
  SECTION("one") {
    CHECK(table.reset(kOther, kStart_ms) == kOther.text());
    CHECK(table.reset(kOther, kStart_ms).empty());
    CHECK(failures(table, kOther) == 0);
    CHECK(failures(table, kHost) == 1);
    CHECK_FALSE(table.failed(kOther, "ann", kStart_ms).blacklisted);
  }
  SECTION("one that is listed, by its hash") {
    for (const HostFailures& found : table.list(kStart_ms))
      CHECK(table.reset(found.host_hash, kStart_ms));
    CHECK(listed(table, kStart_ms).empty());
  }
  SECTION("one that counts for nothing any more") {
    CHECK(table.reset(kOther, kStart_ms + kBlacklist_ms).empty());
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
  auto table = m.table(2);
  constexpr std::uint32_t kHosts = failure_hosts(kFailureEntries);
  const std::uint32_t stalest = GENERATE(0U, 511U, 1023U);
  for (std::uint32_t i = 0; i < kHosts; ++i)
    table.failed(numbered(i), "root", i == stalest ? kStart_ms : kStart_ms + 1);
  table.failed(numbered(5000), "root", kStart_ms + 2);
  CHECK(failures(table, numbered(stalest), kStart_ms + 2) == 0);
  CHECK(listed(table, kStart_ms + 2).size() == kHosts);
}

TEST_CASE(
    "one place in eight is left for hosts that are counted: they do not push each other out") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  constexpr std::uint32_t kHosts = failure_hosts(kFailureEntries);
  constexpr std::uint32_t kMost = kHosts / 8 * 7;
  const auto blacklist = [&](std::uint32_t number, std::uint64_t now_ms) {
    table.failed(numbered(number), "root", now_ms);
    REQUIRE(table.failed(numbered(number), "root", now_ms).blacklisted);
  };
  for (std::uint32_t i = 0; i < kMost; ++i)
    blacklist(i, kStart_ms);
  for (std::uint32_t i = 0; i < kMost; ++i)
    REQUIRE(table.attempt(numbered(i), kStart_ms + 2 + i % 7).blacklisted);
  // The first in time is not the first in the table.
  const std::uint32_t first = GENERATE(0U, 400U, kMost - 1);
  for (std::uint32_t i = 0; i < kMost; ++i)
    if (i != first) REQUIRE(table.attempt(numbered(i), kStart_ms + 10).blacklisted);
  // Any number that fail by turns reach the limit.
  const std::uint64_t now_ms = kStart_ms + 20;
  table.failed(numbered(5000), "root", now_ms);
  table.failed(numbered(5001), "root", now_ms);
  for (std::uint32_t i = 0; i < 500; ++i)
    table.failed(numbered(6000 + i % (kHosts - kMost - 2)), "root", now_ms);
  CHECK(table.failed(numbered(5000), "root", now_ms).blacklisted);
  CHECK_FALSE(table.status(numbered(first), now_ms).blacklisted);
  std::size_t blacklisted = 0;
  for (const auto& [text, status] : listed(table, now_ms))
    blacklisted += status.blacklisted;
  CHECK(blacklisted == kMost);
}

TEST_CASE("who was blacklisted just now gives way to nobody who was so before") {
  Memory<PlainAtom> m(40);
  auto table = m.table(1);
  for (std::uint32_t i = 0; i < 200; ++i) {
    table.failed(numbered(i), "root", kStart_ms);
    REQUIRE(table.status(numbered(i), kStart_ms).blacklisted);
  }
}

// --- Crowded networks ---

namespace {

template <class Table>
void fill(Table& table, std::uint64_t now_ms) {
  const auto hosts = static_cast<std::uint32_t>(failure_hosts(kFailureEntries));
  for (std::uint32_t i = 0; listed(table, now_ms).size() + 1 < hosts; ++i)
    table.failed(numbered(i), "root", now_ms);
}

}  // namespace

TEST_CASE("a whole network of 48 bits ends as one blacklisted host, in whichever order it comes") {
  Memory<PlainAtom> m;
  auto table = m.table(3);
  const RemoteHost victim = host("198.51.100.7");
  for (int i = 0; i < 3; ++i)
    table.failed(victim, "root", kStart_ms);
  const std::uint32_t step = GENERATE(1U, 256U, 4099U);
  std::size_t tries = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const RemoteHost at = in_48(i * step + (step == 256 ? i / 256 : 0));
    for (int twice = 0; twice < 2; ++twice) {
      if (table.attempt(at, kStart_ms).blacklisted) continue;
      ++tries;
      table.failed(at, "root", kStart_ms);
    }
  }
  const auto hosts = listed(table, kStart_ms);
  CHECK(table.status(victim, kStart_ms).blacklisted);
  CHECK(hosts.at("2001:db8:7::/48").blacklisted);
  CHECK(hosts.size() == 2);
  // Of 131,072.
  CHECK(tries < 20'000);
  CHECK(table.attempt(in_48(0x1234), kStart_ms).blacklisted);
  CHECK_FALSE(table.attempt(host("2001:db8:8::1"), kStart_ms).blacklisted);
}

TEST_CASE("a network of 56 bits is counted as one only where there is no room") {
  Memory<PlainAtom> m;
  auto table = m.table(100);
  for (std::uint32_t i = 0; i < 8; ++i)
    table.failed(in_48(i), "ann", kStart_ms + i);
  CHECK(failures(table, in_48(3)) == 1);
  for (std::uint32_t i = 0x100; i < 0x107; ++i)
    table.failed(in_48(i), "ann", kStart_ms);
  fill(table, kStart_ms);
  CHECK(failures(table, in_48(3)) == 1);
  table.failed(numbered(7000), "ann", kStart_ms + 10);
  // All of the first, of which there are eight; none of the second, of which there are seven.
  const std::uint64_t now_ms = kStart_ms + 10;
  CHECK(failures(table, in_48(3), now_ms) == 8);
  CHECK(failures(table, in_48(0x77), now_ms) == 8);
  CHECK(failures(table, in_48(0x103), now_ms) == 1);
  const auto hosts = listed(table, now_ms);
  CHECK(hosts.count("2001:db8:7::/56") == 1);
  CHECK(hosts.count("2001:db8:7:3::/64") == 0);
  CHECK(hosts.size() == failure_hosts(kFailureEntries) - 7);
  // From then on it is one host, whose users are kept apart.
  CHECK(table.failed(in_48(9), "bob", now_ms).failures == 9);
  table.succeeded(in_48(10), "bob", now_ms);
  CHECK(failures(table, in_48(3), now_ms) == 8);
  SECTION("it can be forgotten by any of its hosts") {
    CHECK(table.reset(in_48(5), now_ms) == "2001:db8:7::/56");
    CHECK(failures(table, in_48(3), now_ms) == 0);
  }
  SECTION("it starts from zero when its last failure is old enough, as its hosts do then") {
    const std::uint64_t over_ms = now_ms + kForget_ms;
    CHECK(failures(table, in_48(3), over_ms) == 0);
    CHECK(table.failed(in_48(3), "ann", over_ms).failures == 1);
    CHECK(failures(table, in_48(4), over_ms) == 0);
  }
}

TEST_CASE(
    "a network whose hosts reach the limit together is blacklisted when it is counted as one") {
  Memory<PlainAtom> m(20);
  const std::uint32_t limit = GENERATE(8U, 9U);
  auto table = m.table(limit);
  for (std::uint32_t i = 0; i < 8; ++i)
    table.failed(in_48(i), "ann", kStart_ms + i);
  for (std::uint32_t i = 0; i < 8; ++i)
    table.failed(numbered(i), "ann", kStart_ms);
  const FailureStatus status = table.status(in_48(0x55), kStart_ms + 10);
  CHECK(status.failures == 8);
  CHECK(status.blacklisted == (limit == 8));
  CHECK(status.until_ms == (limit == 8 ? kStart_ms + 7 + kBlacklist_ms : 0));
  CHECK(table.failed(in_48(0x66), "ann", kStart_ms + 10).blacklisted);
}

TEST_CASE("a neighbour who takes ever new addresses pushes nobody out of the blacklist") {
  Memory<PlainAtom> m;
  auto table = m.table(1);
  for (std::uint32_t i = 0; i < 50; ++i)
    REQUIRE(table.failed(numbered(i), "root", kStart_ms).blacklisted);
  for (std::uint32_t i = 1; i < 3000; ++i)
    table.failed(host("fe80::" + std::to_string(i % 10000) + "%eth0"), "root", kStart_ms + 1);
  for (std::uint32_t i = 0; i < 50; ++i)
    REQUIRE(table.status(numbered(i), kStart_ms + 1).blacklisted);
  CHECK(listed(table, kStart_ms + 1).count("fe80::%eth0/64") == 1);
  CHECK(table.status(host("fe80::abcd%eth0"), kStart_ms + 1).blacklisted);
  CHECK_FALSE(table.status(host("fe80::abcd%eth1"), kStart_ms + 1).blacklisted);
}

TEST_CASE("the addresses of an IPv4 network are counted as one where enough are blacklisted") {
  Memory<PlainAtom> m;
  auto table = m.table(2);
  const std::uint32_t bad = GENERATE(31U, 32U);
  const auto in_24 = [](std::uint32_t number) { return host("192.0.2." + std::to_string(number)); };
  for (std::uint32_t i = 0; i < 200; ++i) {
    table.failed(in_24(i), "root", kStart_ms);
    if (i < bad) table.failed(in_24(i), "root", kStart_ms + 1);
  }
  fill(table, kStart_ms + 1);
  table.failed(numbered(7000), "root", kStart_ms + 1);
  CHECK(table.status(in_24(201), kStart_ms + 1).blacklisted == (bad == 32));
  CHECK(listed(table, kStart_ms + 1).count("192.0.2.0/24") == (bad == 32));
  CHECK_FALSE(table.status(host("192.0.3.1"), kStart_ms + 1).blacklisted);
}

TEST_CASE("a name that looks like a network is none, and is in none") {
  Memory<PlainAtom> m;
  auto table = m.table(100);
  for (std::uint32_t i = 0; i < 40; ++i)
    table.failed(host("2001:db8:0:" + std::to_string(i) + "::/64"), "root", kStart_ms);
  table.failed(host("2001:db8::/48"), "root", kStart_ms);
  fill(table, kStart_ms);
  table.failed(numbered(7000), "root", kStart_ms);
  CHECK(failures(table, host("2001:db8::1")) == 0);
  CHECK(failures(table, host("2001:db8:0:7::/64")) == 1);
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

// --- What is damaged ---

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

TEST_CASE("the names of hosts and users are hashed with the key of the file") {
  Memory<PlainAtom> m;
  m.table().failed(kHost, "ann", kStart_ms);
  HashKey other = kKey;
  other[0] ^= 1;
  FailureTable<PlainAtom> foreign(m.gate, m.entries, other, {3, kBlacklist_ms});
  CHECK(foreign.status(kHost, kStart_ms).failures == 0);
}
