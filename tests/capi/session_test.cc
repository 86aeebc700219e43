// Sessions in use through the C API: touched, found, verified, revoked.
#include <time.h>

#include <cstdint>

#include "../support/child.h"
#include "config/config.h"
#include "session/ending.h"
#include "site.h"
#include "token/token_key.h"

namespace {

// The only session of the site, as the registry has it.
sessreg::Snapshot only_session(sessreg::Registry& registry) {
  sessreg::Snapshot found{};
  registry.for_each([&](const sessreg::Snapshot& held) { found = held; });
  return found;
}

KeysHandle keys_of(const Gateway& site) {
  sessreg_keys* keys = nullptr;
  REQUIRE(sessreg_keys_read(site.public_key_file().c_str(), &keys, nullptr) == SESSREG_OK);
  return KeysHandle(keys);
}

// A token of any claims, by the site's own key.
std::string signed_token(const Gateway& site, std::int64_t issued_s, std::int64_t expires_s,
                         const std::string& of_site = "default") {
  sessreg::TokenClaims claims;
  claims.site = of_site;
  claims.user = "daemon";
  claims.issued_s = issued_s;
  claims.expires_s = expires_s;
  const auto key = sessreg::load_key(site.dir / "site.key");
  REQUIRE(key);
  return *sessreg::issue_token(*key, claims);
}

}  // namespace

TEST_CASE("a touch marks the session as used, and from then on it is known whether it is") {
  Gateway site;
  const auto session = site.opened("daemon");
  auto registry = site.registry();
  CHECK_FALSE(only_session(registry).use_is_told);
  REQUIRE(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  CHECK(only_session(registry).use_is_told);
  CHECK(only_session(registry).last_activity_ms >=
        only_session(registry).record.opened_boottime_ms / 200 * 200);
}

TEST_CASE("a touch by token says of each token what it is worth") {
  Gateway site;
  auto session = site.opened("daemon");
  const std::string token = sessreg_session_token(session.get());
  const auto touch = [&](const std::string& text) {
    return sessreg_touch_token(site.handle.get(), text.c_str(), &site.told);
  };
  auto registry = site.registry();
  CHECK(touch(token) == SESSREG_OK);
  CHECK(only_session(registry).use_is_told);
  CHECK(touch("v4.public.nonsense") == SESSREG_BAD_TOKEN);
  CHECK(touch("") == SESSREG_BAD_TOKEN);
  CHECK(touch(std::string(1'000'000, 'x')) == SESSREG_BAD_TOKEN);
  std::string forged = token;
  forged[token.find('.', 12) - 5] ^= 1;
  CHECK(touch(forged) == SESSREG_BAD_TOKEN);
  const std::int64_t now_s = time(nullptr);
  CHECK(touch(signed_token(site, now_s - 9, now_s - 1)) == SESSREG_EXPIRED);
  CHECK(touch(signed_token(site, now_s, now_s + 99)) == SESSREG_NO_SESSION);
  CHECK(touch(signed_token(site, now_s, now_s + 99, "other")) == SESSREG_BAD_TOKEN);
  CHECK(std::string(site.told.text).find("site 'other'") != std::string::npos);
  REQUIRE(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  CHECK(touch(token) == SESSREG_NO_SESSION);
  site.dir.write("site.pub", "none\n");
  CHECK(touch(token) == SESSREG_EKEY);
}

TEST_CASE("who leads its users' sessions itself is not signalled when they end, who is named is") {
  Gateway site("sessions_limit = 1\n");
  const sessreg::Config config;
  // Marks, frees, and would signal.
  const auto end = [&](sessreg::Registry& registry) {
    sessreg::EndingOptions options;
    options.grace = std::chrono::milliseconds(0);
    const auto sessions = sessreg::read_sessions(registry, config, sessreg::ProcessTable::read());
    REQUIRE(sessions.size() == 1);
    const auto table = sessreg::ProcessTable::read();
    return sessreg::Ender(registry, config, sessions, options, table).results().front().result;
  };
  SECTION("itself") {
    const auto session = site.opened("daemon");
    auto registry = site.registry();
    const pid_t parent = getpid();
    // From another process, as nobody signals itself.
    Child revoker([&] { return end(registry) == sessreg::EndResult::ending ? 0 : 1; });
    CHECK(revoker.wait() == 0);
    REQUIRE(getpid() == parent);
    CHECK(registry.count() == 0);
    CHECK(sessreg_touch(session.get(), &site.told) == SESSREG_REVOKED);
    const auto next = site.opened("bin");
    CHECK(next);
    CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
    CHECK(registry.count() == 1);
  }
  SECTION("another process") {
    Pipe ready;
    Child worker([&] {
      signal(SIGTERM, SIG_DFL);  // Catch2 has a handler of its own
      ready.put('r');
      for (;;)
        pause();
      return 0;
    });
    REQUIRE(ready.get() == 'r');
    auto session = site.admitted("daemon");
    REQUIRE(session);
    sessreg_binding binding = SESSREG_BINDING_INIT;
    binding.leader = worker.pid();
    REQUIRE(sessreg_bind(session.get(), &binding, &site.told) == SESSREG_OK);
    auto registry = site.registry();
    CHECK(end(registry) != sessreg::EndResult::ending);
    CHECK(WTERMSIG(worker.wait_status()) == SIGTERM);
  }
}

TEST_CASE("a session that was revoked, has expired or ended says so when it is touched") {
  Gateway site("session_lifetime = 1h\n");
  const auto session = site.opened("daemon");
  const std::string token = sessreg_session_token(session.get());
  auto registry = site.registry();
  const sessreg::SlotRef ref = only_session(registry).ref;
  REQUIRE(registry.mark_revoked(ref, "lunch\x1b[0m"));
  for (const bool by_token : {false, true}) {
    const int code = by_token ? sessreg_touch_token(site.handle.get(), token.c_str(), &site.told)
                              : sessreg_touch(session.get(), &site.told);
    CHECK(code == SESSREG_REVOKED);
    CHECK(std::string(site.told.text) == "lunch\\x1b[0m");
  }
  REQUIRE(registry.release(ref));
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_NO_SESSION);
  CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_ESTATE);
}

TEST_CASE("a parked session takes its seat again when it is touched, or its user is told why not") {
  Gateway site(
      "sessions_limit = 1\nidle_after = 1s\nmessage_site_full = {user}: {count} of {limit}\n");
  const auto idle = site.opened("daemon");
  REQUIRE(sessreg_touch(idle.get(), nullptr) == SESSREG_OK);
  SessionHandle young;
  for (const std::int64_t end = time(nullptr) + 60; young == nullptr && time(nullptr) < end;)
    young = site.admitted("bin");
  REQUIRE(young != nullptr);
  CHECK(site.entry(site.list()).state == SESSREG_PARKED);
  CHECK(sessreg_touch(idle.get(), &site.told) == SESSREG_SITE_FULL);
  CHECK(std::string(site.told.text) == "daemon: 1 of 1");
  CHECK(site.told.limit == 1);
  site.write_config("sessions_limit = 1\nidle_after = 1s\nno_such_key = 1\n");
  CHECK(sessreg_touch(idle.get(), &site.told) == SESSREG_ECONFIG);
  site.write_config("sessions_limit = 1\nidle_after = 1s\n");
  REQUIRE(sessreg_close(young.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_touch(idle.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 1);
}

TEST_CASE(
    "a fault in the configuration does not keep sessions with a seat from being used and closed") {
  Gateway site;
  const auto session = site.opened("daemon");
  site.write_config("no_such_key = 1\n");
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 0);
}

TEST_CASE("a session is found by its whole id and its service") {
  Gateway site;
  const auto opened = site.opened("daemon");
  const auto reserved = site.admitted("bin");
  const std::string id = sessreg_session_id(opened.get());
  sessreg_session* found = nullptr;
  CHECK(sessreg_find(site.handle.get(), id.c_str(), "sshd", &found, &site.told) ==
        SESSREG_NO_SESSION);
  CHECK(found == nullptr);
  CHECK(sessreg_find(site.handle.get(), std::string(32, '0').c_str(), "gateway", &found, nullptr) ==
        SESSREG_NO_SESSION);
  const auto list = site.list();
  for (std::size_t i = 0; i < 2; ++i)  // a reservation is not a session
    if (site.entry(list, i).state == SESSREG_RESERVED)
      CHECK(sessreg_find(site.handle.get(), site.entry(list, i).id, "gateway", &found, nullptr) ==
            SESSREG_NO_SESSION);
  REQUIRE(sessreg_find(site.handle.get(), id.c_str(), "gateway", &found, nullptr) == SESSREG_OK);
  const SessionHandle session(found);
  CHECK(sessreg_session_id(found) == id);
  CHECK(sessreg_bind(found, nullptr, nullptr) == SESSREG_ESTATE);
  CHECK(sessreg_touch(found, nullptr) == SESSREG_OK);
  CHECK(sessreg_close(found, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 1);
  CHECK(sessreg_touch(opened.get(), nullptr) == SESSREG_NO_SESSION);
}

TEST_CASE("sessions of a registry that was replaced are not mistaken for those in the new one") {
  Gateway site;
  const auto old = site.opened("daemon");
  const auto reserved = site.admitted("bin");
  // In the new one, others stand in the very same places.
  std::ifstream in(site.registry_path(), std::ios::binary);
  std::string file{std::istreambuf_iterator<char>(in), {}};
  auto registry = site.registry();
  registry.for_each([&](const sessreg::Snapshot& held) {
    const auto* id = reinterpret_cast<const char*>(held.record.id.data());
    const std::string_view bytes(id, held.record.id.size());
    // In more places than one: the slot of its reservation was not wiped.
    for (std::size_t at = 0; (at = file.find(bytes, at)) != std::string::npos;)
      file[at] = static_cast<char>(file[at] ^ 1);
  });
  REQUIRE(unlink(site.registry_path().c_str()) == 0);
  CHECK(sessreg_touch(old.get(), nullptr) == SESSREG_NO_SESSION);
  site.dir.write("registry/site.reg", file);
  chmod(site.registry_path().c_str(), 0600);
  REQUIRE(site.seats() == 2);
  CHECK(sessreg_touch(old.get(), nullptr) == SESSREG_NO_SESSION);
  CHECK(sessreg_close(old.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_bind(reserved.get(), nullptr, nullptr) == SESSREG_SITE_FULL);
  CHECK(sessreg_close(reserved.get(), nullptr) == SESSREG_OK);
  CHECK(site.seats() == 2);
}

TEST_CASE("a list is stalest first, and knows reservations") {
  Gateway site("sessions_limit = -1\n");
  const auto list = site.list();
  CHECK(sessreg_list_count(list.get()) == 0);  // and no registry was made
  CHECK(sessreg_list_limit(list.get()) == -1);
  CHECK_FALSE(std::filesystem::exists(site.registry_path()));
  const auto opened = site.opened("daemon");
  const auto reserved = site.admitted("bin");
  const auto both = site.list();
  REQUIRE(sessreg_list_count(both.get()) == 2);
  CHECK(site.entry(both, 0).idle_s >= site.entry(both, 1).idle_s);
  CHECK(site.entry(both, 0).state + site.entry(both, 1).state == SESSREG_RESERVED);
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  CHECK(sessreg_list_get(both.get(), 2, &entry) == SESSREG_EINVAL);
}

TEST_CASE("a token is verified with the public key alone") {
  Gateway site;
  const auto session = site.opened("daemon");
  const std::string token = sessreg_session_token(session.get());
  const auto keys = keys_of(site);
  site.handle.reset();
  REQUIRE(unlink(site.registry_path().c_str()) == 0);
  sessreg_claims claims = SESSREG_CLAIMS_INIT;
  REQUIRE(sessreg_verify(keys.get(), nullptr, token.c_str(), &claims, nullptr) == SESSREG_OK);
  CHECK(std::string(claims.user) == "daemon");
  CHECK(std::string(claims.site) == "default");
  CHECK(std::string(claims.id) == sessreg_session_id(session.get()));
  CHECK(claims.issued_s <= time(nullptr));
  CHECK(claims.expires_s - claims.issued_s == 366 * 86400);
  CHECK(sessreg_verify(keys.get(), "default", token.c_str(), nullptr, nullptr) == SESSREG_OK);
  CHECK(sessreg_verify(keys.get(), "other", token.c_str(), nullptr, nullptr) == SESSREG_BAD_TOKEN);
  CHECK(sessreg_verify(keys.get(), nullptr, (token + "x").c_str(), nullptr, &site.told) ==
        SESSREG_BAD_TOKEN);
  const std::int64_t now_s = time(nullptr);
  CHECK(sessreg_verify(keys.get(), nullptr, signed_token(site, now_s - 9, now_s - 1).c_str(),
                       nullptr, nullptr) == SESSREG_EXPIRED);
}

TEST_CASE("public keys are taken as text, and only such") {
  Gateway site;
  const auto session = site.opened("daemon");
  std::string text;
  std::getline(std::ifstream(site.public_key_file()), text);
  sessreg_keys* keys = nullptr;
  REQUIRE(sessreg_keys_parse(text.c_str(), &keys, nullptr) == SESSREG_OK);
  CHECK(sessreg_verify(keys, nullptr, sessreg_session_token(session.get()), nullptr, nullptr) ==
        SESSREG_OK);
  sessreg_keys_free(keys);
  for (const std::string& wrong :
       {std::string(), std::string("k4.public."), text + "x", std::string(2'000'000, '\n')}) {
    keys = reinterpret_cast<sessreg_keys*>(1);
    CHECK(sessreg_keys_parse(wrong.c_str(), &keys, &site.told) ==
          (wrong.size() > 1'000'000 ? SESSREG_EINVAL : SESSREG_EKEY));
    CHECK(keys == nullptr);
    CHECK(std::string(site.told.text).find("text") == 0);
  }
  CHECK(sessreg_keys_read((site.dir / "none.pub").c_str(), &keys, &site.told) == SESSREG_EKEY);
  CHECK(std::string(site.told.text).find(site.dir / "none.pub") != std::string::npos);
}
