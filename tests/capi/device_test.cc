// Sessions without a process through the C API: a web application's.
#include <unistd.h>

#include "../support/child.h"
#include "site.h"

namespace {

class WebApp : public Gateway {
 public:
  using Gateway::Gateway;

  static sessreg_login login_by(const char* user, const char* device) {
    sessreg_login login = login_of(user, "web");
    login.flags = SESSREG_NO_PROCESS | SESSREG_NAME_AS_GIVEN;
    login.device = device;
    login.tty = "Firefox Linux";
    return login;
  }
  SessionHandle login(const char* user, const char* device) {
    return login(login_by(user, device));
  }
  SessionHandle login(const sessreg_login& from) {
    if (admit(from) != SESSREG_OK) return nullptr;
    const int bound = bind();
    INFO(told.text);
    REQUIRE(bound == SESSREG_OK);
    return std::move(session);
  }
  SessionHandle use(const char* user, const char* device) { return use(login_by(user, device)); }
  SessionHandle use(const sessreg_login& from) {
    sessreg_session* used = nullptr;
    code = sessreg_use(handle.get(), &from, &used, &told);
    return SessionHandle(used);
  }
  int code = 0;
};

std::string id_of(const SessionHandle& session) {
  return sessreg_session_id(session.get());
}

}  // namespace

TEST_CASE("a session without a process outlives who opened it, and is used by any other") {
  WebApp site("sessions_limit = 1\n");
  std::string token;
  {
    Pipe told;
    Child worker([&] {
      site.open();
      const SessionHandle session = site.login("alice", "x");
      const std::string text = session ? sessreg_session_token(session.get()) : "";
      for (const char c : text + "\n")
        told.put(c);
      return session ? 0 : 1;
    });
    told.close_write();
    for (int c = 0; (c = told.get()) > '\n';)
      token += static_cast<char>(c);
    REQUIRE(worker.wait() == 0);
  }
  REQUIRE_FALSE(token.empty());
  CHECK(site.seats() == 1);
  CHECK(sessreg_touch_token(site.handle.get(), token.c_str(), nullptr) == SESSREG_OK);
  CHECK(site.login("bob", "y") == nullptr);
  CHECK(site.told.code == SESSREG_SITE_FULL);

  sessreg_session* found = nullptr;
  REQUIRE(sessreg_find_token(site.handle.get(), token.c_str(), &found, &site.told) == SESSREG_OK);
  const SessionHandle session(found);
  CHECK(id_of(session).size() == 32);
  CHECK(std::string(sessreg_session_token(session.get())) == token);
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  REQUIRE(sessreg_look(session.get(), &entry, nullptr) == SESSREG_OK);
  CHECK(entry.state == SESSREG_ACTIVE);
  CHECK(entry.has_process == 0);
  CHECK(entry.leader == 0);
  CHECK(entry.has_seat == 1);
  CHECK(std::string(entry.user) == "alice");
  CHECK(std::string(entry.tty) == "Firefox Linux");
  CHECK(entry.expires_s > entry.opened_s);
  CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 0);
  CHECK(sessreg_touch_token(site.handle.get(), token.c_str(), nullptr) == SESSREG_NO_SESSION);
  CHECK(sessreg_find_token(site.handle.get(), token.c_str(), &found, nullptr) ==
        SESSREG_NO_SESSION);
}

TEST_CASE("of a device there is one session, whoever logs in by it again") {
  WebApp site("sessions_limit = 1\nuser_sessions_limit = 1\n");
  const SessionHandle first = site.login("alice", "x");
  REQUIRE(first);
  const SessionHandle again = site.login("alice", "x");
  REQUIRE(again);
  CHECK(site.seats() == 1);
  CHECK(id_of(first) != id_of(again));
  CHECK(sessreg_touch(first.get(), nullptr) == SESSREG_NO_SESSION);
  CHECK(sessreg_touch(again.get(), nullptr) == SESSREG_OK);
  CHECK(site.login("alice", "y") == nullptr);
  CHECK(site.told.code == SESSREG_USER_FULL);
  // A login that comes to nothing leaves the session as it was.
  REQUIRE(site.admit(WebApp::login_by("alice", "x")) == SESSREG_OK);
  CHECK(sessreg_close(site.session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_touch(again.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 1);
}

TEST_CASE("a use finds its device's session, opens one, or says why there is none") {
  WebApp site("sessions_limit = 1\n");
  const SessionHandle first = site.use("alice", "x");
  REQUIRE(first);
  CHECK(std::string(sessreg_session_token(first.get())).starts_with("v4.public."));
  const SessionHandle again = site.use("alice", "x");
  REQUIRE(again);
  CHECK(id_of(first) == id_of(again));
  CHECK(std::string(sessreg_session_token(again.get())).empty());
  CHECK(site.seats() == 1);
  CHECK(site.use("bob", "y") == nullptr);
  CHECK(site.code == SESSREG_SITE_FULL);

  REQUIRE(sessreg_revoke(first.get(), "out of office", nullptr) == SESSREG_OK);
  CHECK(site.seats() == 0);
  CHECK(site.use("alice", "x") == nullptr);
  CHECK(site.code == SESSREG_REVOKED);
  CHECK(std::string(site.told.text) == "out of office");
  CHECK(sessreg_touch(again.get(), &site.told) == SESSREG_REVOKED);
  CHECK(std::string(site.told.text) == "out of office");
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  CHECK(sessreg_look(again.get(), &entry, nullptr) == SESSREG_REVOKED);
  CHECK(entry.state == SESSREG_ENDING);
  CHECK(entry.has_seat == 0);
  const SessionHandle login = site.login("alice", "x");
  CHECK(login);
  CHECK(id_of(site.use("alice", "x")) == id_of(login));
}

TEST_CASE("a session without a process yields its seat when it is idle, and takes it again") {
  WebApp site("sessions_limit = 1\nidle_after = 1s\n");
  const SessionHandle alice = site.login("alice", "x");
  usleep(1'250'000);
  const SessionHandle bob = site.login("bob", "y");
  REQUIRE(bob);
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  CHECK(sessreg_look(alice.get(), &entry, nullptr) == SESSREG_OK);
  CHECK(entry.state == SESSREG_PARKED);
  CHECK(sessreg_touch(alice.get(), &site.told) == SESSREG_SITE_FULL);
  CHECK(site.use("alice", "x") == nullptr);
  CHECK(site.code == SESSREG_SITE_FULL);
  CHECK(std::string(site.told.text).find("1 active user sessions") != std::string::npos);
  REQUIRE(sessreg_close(bob.get(), nullptr) == SESSREG_OK);
  CHECK(id_of(site.use("alice", "x")) == id_of(alice));
  CHECK(site.seats() == 1);
}

TEST_CASE("the shorter time to live holds") {
  WebApp site("sessions_limit = 1\nsession_ttl = 1h\n");
  sessreg_login login = WebApp::login_by("alice", "x");
  login.ttl_s = 1;
  const SessionHandle alice = site.login(login);
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  REQUIRE(sessreg_look(alice.get(), &entry, nullptr) == SESSREG_OK);
  CHECK(entry.expires_s - entry.last_activity_s == 1);
  usleep(1'250'000);
  CHECK(sessreg_look(alice.get(), &entry, nullptr) == SESSREG_NO_SESSION);
  CHECK(sessreg_touch(alice.get(), nullptr) == SESSREG_EXPIRED);
  CHECK(site.seats() == 0);
  login.ttl_s = 7200;
  const SessionHandle later = site.login(login);
  REQUIRE(sessreg_look(later.get(), &entry, nullptr) == SESSREG_OK);
  CHECK(entry.expires_s - entry.last_activity_s == 3600);
}

TEST_CASE("a login takes over the session that it names") {
  WebApp site("sessions_limit = 5\nuser_sessions_limit = 1\n");
  const SessionHandle old = site.login("alice", "x");
  const SessionHandle other = site.login("bob", "z");
  sessreg_login login = WebApp::login_by("alice", "y");
  CHECK(site.login(login) == nullptr);
  const std::string id = id_of(old), of_bob = id_of(other);
  login.take_over = of_bob.c_str();
  CHECK(site.login(login) == nullptr);
  CHECK(site.told.code == SESSREG_USER_FULL);
  login.take_over = id.c_str();
  const SessionHandle anew = site.login(login);
  REQUIRE(anew);
  CHECK(site.seats() == 2);
  CHECK(sessreg_touch(old.get(), &site.told) == SESSREG_REVOKED);
  CHECK(std::string(site.told.text) == "a newer login of the same user took its place");
  CHECK(sessreg_touch(other.get(), nullptr) == SESSREG_OK);
  login.take_over = id.c_str();  // which has gone: its seat is another's
  CHECK(site.login(login));
  CHECK(site.seats() == 2);
}

TEST_CASE("what does not go together is refused before anything is done") {
  WebApp site("sessions_limit = 5\n");
  const auto refused = [&](const sessreg_login& login, int code, const char* text) {
    INFO(text);
    CHECK(site.admit(login) == code);
    CHECK(std::string(site.told.text) == text);
  };
  sessreg_login login = WebApp::login_of("alice", "web");
  login.device = "x";
  refused(login, SESSREG_EINVAL,
          "login.device is for sessions without a process: set SESSREG_NO_PROCESS in login.flags");
  login.device = nullptr;
  login.ttl_s = 5;
  refused(login, SESSREG_EINVAL,
          "login.ttl_s is for sessions without a process: set SESSREG_NO_PROCESS in login.flags");
  login = WebApp::login_by("alice", "x");
  login.take_over = "nonsense";
  refused(login, SESSREG_EINVAL,
          "login.take_over 'nonsense' is not one of a session: pass 32 hex digits, as "
          "sessreg_session_id gives them");
  login.take_over = nullptr;
  login.flags |= 1u << 7;
  refused(login, SESSREG_EUNSUPPORTED,
          "login.flags has bits that this libsessreg does not know: upgrade the library");
  const std::string long_key(256, 'x');
  login = WebApp::login_by("alice", long_key.c_str());
  refused(login, SESSREG_EINVAL, "login.device is too long: pass 255 bytes at most");
  CHECK(site.use("alice", nullptr) == nullptr);
  CHECK(site.code == SESSREG_EINVAL);
  CHECK(std::string(site.told.text) == "login.device is missing: a use is of a device's session");
  const std::string other(32, '0');
  login = WebApp::login_by("alice", "x");
  login.take_over = other.c_str();
  CHECK(site.use(login) == nullptr);
  CHECK(site.code == SESSREG_EINVAL);
  CHECK(std::string(site.told.text) ==
        "login.take_over is for sessreg_admit: a use ends no session");

  REQUIRE(site.admit(WebApp::login_by("alice", "x")) == SESSREG_OK);
  sessreg_binding binding = SESSREG_BINDING_INIT;
  binding.leader = getpid();
  CHECK(sessreg_bind(site.session.get(), &binding, &site.told) == SESSREG_EINVAL);
  CHECK(std::string(site.told.text) == "binding.leader is " + std::to_string(getpid()) +
                                           ", and no process is the session's own: pass 0");
  CHECK(site.bind() == SESSREG_OK);
  const auto with_process = site.opened("daemon");
  CHECK(sessreg_revoke(with_process.get(), nullptr, &site.told) == SESSREG_ESTATE);
  CHECK(sessreg_touch(with_process.get(), nullptr) == SESSREG_OK);
}

TEST_CASE("sessions are listed by user and service") {
  WebApp site("sessions_limit = 9\n");
  std::vector<SessionHandle> all;
  all.push_back(site.login("alice", "x"));
  all.push_back(site.login("alice", "y"));
  all.push_back(site.login("bob", "x"));
  all.push_back(site.opened("daemon"));
  const auto count = [&](const char* user, const char* service) {
    sessreg_list* listed = nullptr;
    REQUIRE(sessreg_list_of(site.handle.get(), user, service, &listed, nullptr) == SESSREG_OK);
    const ListHandle list(listed);
    CHECK(sessreg_list_seats(list.get()) == 4);
    return sessreg_list_count(list.get());
  };
  CHECK(count(nullptr, nullptr) == 4);
  CHECK(count("alice", nullptr) == 2);
  CHECK(count(nullptr, "web") == 3);
  CHECK(count("bob", "web") == 1);
  CHECK(count("bob", "gateway") == 0);
}

TEST_CASE("a program of before takes the structures as they were") {
  WebApp site("sessions_limit = 2\n");
  sessreg_login login = WebApp::login_of("daemon");
  login.size = offsetof(sessreg_login, device);
  login.device = "not to be looked at";
  CHECK(site.admit(login) == SESSREG_OK);
  REQUIRE(site.bind() == SESSREG_OK);
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  entry.size = offsetof(sessreg_entry, has_process);
  entry.has_process = 77;
  REQUIRE(sessreg_look(site.session.get(), &entry, nullptr) == SESSREG_OK);
  CHECK(entry.has_process == 77);
  CHECK(entry.leader == getpid());
}
