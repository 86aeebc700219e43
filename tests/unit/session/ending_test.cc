// The end of a session: by a login that takes its place, and by who revokes it.
#include "session/ending.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <thread>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/on_terminal.h"
#include "../registry/registry_fixture.h"
#include "session/send_off.h"

using namespace sessreg;

namespace {

struct Site : Fixture {
  Site() {
    config.message_revoked = "Ended: {count} of {limit} on {site}, {user} by {service}.";
    config.sessions_limit = 7;
    registry.publish_limit(registry.published_limit(), limit_of(7));
  }

  Snapshot admit(const std::string& user, pid_t leader) {
    Login login = this->login(user);
    login.uid = geteuid();
    login.self = {leader, read_process_stat(leader)->start_ticks};
    const Admission admission = registry.admit(login, limit_of(7), processes);
    REQUIRE(admission.admitted());
    Snapshot session;
    REQUIRE(registry.snapshot(admission.ref, session));
    return session;
  }

  Config config;
};

}  // namespace

TEST_CASE("who gives way to a login takes along what its dead leader left, and ignores SIGHUP") {
  Site site;
  // What the leader leaves comes to this process, which so sees it end.
  REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  Pipe left, may_go;
  Child leader([&] {
    setsid();
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGHUP, SIG_IGN);
      signal(SIGTERM, SIG_DFL);  // not as Catch2 has it
      alarm(60);                 // whatever becomes of the test
      left.put('r');
      for (;;)
        pause();
    }
    return may_go.get() == 'g' ? 0 : 1;
  });
  REQUIRE(left.get() == 'r');
  const Snapshot session = site.admit("anna", leader.pid());
  REQUIRE(may_go.put('g'));
  REQUIRE(leader.wait() == 0);

  send_off(site.registry, site.config, {session, Displaced::Why::evicted});
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 1000 && (ended = waitpid(-1, &status, WNOHANG)) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
  CHECK(ended > 0);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("whoever ends a session, its user reads the limit in force and the seats taken") {
  Site site;
  const OnTerminal terminal;
  REQUIRE(terminal.is_ready());
  const Snapshot session = site.admit("anna", terminal.pid());
  site.admit("bob", getpid());
  site.registry.set_override(5);
  SECTION("a login") {
    send_off(site.registry, site.config, {session, Displaced::Why::evicted});
    CHECK_THAT(terminal.output(),
               Catch::Contains("Ended: 2 of 5 on default, anna by sshd. (a newer login of the "
                               "same user took its place)"));
  }
  SECTION("a revoker") {
    EndingOptions options;
    options.reason = "lunch";
    Ender ender(site.registry, site.config,
                {session_from(session, site.config.site, State::active, true, now())}, options);
    CHECK_THAT(terminal.output(),
               Catch::Contains("Ended: 2 of 5 on default, anna by sshd. (lunch)"));
  }
}

namespace {

// A leader of its own that does not go when it is asked.
struct Stubborn {
  Pipe ready;
  Child child{[this] {
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    ready.put('r');
    for (;;)
      pause();
    return 0;
  }};
  bool is_alive() const { return !read_process_stat(child.pid())->is_dead_zombie(); }
};

Session session_of(const Site& site, const Snapshot& snapshot) {
  return session_from(snapshot, site.config.site, State::active, false, now());
}

}  // namespace

TEST_CASE("who waits for a session's end looks at no other process until something happens") {
  Site site;
  Stubborn leader;
  REQUIRE(leader.ready.get() == 'r');
  const Snapshot session = site.admit("anna", leader.child.pid());
  EndingOptions options;
  options.grace = std::chrono::hours(1);
  Ender ender(site.registry, site.config, {session_of(site, session)}, options);
  while (ender.rest())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  REQUIRE(ender.step());  // the first signal was due
  CHECK(ender.rest());
  CHECK(ender.rest());
  SECTION("its leader ends") {
    leader.child.kill_and_wait();
  }
  SECTION("it is closed") {
    CHECK(site.registry.release(session.ref));
  }
  CHECK_FALSE(ender.rest());
}

TEST_CASE("a leader that takes on another session is signalled no more") {
  Site site;
  Stubborn leader;
  REQUIRE(leader.ready.get() == 'r');
  const Snapshot session = site.admit("anna", leader.child.pid());
  EndingOptions options;
  options.grace = std::chrono::milliseconds(0);
  Ender ender(site.registry, site.config, {session_of(site, session)}, options);
  site.admit("bob", leader.child.pid());
  while (const auto pause = ender.step())
    std::this_thread::sleep_for(*pause);
  CHECK(ender.results().front().result == EndResult::ending);
  CHECK(leader.is_alive());
  CHECK(site.stage(session.ref) == Stage::evicted);
  CHECK(site.registry.count() == 1);
}

TEST_CASE("who gives way is not asked to go where its leader leads another session, too") {
  Site site;
  Pipe ready, may_go;
  Child leader([&] {
    signal(SIGTERM, SIG_DFL);  // not as Catch2 has it
    ready.put('r');
    return may_go.get() == 'g' ? 0 : 1;
  });
  REQUIRE(ready.get() == 'r');
  const Snapshot session = site.admit("anna", leader.pid());
  const Snapshot other = site.admit("bob", leader.pid());
  send_off(site.registry, site.config, {session, Displaced::Why::evicted});
  Snapshot marked;
  REQUIRE(site.registry.snapshot(session.ref, marked));
  CHECK(marked.mark == MarkStage::revoked);
  CHECK(site.stage(other.ref) == Stage::seated);
  may_go.put('g');
  CHECK(leader.wait() == 0);
}

namespace {

volatile sig_atomic_t signals_seen = 0;
void count_signal(int /*signal_number*/) {
  signals_seen = signals_seen + 1;
}

// Ignores what asks it to go.
pid_t fork_stubborn(Pipe& ready) {
  const pid_t child = fork();
  if (child != 0) return child;
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  alarm(60);  // whatever becomes of the test
  ready.put('r');
  for (;;)
    pause();
}

}  // namespace

TEST_CASE("a leader that closed its session is left alone, though what it left has to be killed") {
  Site site;
  Pipe ready, closed, over;
  // Returns how many signals it had.
  Child leader([&] {
    setsid();
    struct sigaction counting {};
    counting.sa_handler = count_signal;
    counting.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &counting, nullptr);
    sigaction(SIGHUP, &counting, nullptr);
    const pid_t old = fork_stubborn(ready);
    while (closed.get() != 'c') {  // a signal ends its wait
    }
    const pid_t later = fork_stubborn(ready);
    while (over.get() != 'o') {
    }
    int status = 0;
    if (waitpid(old, &status, 0) != old || !WIFSIGNALED(status)) return 90;
    if (waitpid(later, nullptr, WNOHANG) != 0) return 91;
    kill(later, SIGKILL);
    waitpid(later, nullptr, 0);
    return static_cast<int>(signals_seen);
  });
  REQUIRE(ready.get() == 'r');
  const Snapshot session = site.admit("anna", leader.pid());
  EndingOptions options;
  options.grace = std::chrono::milliseconds(0);
  Ender ender(site.registry, site.config, {session_of(site, session)}, options);
  REQUIRE(site.registry.release(session.ref));
  // What the leader does from now on is for others.
  REQUIRE(closed.put('c'));
  REQUIRE(ready.get() == 'r');
  while (const auto pause = ender.step())
    std::this_thread::sleep_for(*pause);
  CHECK(ender.results().front().result == EndResult::ended);
  REQUIRE(over.put('o'));
  CHECK(leader.wait() == 1);  // when it was asked
}

TEST_CASE("a login that opens its session while it is revoked is ended as that, not forgotten") {
  Site site;
  Stubborn leader;
  REQUIRE(leader.ready.get() == 'r');
  Login login = site.login("anna");
  login.self = {leader.child.pid(), read_process_stat(leader.child.pid())->start_ticks};
  const Admission reserved = site.registry.reserve(login, limit_of(7), site.processes, ~0ull);
  REQUIRE(reserved.admitted());
  Snapshot seen;
  REQUIRE(site.registry.snapshot(reserved.ref, seen));
  const Session chosen = session_from(seen, site.config.site, State::reserved, false, now());
  const auto bound = site.registry.bind(reserved.ref, login, limit_of(7), site.processes);
  REQUIRE(bound);
  EndingOptions options;
  options.reason = "lunch";
  const Ender ender(site.registry, site.config, {chosen}, options);
  CHECK(ender.results().front().result == EndResult::survived);
  CHECK(ender.results().front().survivors == std::vector{leader.child.pid()});
  REQUIRE(site.registry.snapshot(bound->ref, seen));
  CHECK(seen.mark == MarkStage::revoked);
  CHECK(reason_of(seen) == "lunch");
}
