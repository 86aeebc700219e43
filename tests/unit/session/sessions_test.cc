// The sessions of a registry as they are read to be shown: each once, whatever happens meanwhile.
#include "session/sessions.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "../../support/catch.h"
#include "../registry/registry_fixture.h"

using namespace sessreg;

namespace {

using Seen = std::vector<std::string>;

// Of this process, which lives.
struct Living : Fixture {
  explicit Living(std::uint32_t capacity = 64) : Fixture(capacity) {
    registry.publish_limit(registry.published_limit(), unlimited);
  }

  Login login_of(const std::string& user) {
    Login result = login(user);
    result.self = self_id();
    result.parent = {getppid(), 0};
    return result;
  }
  Admission admit(const std::string& user) {
    return registry.admit(login_of(user), Terms(unlimited), processes);
  }
  Admission reserve(const std::string& user) { return Fixture::reserve(login_of(user), unlimited); }
  void bind(const Admission& reservation, const std::string& user) {
    REQUIRE(registry.bind(reservation.ref, login_of(user), Terms(unlimited), processes));
  }

  VisitSession noting() {
    return [this](const Session& session) {
      seen.push_back(std::string(session.user()) + ": " + text(session.state));
    };
  }

  Config config;
  ProcessTable table = ProcessTable::read();
  Seen seen;
};

Seen sorted(Seen seen) {
  std::sort(seen.begin(), seen.end());
  return seen;
}

}  // namespace

TEST_CASE("a login whose session is opened in a slot that was looked at is shown as that") {
  Living site;
  site.admit("anna");
  const Admission login = site.reserve("bob");
  SessionScan scan(site.registry, site.config, site.table);
  scan.look(0, site.registry.slots(), site.noting());
  site.bind(login, "bob");
  scan.finish(site.noting());
  CHECK(sorted(site.seen) == Seen{"anna: active", "bob: active"});
}

TEST_CASE("a login whose session is opened before its new slot is looked at is shown once") {
  Living site;
  site.admit("anna");
  const Admission login = site.reserve("bob");
  SessionScan scan(site.registry, site.config, site.table);
  scan.look(login.ref.slot, login.ref.slot + 1, site.noting());
  site.bind(login, "bob");
  scan.look(0, login.ref.slot, site.noting());
  scan.look(login.ref.slot + 1, site.registry.slots(), site.noting());
  scan.finish(site.noting());
  CHECK(sorted(site.seen) == Seen{"anna: active", "bob: active"});
}

TEST_CASE("a login whose session is opened in a slot that was looked at before its own is shown") {
  Living site;
  site.admit("anna");
  const Admission login = site.reserve("bob");
  SessionScan scan(site.registry, site.config, site.table);
  scan.look(0, login.ref.slot, site.noting());
  scan.look(login.ref.slot + 1, site.registry.slots(), site.noting());
  site.bind(login, "bob");
  scan.look(login.ref.slot, login.ref.slot + 1, site.noting());
  scan.finish(site.noting());
  CHECK(sorted(site.seen) == Seen{"anna: active", "bob: active"});
}

TEST_CASE("a login under way is shown as reserved, one that was given up is not") {
  Living site;
  site.reserve("anna");
  const Admission given_up = site.reserve("bob");
  SessionScan scan(site.registry, site.config, site.table);
  scan.look(0, site.registry.slots(), site.noting());
  CHECK(site.seen.empty());
  REQUIRE(site.registry.release_reservation(given_up.ref));
  scan.finish(site.noting());
  CHECK(site.seen == Seen{"anna: reserved"});
}

TEST_CASE("who died is dropped, and is not shown") {
  Living site;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  Login login = site.login_of("bob");
  login.self.pid = child;
  REQUIRE(waitpid(child, nullptr, 0) == child);
  REQUIRE(site.registry.admit(login, Terms(unlimited), site.processes).admitted());
  site.admit("anna");
  const Reaped dropped = for_each_session(site.registry, site.config, site.table, site.noting());
  CHECK(dropped.sessions == 1);
  CHECK(site.seen == Seen{"anna: active"});
  CHECK(site.registry.count() == 1);
}

TEST_CASE("who gave way to a login that died is shown with the seat that comes back") {
  Living site;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  Terms one(unlimited);
  one.user_limit = 1;
  one.evict_after_ms = 0;
  const Admission session = site.registry.admit(site.login_of("bob"), one, site.processes);
  site.age(session.ref, 5000);
  Login dead = site.login_of("bob");
  dead.self = dead.parent = {child, 100};
  REQUIRE(site.registry.reserve(dead, one, site.processes, now().boottime_ms + 130'000).admitted());
  REQUIRE(site.stage(session.ref) == Stage::parked);
  CHECK(for_each_session(site.registry, site.config, site.table, site.noting()).reservations == 1);
  CHECK(site.seen == Seen{"bob: active"});
}

TEST_CASE("a slot that a login claimed before it died is freed") {
  Living site;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  auto mapped = open_registry_file(site.dir / "site.reg", site.host);
  Slot<ProcessAtom>& slot = mapped->slots()[7];
  const Widths widths(site.registry.slots());
  slot.state.store(widths.pack(StateWord{Stage::claimed, 1, static_cast<std::uint32_t>(child), 7}));
  const Reaped dropped = for_each_session(site.registry, site.config, site.table, site.noting());
  CHECK(dropped.claims == 1);
  CHECK(site.registry.is_free(7));
  CHECK(site.seen.empty());
}

TEST_CASE("threads that share the look show each session once while others come and go") {
  constexpr std::uint32_t kThreads = 4, kStaying = 600;
  Living site(2 * kStaying);
  for (std::uint32_t i = 0; i < kStaying; ++i)
    REQUIRE(site.admit("stays" + std::to_string(i)).admitted());

  std::atomic<bool> enough = false;
  std::thread others([&] {
    auto registry = Registry::open(site.dir / "site.reg", site.host);
    for (std::uint32_t i = 0; !enough; ++i) {
      const Login login = site.login_of("passes" + std::to_string(i % 50));
      const Admission admission = registry->admit(login, Terms(unlimited), site.processes);
      if (admission.admitted()) registry->release(admission.ref);
    }
  });
  for (int round = 0; round < 20; ++round) {
    SessionScan scan(site.registry, site.config, site.table);
    std::array<std::vector<std::string>, kThreads> ids;
    const auto noting = [](std::vector<std::string>& mine) -> VisitSession {
      return [&mine](const Session& session) {
        if (session.user().starts_with("stays")) mine.push_back(session.id());
      };
    };
    std::vector<std::thread> threads;
    const std::uint32_t slots = site.registry.slots();
    for (std::uint32_t i = 0; i < kThreads; ++i)
      threads.emplace_back(
          [&, i] { scan.look(slots * i / kThreads, slots * (i + 1) / kThreads, noting(ids[i])); });
    for (std::thread& thread : threads)
      thread.join();
    scan.finish(noting(ids[0]));
    std::vector<std::string> all;
    for (const auto& mine : ids)
      all.insert(all.end(), mine.begin(), mine.end());
    std::sort(all.begin(), all.end());
    CHECK(all.size() == kStaying);
    CHECK(std::unique(all.begin(), all.end()) == all.end());
  }
  enough = true;
  others.join();
}
