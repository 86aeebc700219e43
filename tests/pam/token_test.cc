// Tokens as a login gets them, and what they are good for.
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <thread>

#include "../support/catch.h"
#include "../support/child.h"
#include "../support/memory_search.h"
#include "base/secret_bytes.h"
#include "session/activity.h"
#include "token/token_key.h"
#include "token/token_verify.h"
#include "transaction.h"

using namespace sessreg;

namespace {

#ifdef SESSREG_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string key_path(const PamSite& site) {
  return site.dir / "site.key";
}

TokenClaims verified(const PamSite& site, const std::string& token) {
  const auto known = read_public_keys(public_key_path(key_path(site)));
  REQUIRE(known);
  std::vector<PublicKey> keys;
  for (const SitePublicKey& key : *known)
    keys.push_back(key.key);
  const auto result = verify_token(token, keys, "default", now().realtime_ms / 1000);
  INFO((result ? "" : result.error().what));
  REQUIRE(result);
  return result->claims();
}

Config config_of(const PamSite& site) {
  return *load_config("default", site.config_path());
}

Marked show(const PamSite& site, const std::string& token, std::uint64_t later_ms = 0) {
  auto registry = site.registry();
  const auto claimed = inspect_token(token);
  REQUIRE(claimed);
  return mark_activity(registry, config_of(site), claimed->claimed.slot,
                       registry.token_digest(token), SystemProcesses(), boottime_ms() + later_ms);
}

// daemon's session, in a process of its own that ends when it is asked, and its token.
class Elsewhere {
 public:
  explicit Elsewhere(const PamSite& site) : site_(site) {
    REQUIRE(opened_.get() == PAM_SUCCESS);
    std::ifstream in(site.dir / "token");
    token = {std::istreambuf_iterator<char>(in), {}};
  }
  bool leave() { return leave_.put('x') && child.wait() == 0; }

 private:
  const PamSite& site_;
  Pipe opened_, leave_;

 public:
  Child child{[this] {
    signal(SIGTERM, SIG_DFL);
    Transaction t(site_, "daemon");
    const int code = t.open_session();
    site_.dir.write("token", t.env("SESSREG_TOKEN"));
    opened_.put(static_cast<char>(code));
    leave_.get();
    return 0;
  }};
  std::string token;
};

}  // namespace

TEST_CASE("a session gets a token that anyone with the public key can verify") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(t.env("SESSREG_TOKEN").empty());
  CHECK(t.open_session() == PAM_SUCCESS);
  const TokenClaims claims = verified(site, t.env("SESSREG_TOKEN"));
  CHECK(claims.site == "default");
  CHECK(claims.user == "daemon");
  CHECK(to_hex(claims.session) == t.env("SESSREG_ID"));
  CHECK(claims.expires_s - claims.issued_s == 366 * 86400);
  CHECK(std::abs(claims.issued_s - now().realtime_ms / 1000) <= 5);

  struct stat secret {
  }, shown{};
  REQUIRE(stat(key_path(site).c_str(), &secret) == 0);
  REQUIRE(stat((site.dir / "site.pub").c_str(), &shown) == 0);
  CHECK((secret.st_mode & 07777) == 0600);
  CHECK((shown.st_mode & 07777) == 0644);
}

TEST_CASE("a token ends with its session's lifetime") {
  PamSite site("session_lifetime = 8h\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const TokenClaims claims = verified(site, t.env("SESSREG_TOKEN"));
  CHECK(claims.expires_s - claims.issued_s == 8 * 3600);
}

TEST_CASE("every session has a token of its own, by the one key of the site") {
  PamSite site;
  Transaction first(site, "daemon"), second(site, "daemon");
  CHECK(first.open_session() == PAM_SUCCESS);
  CHECK(second.open_session() == PAM_SUCCESS);
  CHECK(first.env("SESSREG_TOKEN") != second.env("SESSREG_TOKEN"));
  CHECK(verified(site, first.env("SESSREG_TOKEN")).slot !=
        verified(site, second.env("SESSREG_TOKEN")).slot);
  CHECK(read_public_keys(site.dir / "site.pub")->size() == 1);
}

TEST_CASE("an exempt session gets a token too") {
  PamSite site;
  Transaction t(site, "root");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(verified(site, t.env("SESSREG_TOKEN")).user == "root");
  CHECK(show(site, t.env("SESSREG_TOKEN")).what == Marked::What::marked);
}

TEST_CASE("with token = no there is none, and no key is made") {
  PamSite site("token = no\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK_FALSE(t.env("SESSREG_ID").empty());
  CHECK(pam_getenv(t.handle(), "SESSREG_TOKEN") == nullptr);
  CHECK(access(key_path(site).c_str(), F_OK) != 0);
}

TEST_CASE("a key that cannot be used refuses no login") {
  PamSite site;
  const auto opens_without_token = [&] {
    Transaction t(site, "daemon");
    CHECK(t.account() == PAM_SUCCESS);
    CHECK(t.open_session() == PAM_SUCCESS);
    CHECK(pam_getenv(t.handle(), "SESSREG_TOKEN") == nullptr);
    CHECK(t.texts().empty());
    CHECK(t.close_session() == PAM_SUCCESS);
  };
  SECTION("nonsense") {
    site.dir.write("site.key", "nonsense\n");
    chmod(key_path(site).c_str(), 0600);
    opens_without_token();
  }
  SECTION("readable by others") {
    { Transaction(site, "daemon").open_session(); }
    chmod(key_path(site).c_str(), 0644);
    opens_without_token();
  }
  SECTION("damaged after a login that could use it") {
    { Transaction(site, "daemon").open_session(); }
    std::ifstream in(key_path(site));
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    const auto put = [&](const std::string& text) {
      site.dir.write("site.key", text);
      REQUIRE(chmod(key_path(site).c_str(), 0600) == 0);
    };
    for (const std::size_t at : {10 + 20u, 10 + 60u}) {  // in the seed, and in the public half
      std::string other = whole;
      other[at] = other[at] == 'A' ? 'B' : 'A';
      put(other);
      opens_without_token();
    }
    put(whole);
    Transaction t(site, "daemon");
    CHECK(t.open_session() == PAM_SUCCESS);
    CHECK_FALSE(t.env("SESSREG_TOKEN").empty());
  }
  SECTION("a symbolic link") {
    REQUIRE(symlink("/etc/hostname", key_path(site).c_str()) == 0);
    opens_without_token();
  }
  SECTION("a FIFO, at which nobody waits") {
    REQUIRE(mkfifo(key_path(site).c_str(), 0600) == 0);
    opens_without_token();
  }
  SECTION("its directory is missing, and the one above") {
    site.write_config("");
    site.dir.write("site.conf", "registry = " + site.registry_path() +
                                    "\nkey_file = " + (site.dir / "no/such/site.key") + "\n");
    opens_without_token();
  }
}

TEST_CASE("showing the token marks the session as used") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const std::string token = t.env("SESSREG_TOKEN");
  const Marked first = show(site, token, 5'000);
  CHECK(first.what == Marked::What::marked);
  CHECK_FALSE(first.session.use_is_told);  // as it was before
  const Marked second = show(site, token, 5'000);
  CHECK(second.what == Marked::What::marked);
  CHECK(second.session.use_is_told);
  CHECK(second.session.last_activity_ms >= first.session.last_activity_ms + 4'000);
}

TEST_CASE("a token is worthless once its session is closed, revoked, or out of time") {
  PamSite site("session_ttl = 10m\nsession_lifetime = 2h\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const std::string token = t.env("SESSREG_TOKEN");
  CHECK(show(site, token).what == Marked::What::marked);
  SECTION("closed") {
    CHECK(t.close_session() == PAM_SUCCESS);
    CHECK(show(site, token).what == Marked::What::unknown);
    // The slot's next session has another.
    Transaction next(site, "daemon");
    CHECK(next.open_session() == PAM_SUCCESS);
    CHECK(show(site, token).what == Marked::What::unknown);
    CHECK(show(site, next.env("SESSREG_TOKEN")).what == Marked::What::marked);
  }
  SECTION("revoked") {
    const Marked marked = show(site, token);
    CHECK(site.registry().mark_revoked(marked.session.ref, "enough"));
    const Marked after = show(site, token);
    CHECK(after.what == Marked::What::revoked);
    CHECK(after.reason == "enough");
  }
  SECTION("not used for its time to live") {
    CHECK(show(site, token, 9 * 60'000).what == Marked::What::marked);
    CHECK(show(site, token, 18 * 60'000).what == Marked::What::marked);
    CHECK(show(site, token, 29 * 60'000).what == Marked::What::expired);
  }
  SECTION("older than its lifetime") {
    for (std::uint64_t minute = 5; minute < 120; minute += 5)
      CHECK(show(site, token, minute * 60'000).what == Marked::What::marked);
    CHECK(show(site, token, 120 * 60'000).what == Marked::What::expired);
  }
}

TEST_CASE("who has typed within the time to live may show the token for the first time") {
  // A terminal that is looked at only now: nobody has noted the typing.
  struct AtTerminal final : Processes {
    std::int64_t typed_realtime_ms = 0;
    Life life(const ProcessId&) const override { return Life::alive; }
    LiveSids live_sids() const override { return {}; }
    std::optional<std::uint64_t> start_ticks_if_alive(pid_t) const override { return 0; }
    void look_at_terminals(std::span<TerminalLook> looks) const override {
      for (TerminalLook& look : looks) {
        look.has_terminal = true;
        look.typed_realtime_ms = typed_realtime_ms;
      }
    }
  };
  PamSite site("session_ttl = 1s\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const std::string token = t.env("SESSREG_TOKEN");
  auto registry = site.registry();
  const auto slot = inspect_token(token)->claimed.slot;
  std::this_thread::sleep_for(std::chrono::milliseconds(1'400));
  AtTerminal processes;
  const auto show_now = [&] {
    return mark_activity(registry, config_of(site), slot, registry.token_digest(token), processes,
                         boottime_ms())
        .what;
  };
  processes.typed_realtime_ms = now().realtime_ms - 60'000;
  CHECK(show_now() == Marked::What::expired);
  processes.typed_realtime_ms = now().realtime_ms - 100;
  CHECK(show_now() == Marked::What::marked);
}

TEST_CASE("without a time to live a token is good for as long as it says") {
  PamSite site("session_ttl = 5000d\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const std::uint64_t end_ms = std::uint64_t{366} * 86'400'000;
  CHECK(show(site, t.env("SESSREG_TOKEN"), end_ms - 60'000).what == Marked::What::marked);
  CHECK(show(site, t.env("SESSREG_TOKEN"), end_ms).what == Marked::What::expired);
}

TEST_CASE("a token of which one digit was changed marks nothing") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  const std::string token = t.env("SESSREG_TOKEN");
  auto registry = site.registry();
  const auto slot = inspect_token(token)->claimed.slot;
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    CHECK(mark_activity(registry, config_of(site), slot, registry.token_digest(changed),
                        SystemProcesses(), boottime_ms())
              .what == Marked::What::unknown);
  }
  for (const std::uint32_t elsewhere : {slot + 1, registry.slots(), ~0u})
    CHECK(mark_activity(registry, config_of(site), elsewhere, registry.token_digest(token),
                        SystemProcesses(), boottime_ms())
              .what == Marked::What::unknown);
}

TEST_CASE("an empty digest fits no session, not even one without a token") {
  PamSite site("token = no\n");
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  auto registry = site.registry();
  std::optional<SlotRef> ref;
  registry.for_each([&](const Snapshot& session) { ref = session.ref; });
  REQUIRE(ref);
  CHECK(mark_activity(registry, config_of(site), ref->slot, {}, SystemProcesses(), boottime_ms())
            .what == Marked::What::unknown);
}

TEST_CASE("after a coffee break the token takes a seat again, or its user gets the message") {
  const std::string policy = GENERATE("refuse", "end", "admit");
  PamSite site("sessions_limit = 1\nidle_after = 1s\non_return = " + policy + "\n");
  Elsewhere idler(site);
  const std::string& token = idler.token;
  // Whoever never showed it cannot be told to be idle.
  REQUIRE(show(site, token).what == Marked::What::marked);
  std::this_thread::sleep_for(std::chrono::milliseconds(1'300));
  {
    Transaction newcomer(site, "bin");
    REQUIRE(newcomer.open_session() == PAM_SUCCESS);
    const Marked back = show(site, token);
    CHECK(back.session.state.stage == Stage::parked);
    if (policy == "admit") {
      CHECK(back.what == Marked::What::marked);
      CHECK(site.seats() == 2);
    } else {
      CHECK(back.what == Marked::What::site_full);
      CHECK(back.limit == 1);
      CHECK(back.message == "There are more than 1 active user sessions. Please try again later.");
      CHECK(site.seats() == 1);
    }
    newcomer.close_session();
  }
  if (policy == "end") {
    // It was asked to go.
    const int status = idler.child.wait_status();
    CHECK(WIFSIGNALED(status));
    return;
  }
  CHECK(show(site, token).what == Marked::What::marked);
  CHECK(site.seats() == 1);
  CHECK(idler.leave());
}

TEST_CASE("a login that may come to nothing ends nobody: who returns meanwhile waits") {
  PamSite site("user_sessions_limit = 1\nuser_limit_policy = evict\non_return = end\n");
  Elsewhere older(site);
  const std::string& token = older.token;
  std::optional<Transaction> login(std::in_place, site, "daemon");
  REQUIRE(login->account() == PAM_SUCCESS);
  const Marked back = show(site, token);
  CHECK(back.session.state.stage == Stage::parked);
  CHECK(back.session.mark == MarkStage::none);
  CHECK(back.what == Marked::What::site_full);
  CHECK(back.limit == 1);
  REQUIRE(show(site, token).what == Marked::What::site_full);

  SECTION("it has its seat again when that login has come to nothing") {
    login.reset();
    CHECK(show(site, token).what == Marked::What::marked);
    CHECK(site.seats() == 1);
    CHECK(older.leave());
  }
  SECTION("it is ended once the session is opened") {
    CHECK(login->open_session() == PAM_SUCCESS);
    CHECK(show(site, token).what == Marked::What::revoked);
    const int status = older.child.wait_status();
    CHECK(WIFSIGNALED(status));
  }
}

TEST_CASE("no byte of the secret key stays in the memory of the service") {
  if (kSanitized) {
    WARN("skipped: a sanitizer maps terabytes, and keeps old stack frames");
    return;
  }
  PamSite site;
  { Transaction(site, "daemon").open_session(); }
  Child service([&] {
    SecretPaserk text;
    SecretKey key;
    {
      const Fd file(open(key_path(site).c_str(), O_RDONLY | O_CLOEXEC));
      if (read(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return 1;
      if (!secret_key_from_paserk({text.chars(), text.size()}, &key)) return 2;
    }
    const Masked seed({key.chars(), 16}), seed_end({key.chars() + 16, 16}),
        encoded({text.chars() + 20, 20});
    if (found_in_memory(seed) == 0 || found_in_memory(encoded) == 0) return 3;
    { const SecretKey gone(std::move(key)); }
    { const SecretPaserk gone(std::move(text)); }
    Transaction t(site, "daemon");
    if (t.account() != PAM_SUCCESS || t.open_session() != PAM_SUCCESS) return 4;
    if (t.env("SESSREG_TOKEN").empty()) return 5;
    return 10 + found_in_memory(seed) + found_in_memory(seed_end) + found_in_memory(encoded);
  });
  CHECK(service.wait() == 10);
}
