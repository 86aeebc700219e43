// CLOCK_REALTIME is set, forward and back; CLOCK_BOOTTIME, by which everything is decided, is not.
#include "base/clock.h"

#include "session/activity.h"
#include "site.h"
#include "token/token_key.h"
#include "token/token_verify.h"

using namespace faults;

namespace {

constexpr std::int64_t kYear_s = 365 * 86400;

// What becomes of a session's token when it is shown now.
sessreg::Marked::What show(const FaultSite& site, const std::string& token) {
  using namespace sessreg;
  const auto config = load_config("default", site.config_path());
  auto registry = site.registry();
  Marked marked;
  registry.for_each([&](const Snapshot& session) {
    if (session.record.token_digest == registry.token_digest(token))
      marked = mark_activity(registry, *config, session.ref.slot, registry.token_digest(token),
                             SystemProcesses(), boottime_ms());
  });
  return marked.what;
}

}  // namespace

TEST_CASE("the real time is set by years: no session ends by it, and none comes back") {
  FaultSite site("session_ttl = 1h\nsession_lifetime = 2h\nidle_after = 30m\n");
  OneLogin before(site);
  REQUIRE(before.run(Phase::account) == PAM_SUCCESS);
  REQUIRE(before.run(Phase::open) == PAM_SUCCESS);
  const std::string token = before.main().env("SESSREG_TOKEN");
  for (const std::int64_t years : {-20, -1, 1, 20}) {
    INFO("set by " << years << " years");
    const SetClock set(years * kYear_s);
    OneLogin during(site, "bin");
    CHECK(during.run(Phase::account) == PAM_SUCCESS);
    CHECK(during.run(Phase::open) == PAM_SUCCESS);
    site.reap();
    CHECK(site.seats() == 2);
    CHECK(show(site, token) == sessreg::Marked::What::marked);
    CHECK(show(site, during.main().env("SESSREG_TOKEN")) == sessreg::Marked::What::marked);
    // Full: whoever is refused has looked for the idle and the expired.
    OneLogin third(site, "games"), fourth(site, "man");
    CHECK(third.run(Phase::account) == PAM_SUCCESS);
    CHECK(fourth.run(Phase::account) == PAM_PERM_DENIED);
    CHECK(third.run(Phase::end) == PAM_SUCCESS);
    CHECK(during.run(Phase::close) == PAM_SUCCESS);
  }
  CHECK(before.run(Phase::close) == PAM_SUCCESS);
  // Nor does one that was closed come back.
  for (const std::int64_t years : {-20, 20}) {
    const SetClock set(years * kYear_s);
    CHECK(show(site, token) == sessreg::Marked::What::unknown);
    CHECK(site.seats() == 0);
  }
  check_that_logins_work(site);
}

TEST_CASE("the real time is set back while a reservation stands: it is bound all the same") {
  FaultSite site;
  OneLogin login(site);
  REQUIRE(login.run(Phase::account) == PAM_SUCCESS);
  const SetClock set(-kYear_s);
  site.reap();
  CHECK(site.seats() == 1);
  CHECK(login.run(Phase::open) == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(login.run(Phase::close) == PAM_SUCCESS);
}

TEST_CASE("whoever verifies a token without the registry goes by the real time it tells") {
  using namespace sessreg;
  FaultSite site("session_lifetime = 1h\n");
  OneLogin login(site);
  REQUIRE(login.run(Phase::open) == PAM_SUCCESS);
  const std::string token = login.main().env("SESSREG_TOKEN");
  const auto published = read_public_keys(site.dir / "site.pub");
  REQUIRE(published);
  std::vector<PublicKey> keys;
  for (const SitePublicKey& each : *published)
    keys.push_back(each.key);
  const auto verified_at = [&](std::int64_t seconds) {
    const SetClock set(seconds);
    return static_cast<bool>(verify_token(token, keys, "default", now().realtime_ms / 1000));
  };
  CHECK(verified_at(0));
  CHECK(verified_at(-30));  // kTokenClockSkew_s
  CHECK_FALSE(verified_at(-kYear_s));
  CHECK_FALSE(verified_at(kYear_s));
  CHECK(verified_at(3500));
  CHECK_FALSE(verified_at(3700));
}
