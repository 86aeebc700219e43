#include "varlink/accounts.h"

#include <cstring>

#include "../support/catch.h"

using namespace sessreg::varlink;

namespace {

std::size_t fill(Accounts& accounts, uid_t uid) {
  std::size_t count = 0;
  while (accounts.add_connection(uid) == nullptr)
    ++count;
  return count;
}

}  // namespace

TEST_CASE("one user cannot take the connections of the others") {
  Limits limits;
  limits.connections = 100;
  limits.kept_connections = 30;
  limits.few_connections = 3;
  limits.root_connections = 5;
  limits.uid_connections = 50;
  Accounts accounts(limits);
  CHECK(fill(accounts, 1000) == 50);
  CHECK(fill(accounts, 1001) == 20);  // up to the kept ones
  CHECK(fill(accounts, 1002) == 3);   // of these, a few
  for (uid_t uid = 2000; uid < 3000; ++uid)
    fill(accounts, uid);
  CHECK(accounts.connections() == 95);
  CHECK(fill(accounts, 0) == 5);  // root's
  CHECK(accounts.connections() == 100);
  CHECK(accounts.add_connection(0) != nullptr);
  accounts.remove_connection(0);
  CHECK(accounts.add_connection(1000) != nullptr);
  CHECK(accounts.add_connection(0) == nullptr);
}

TEST_CASE("one user cannot take the memory of the others, nor all of them root's") {
  Limits limits;
  limits.total_bytes = 1000;
  limits.root_bytes = 100;
  limits.uid_bytes = 400;
  Accounts accounts(limits);
  for (const uid_t uid : {0u, 1u, 2u, 3u})
    REQUIRE(accounts.add_connection(uid) == nullptr);
  CHECK(accounts.take(1, 400));
  CHECK_FALSE(accounts.take(1, 1));
  CHECK(accounts.take(2, 400));
  CHECK_FALSE(accounts.take(3, 101));
  CHECK(accounts.take(3, 100));
  CHECK_FALSE(accounts.take(0, 101));
  CHECK(accounts.take(0, 100));
  CHECK(accounts.bytes() == 1000);
  accounts.give_back(1, 400);
  CHECK(accounts.take(0, 400));  // root has no limit but the whole
}

TEST_CASE("a connection gives back what it held, and a refused growth changes nothing") {
  Limits limits;
  limits.uid_bytes = 100;
  Accounts accounts(limits);
  REQUIRE(accounts.add_connection(1) == nullptr);
  {
    Account account(accounts, 1);
    CHECK(account.hold(60));
    CHECK_FALSE(account.hold(101));
    CHECK(accounts.bytes() == 60);
    CHECK(account.hold(10));
    CHECK(accounts.bytes() == 10);
  }
  CHECK(accounts.bytes() == 0);
}
