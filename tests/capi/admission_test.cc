// Seats through the C API: taken, refused, bound, closed; and shared with the PAM module.
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/child.h"
#include "site.h"

TEST_CASE("a login is admitted, bound, listed, touched and closed") {
  Gateway site;
  REQUIRE(site.admit("daemon") == SESSREG_OK);
  CHECK(site.seats() == 1);
  CHECK(std::string(sessreg_session_id(site.session.get())).empty());
  CHECK(std::string(sessreg_session_token(site.session.get())).empty());
  CHECK(sessreg_session_standing(site.session.get()) == SESSREG_COUNTED);

  REQUIRE(site.bind() == SESSREG_OK);
  CHECK(std::string(site.told.text).empty());
  CHECK(site.seats() == 1);
  const std::string id = sessreg_session_id(site.session.get());
  CHECK(id.size() == 32);
  CHECK(std::string(sessreg_session_token(site.session.get())).starts_with("v4.public."));

  const auto list = site.list();
  REQUIRE(sessreg_list_count(list.get()) == 1);
  CHECK(sessreg_list_seats(list.get()) == 1);
  CHECK(sessreg_list_limit(list.get()) == 2);
  const sessreg_entry entry = site.entry(list);
  CHECK(entry.id == id);
  CHECK(std::string(entry.user) == "daemon");
  CHECK(std::string(entry.service) == "gateway");
  CHECK(std::string(entry.host) == "192.0.2.7");
  CHECK(std::string(entry.tty) == ":7");
  CHECK(std::string(entry.reason).empty());
  CHECK(entry.state == SESSREG_ACTIVE);
  CHECK(entry.has_seat == 1);
  CHECK(entry.uid == 1);
  CHECK(entry.leader == getpid());
  CHECK(entry.opened_s > 1'700'000'000);
  CHECK(entry.last_activity_s >= entry.opened_s);
  CHECK(entry.idle_s >= 0);

  CHECK(sessreg_touch(site.session.get(), &site.told) == SESSREG_OK);
  CHECK(sessreg_close(site.session.get(), &site.told) == SESSREG_OK);
  CHECK(site.seats() == 0);
  CHECK(sessreg_list_count(site.list().get()) == 0);
  CHECK(sessreg_list_count(list.get()) == 1);  // as it was then
}

TEST_CASE("a refused user gets the configured message with its placeholders filled") {
  Gateway site("sessions_limit = 1\nmessage_site_full = {user} by {service}: {count} of {limit}\n");
  const auto first = site.opened("daemon");
  CHECK(site.admit("bin") == SESSREG_SITE_FULL);
  CHECK(site.session == nullptr);
  CHECK(std::string(site.told.text) == "bin by gateway: 1 of 1");
  CHECK(site.told.code == SESSREG_SITE_FULL);
  CHECK(site.told.limit == 1);
  CHECK(site.told.count == 1);
  CHECK(site.told.let_through == 0);
  CHECK(SESSREG_IS_REFUSAL(site.told.code));
}

TEST_CASE("each limit refuses with a code of its own") {
  const gid_t group = getpwnam("daemon")->pw_gid;
  const std::string name = getgrgid(group)->gr_name;
  struct {
    std::string config;
    int code;
  } const cases[] = {
      {"sessions_limit = 1\n", SESSREG_SITE_FULL},
      {"user_sessions_limit = 1\n", SESSREG_USER_FULL},
      {"user_sessions_limit = 1\nuser_limit_policy = lock_then_evict\n", SESSREG_USER_LOCKED},
      {"[group " + name + "]\nsessions_limit = 1\n", SESSREG_GROUP_FULL},
      {"capacity = 1\n", SESSREG_TABLE_FULL},
  };
  for (const auto& [config, code] : cases) {
    INFO(config);
    Gateway site(config);
    const auto first = site.opened("daemon");
    CHECK(site.admit("daemon") == code);
    CHECK(std::string(site.told.text).size() > 10);
    CHECK((site.told.seconds > 0) == (code == SESSREG_USER_LOCKED));
  }
  Gateway drained("sessions_limit = 0\n");
  CHECK(drained.admit("daemon") == SESSREG_DRAIN);
}

TEST_CASE(
    "a seat that the C API took refuses a login through the module, and the other way round") {
  Gateway site("sessions_limit = 1\n");
  {
    const auto ours = site.admitted("bin");
    Transaction login(site, "daemon");
    CHECK(login.account() == PAM_PERM_DENIED);
    REQUIRE(sessreg_close(ours.get(), nullptr) == SESSREG_OK);
    CHECK(login.account() == PAM_SUCCESS);
    CHECK(site.admit("bin") == SESSREG_SITE_FULL);
    CHECK(login.open_session() == PAM_SUCCESS);
    CHECK(site.admit("bin") == SESSREG_SITE_FULL);
    CHECK(login.close_session() == PAM_SUCCESS);
  }
  CHECK(site.admit("bin") == SESSREG_OK);
  CHECK(site.seats() == 1);
}

TEST_CASE("of many gateways and PAM logins at once exactly as many get in as there are seats") {
  constexpr int kLogins = 12;
  Gateway site("sessions_limit = 5\n");
  std::vector<Child> children;
  children.reserve(kLogins);
  Pipe go, in;
  for (int i = 0; i < kLogins; ++i)
    children.emplace_back([&, i] {
      go.close_write();
      go.get();
      bool admitted = false;
      std::unique_ptr<Transaction> login;
      Gateway* const parents = &site;
      SiteHandle own;
      SessionHandle session;
      if (i % 2 == 0) {
        login = std::make_unique<Transaction>(site, "daemon");
        admitted = login->account() == PAM_SUCCESS && login->open_session() == PAM_SUCCESS;
      } else {
        sessreg_site* opened = nullptr;
        if (sessreg_open(nullptr, parents->config_path().c_str(), &opened, nullptr) != SESSREG_OK)
          return 2;
        own.reset(opened);
        const sessreg_login who = Gateway::login_of("bin");
        sessreg_session* made = nullptr;
        const int code = sessreg_admit(own.get(), &who, &made, nullptr);
        session.reset(made);
        if (code != SESSREG_OK && code != SESSREG_SITE_FULL) return 3;
        admitted = code == SESSREG_OK && sessreg_bind(made, nullptr, nullptr) == SESSREG_OK;
      }
      in.put(admitted ? '+' : '-');
      for (;;)
        pause();
      return 0;
    });
  go.close_write();
  int admitted = 0;
  for (int i = 0; i < kLogins; ++i) {
    const int answer = in.get();
    REQUIRE((answer == '+' || answer == '-'));
    admitted += answer == '+';
  }
  CHECK(admitted == 5);
  CHECK(site.seats() == 5);
}

TEST_CASE("a reservation that is closed gives its seat back, and closing again changes nothing") {
  Gateway site("sessions_limit = 1\n");
  auto first = site.admitted("daemon");
  CHECK(sessreg_close(first.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 0);
  const auto second = site.admitted("bin");
  REQUIRE(second != nullptr);
  CHECK(sessreg_close(first.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 1);
}

TEST_CASE("a reservation ends with the process that made it") {
  Gateway site("sessions_limit = 1\n");
  Child maker([&] {
    site.open();
    return site.admit("daemon");
  });
  REQUIRE(maker.wait() == SESSREG_OK);
  CHECK(site.admitted("bin") != nullptr);
  CHECK(site.seats() == 1);
}

TEST_CASE("freeing a handle closes nothing") {
  Gateway site;
  auto reserved = site.admitted("daemon");
  reserved.reset();
  auto opened = site.opened("bin");
  opened.reset();
  site.handle.reset();
  CHECK(site.seats() == 2);
}

TEST_CASE("a session outlives the handle of its site") {
  Gateway site;
  auto session = site.admitted("daemon");
  site.handle.reset();
  CHECK(sessreg_bind(session.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 0);
}

TEST_CASE("one process binds several logins of several users in any order") {
  Gateway site("sessions_limit = 4\n");
  SessionHandle sessions[] = {site.admitted("daemon"), site.admitted("bin"),
                              site.admitted("daemon")};
  for (const int i : {2, 1, 0})
    REQUIRE(sessreg_bind(sessions[i].get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 3);
  const auto list = site.list();
  CHECK(sessreg_list_count(list.get()) == 3);
  REQUIRE(sessreg_close(sessions[1].get(), nullptr) == SESSREG_OK);
  const auto rest = site.list();
  REQUIRE(sessreg_list_count(rest.get()) == 2);
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(std::string(site.entry(rest, i).user) == "daemon");
}

TEST_CASE("a reservation that ran out takes a seat anew when it is bound, and nobody else's") {
  Gateway site("sessions_limit = 2\n");
  const auto late = site.admitted("daemon");
  const auto other = site.admitted("daemon");
  // As if its time had run out.
  auto registry = site.registry();
  std::vector<sessreg::SlotRef> reserved;
  registry.for_each([&](const sessreg::Snapshot& held) { reserved.push_back(held.ref); });
  REQUIRE(reserved.size() == 2);
  REQUIRE(sessreg_close(late.get(), nullptr) == SESSREG_OK);
  auto again = site.admitted("daemon");
  registry.for_each([&](const sessreg::Snapshot& held) {
    if (held.ref != reserved[0] && held.ref != reserved[1]) registry.release_reservation(held.ref);
  });
  REQUIRE(site.seats() == 1);
  CHECK(sessreg_bind(again.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 2);
  CHECK(sessreg_bind(other.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 2);
}

TEST_CASE(
    "a bind that finds its reservation gone and the site full is refused, and may be tried again") {
  Gateway site("sessions_limit = 1\n");
  const auto late = site.admitted("daemon");
  auto registry = site.registry();
  registry.for_each([&](const sessreg::Snapshot& held) { registry.release_reservation(held.ref); });
  const auto other = site.opened("bin");
  CHECK(sessreg_bind(late.get(), nullptr, &site.told) == SESSREG_SITE_FULL);
  CHECK(site.told.limit == 1);
  REQUIRE(sessreg_close(other.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_bind(late.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 1);
}

TEST_CASE("a session lives as long as its leader, which may be another process") {
  Gateway site("sessions_limit = 1\n");
  Child worker([] {
    for (;;)
      pause();
    return 0;
  });
  REQUIRE(site.admit("daemon") == SESSREG_OK);
  sessreg_binding binding = SESSREG_BINDING_INIT;
  binding.leader = worker.pid();
  binding.tty = "pts/99";
  REQUIRE(sessreg_bind(site.session.get(), &binding, nullptr) == SESSREG_OK);
  const auto list = site.list();
  CHECK(site.entry(list).leader == worker.pid());
  CHECK(std::string(site.entry(list).tty) == "pts/99");
  CHECK(site.admitted("bin") == nullptr);
  worker.kill_and_wait();
  // Where the search for that refusal was slow, it is not made anew for up to a second.
  SessionHandle next;
  for (int turn = 0; turn < 1000 && !next; ++turn) {
    if (turn != 0) usleep(10'000);
    next = site.admitted("bin");
  }
  CHECK(next != nullptr);
  CHECK(site.seats() == 1);
}

TEST_CASE("exempt users are listed and not counted, ignored services not even that") {
  Gateway site("sessions_limit = 0\nexempt = daemon\nignore_services = probe\n");
  const auto exempt = site.opened("daemon");
  CHECK(sessreg_session_standing(exempt.get()) == SESSREG_EXEMPT);
  CHECK(std::string(sessreg_session_id(exempt.get())).size() == 32);
  CHECK(std::string(sessreg_session_token(exempt.get())).starts_with("v4.public."));
  const auto ignored = site.opened("bin", "probe");
  CHECK(sessreg_session_standing(ignored.get()) == SESSREG_IGNORED);
  CHECK(std::string(sessreg_session_id(ignored.get())).empty());
  CHECK(site.seats() == 0);
  const auto list = site.list();
  REQUIRE(sessreg_list_count(list.get()) == 1);
  CHECK(site.entry(list).state == SESSREG_LISTED);
  CHECK(site.entry(list).has_seat == 0);
  for (sessreg_session* session : {exempt.get(), ignored.get()}) {
    CHECK(sessreg_touch(session, nullptr) == SESSREG_OK);
    CHECK(sessreg_close(session, nullptr) == SESSREG_OK);
  }
  CHECK(sessreg_list_count(site.list().get()) == 0);
}

TEST_CASE("what is edited in the configuration holds from the next call on") {
  Gateway site("sessions_limit = 1\n");
  auto first = site.admitted("daemon");
  site.write_config("sessions_limit = 2\n");
  auto second = site.admitted("bin");
  REQUIRE(second != nullptr);
  // What was reserved is given back where nothing is to be counted any more.
  site.write_config("sessions_limit = 2\nexempt = daemon\nignore_services = gateway\n");
  CHECK(sessreg_bind(first.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(sessreg_session_standing(first.get()) == SESSREG_IGNORED);
  CHECK(site.seats() == 1);
  site.write_config("sessions_limit = ten\n");
  CHECK(sessreg_bind(second.get(), nullptr, &site.told) == SESSREG_ECONFIG);
  CHECK(std::string(site.told.text).find(site.config_path() + ":3: ") == 0);
}

TEST_CASE("a host that failed too often is refused, and a login clears its user's failures") {
  Gateway site(
      "max_failed_auth_per_host = 2\nblacklist_time = 1h\n"
      "message_blacklisted = Wait {seconds} s.\n");
  site.write_service("authfail", "authfail");
  const auto fail = [&] { return Transaction(site, "daemon", "authfail").authenticate(); };
  REQUIRE(fail() == PAM_AUTH_ERR);
  CHECK(site.admitted("daemon") != nullptr);
  REQUIRE(fail() == PAM_AUTH_ERR);
  CHECK(site.admitted("daemon") != nullptr);
  REQUIRE(fail() == PAM_AUTH_ERR);
  REQUIRE(fail() == PAM_AUTH_ERR);
  CHECK(site.admit("daemon") == SESSREG_BLACKLISTED);
  CHECK(std::string(site.told.text) == "Wait 3600 s.");
  CHECK(site.told.seconds == 3600);
  CHECK(site.told.limit == 2);
  sessreg_login elsewhere = Gateway::login_of("daemon");
  elsewhere.host = "192.0.2.8";
  CHECK(site.admit(elsewhere) == SESSREG_OK);
}

TEST_CASE("a user's stalest session gives way where the configuration says so") {
  Gateway site("user_sessions_limit = 1\nuser_limit_policy = evict\n");
  Child worker([] {
    signal(SIGTERM, SIG_DFL);  // Catch2 has a handler of its own
    for (;;)
      pause();
    return 0;
  });
  REQUIRE(site.admit("daemon") == SESSREG_OK);
  sessreg_binding binding = SESSREG_BINDING_INIT;
  binding.leader = worker.pid();
  REQUIRE(sessreg_bind(site.session.get(), &binding, nullptr) == SESSREG_OK);
  const auto old = std::move(site.session);
  const auto young = site.opened("daemon");
  CHECK(sessreg_touch(old.get(), &site.told) == SESSREG_REVOKED);
  CHECK(std::string(site.told.text) == "a newer login of the same user took its place");
  const int status = worker.wait_status();
  CHECK(WIFSIGNALED(status));
  CHECK(site.seats() == 1);
}

TEST_CASE("a name that is taken as given is nobody's account, and in no group") {
  Gateway site("exempt = root @root\n[group root]\nsessions_limit = 0\n");
  sessreg_login login = Gateway::login_of("visitor 4711");
  login.flags = SESSREG_NAME_AS_GIVEN;
  REQUIRE(site.admit(login) == SESSREG_OK);
  REQUIRE(site.bind() == SESSREG_OK);
  const auto list = site.list();
  CHECK(std::string(site.entry(list).user) == "visitor 4711");
  CHECK(site.entry(list).uid == -1);
}

TEST_CASE("without a key there is a session without a token, and a text that says why") {
  Gateway site;
  site.dir.write("site.key", "not a key\n");
  chmod((site.dir / "site.key").c_str(), 0600);
  const auto session = site.opened("daemon");
  CHECK(std::string(sessreg_session_id(session.get())).size() == 32);
  CHECK(std::string(sessreg_session_token(session.get())).empty());
  CHECK(std::string(site.told.text).find("no token issued: " + (site.dir / "site.key")) == 0);
  CHECK(site.told.code == SESSREG_OK);
}
