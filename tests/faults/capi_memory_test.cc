// A program that uses the C API has no memory left, at any one allocation of any one call.
#include "../capi/site.h"
#include "../support/sanitized.h"
#include "leftovers.h"
#include "libc.h"

using namespace faults;

namespace {

// The calls of a session, in the order of its life.
enum class Call { open, admit, bind, touch, touch_token, find, list, close };
constexpr Call kCalls[] = {Call::open,        Call::admit, Call::bind, Call::touch,
                           Call::touch_token, Call::find,  Call::list, Call::close};

const char* name_of(Call call) {
  constexpr const char* kNames[] = {"open",        "admit", "bind", "touch",
                                    "touch_token", "find",  "list", "close"};
  return kNames[static_cast<int>(call)];
}

// One session, from the site's opening to its close, in which `poor` cannot have memory after
// `good` allocations.
class PoorSession {
 public:
  PoorSession(const Gateway& site, Call poor, unsigned good, FailingMemory::How how)
      : config_path_(site.config_path()), poor_(poor), good_(good), how_(how) {}

  // False: it had all the memory that it wanted.
  bool run() {
    for (const Call call : kCalls)
      if (!do_call(call)) break;
    // Whatever failed: a program closes what it has, and that must be enough.
    if (session_) CHECK(sessreg_close(session_.get(), nullptr) == SESSREG_OK);
    return has_failed_;
  }

 private:
  // False: the program gives up.
  bool do_call(Call call) {
    int code = 0;
    if (call == poor_) {
      const FailingMemory failing(good_, how_);
      code = make(call);
      has_failed_ = FailingMemory::has_failed();
    } else {
      code = make(call);
    }
    INFO(name_of(call) << " gave " << code << ": " << told_.text);
    CHECK((code == SESSREG_OK || (call == poor_ && is_proper(code))));
    return code == SESSREG_OK;
  }

  // A system call without memory, or a file that cannot be read for want of it.
  static bool is_proper(int code) {
    return code == SESSREG_ENOMEM || code == SESSREG_ESYSTEM || code == SESSREG_ECONFIG;
  }

  int make(Call call) {
    switch (call) {
      case Call::open: {
        sessreg_site* made = nullptr;
        const int code = sessreg_open(nullptr, config_path_.c_str(), &made, &told_);
        handle_.reset(made);
        return code;
      }
      case Call::admit: {
        const sessreg_login login = Gateway::login_of("daemon");
        sessreg_session* made = nullptr;
        const int code = sessreg_admit(handle_.get(), &login, &made, &told_);
        session_.reset(made);
        return code;
      }
      case Call::bind:
        return sessreg_bind(session_.get(), nullptr, &told_);
      case Call::touch:
        return sessreg_touch(session_.get(), &told_);
      case Call::touch_token:
        return sessreg_touch_token(handle_.get(), sessreg_session_token(session_.get()), &told_);
      case Call::find: {
        sessreg_session* made = nullptr;
        const int code = sessreg_find(handle_.get(), sessreg_session_id(session_.get()), "gateway",
                                      &made, &told_);
        sessreg_session_free(made);
        return code;
      }
      case Call::list: {
        sessreg_list* made = nullptr;
        const int code = sessreg_list_new(handle_.get(), &made, &told_);
        sessreg_list_free(made);
        return code;
      }
      case Call::close:
        return sessreg_close(session_.get(), &told_);
    }
    return -1;
  }

  std::string config_path_;
  Call poor_;
  unsigned good_;
  FailingMemory::How how_;
  bool has_failed_ = false;
  SiteHandle handle_;
  SessionHandle session_;
  Told told_;
};

}  // namespace

TEST_CASE("a program without memory at any one point of a session: an error, and no seat is lost") {
  if (kHasShadowMemory) {
    WARN("nothing shown: this sanitizer has a malloc of its own");
    return;
  }
  // Every part is at work: failures, limits of users and groups, tokens.
  Gateway site(
      "sessions_limit = 3\nmax_failed_auth_per_host = 100000\nblacklist_exempt =\nexempt =\n"
      "capacity = 50\n[group daemon]\nsessions_limit = 3\n");
  {
    // So that the registry and the key are there.
    const auto session = site.opened("daemon");
    REQUIRE(sessreg_close(session.get(), nullptr) == SESSREG_OK);
  }
  const std::size_t descriptors = open_descriptors(), mapped = mappings();
  for (const Call poor : kCalls)
    for (const auto how : {FailingMemory::How::once, FailingMemory::How::from_then_on}) {
      bool has_failed = true;
      unsigned good = 0;
      for (; has_failed; ++good) {
        INFO(name_of(poor) << " after " << good << " allocations, "
                           << (how == FailingMemory::How::once ? "once" : "from then on"));
        has_failed = PoorSession(site, poor, good, how).run();
        CHECK(site.seats() == 0);
        CHECK(slots_in_use(site.registry_path()) == 0);  // nor a reservation, nor a claim
        CHECK(open_descriptors() == descriptors);
        // libc may map more memory for what it allocates, and keep it.
        CHECK(mappings() <= mapped + 2);
      }
      CHECK(good > 1);  // it was not in vain
    }
}

TEST_CASE("a program without memory while a session is evicted or parked for it: no seat is lost") {
  if (kHasShadowMemory) {
    WARN("nothing shown: this sanitizer has a malloc of its own");
    return;
  }
  Gateway site(
      "user_sessions_limit = 1\nuser_limit_policy = evict\nexempt =\ncapacity = 50\n"
      "[group daemon]\nsessions_limit = 3\n");
  for (const Call poor : {Call::admit, Call::bind}) {
    bool has_failed = true;
    for (unsigned good = 0; has_failed; ++good) {
      INFO(name_of(poor) << " after " << good << " allocations");
      // The same process leads it, so that nobody is signalled.
      const auto old = site.opened("daemon");
      has_failed = PoorSession(site, poor, good, FailingMemory::How::once).run();
      CHECK(sessreg_close(old.get(), nullptr) == SESSREG_OK);
      CHECK(site.seats() == 0);
      CHECK(slots_in_use(site.registry_path()) == 0);
    }
  }
}

TEST_CASE("a program without memory at any one point of a browser's session: no seat is lost") {
  if (kHasShadowMemory) {
    WARN("nothing shown: this sanitizer has a malloc of its own");
    return;
  }
  Gateway site(
      "sessions_limit = 3\nuser_sessions_limit = 2\nmax_failed_auth_per_host = 100000\n"
      "blacklist_exempt =\nexempt =\ncapacity = 50\n[service web]\nsessions_limit = 3\n");
  sessreg_login login = Gateway::login_of("anna", "web");
  login.flags = SESSREG_NO_PROCESS | SESSREG_NAME_AS_GIVEN;
  login.device = "cookie";
  const auto use = [&](SessionHandle& ret) {
    sessreg_session* made = nullptr;
    const int code = sessreg_use(site.handle.get(), &login, &made, nullptr);
    ret.reset(made);
    return code;
  };
  {
    SessionHandle first;  // so that the registry and the key are there
    REQUIRE(use(first) == SESSREG_OK);
    REQUIRE(sessreg_close(first.get(), nullptr) == SESSREG_OK);
  }
  enum class Step { open, again, find_token, look, revoke };
  for (const Step poor : {Step::open, Step::again, Step::find_token, Step::look, Step::revoke}) {
    bool has_failed = true;
    for (unsigned good = 0; has_failed; ++good) {
      INFO("step " << static_cast<int>(poor) << " after " << good << " allocations");
      SessionHandle session, other;
      has_failed = false;
      const auto step = [&](Step which, auto call) {
        int code = 0;
        if (which != poor) {
          code = call();
        } else {
          const FailingMemory failing(good, FailingMemory::How::once);
          code = call();
          has_failed = FailingMemory::has_failed();
        }
        CHECK((code == SESSREG_OK || which == poor));
        return code == SESSREG_OK;
      };
      if (!step(Step::open, [&] { return use(session); })) {
        // Nobody knows of it: it was given back.
        CHECK(slots_in_use(site.registry_path()) == 0);
        REQUIRE(use(session) == SESSREG_OK);
      }
      step(Step::again, [&] { return use(other); });
      step(Step::find_token, [&] {
        sessreg_session* made = nullptr;
        const int code = sessreg_find_token(site.handle.get(), sessreg_session_token(session.get()),
                                            &made, nullptr);
        sessreg_session_free(made);
        return code;
      });
      step(Step::look, [&] {
        sessreg_entry entry = SESSREG_ENTRY_INIT;
        return sessreg_look(session.get(), &entry, nullptr);
      });
      CHECK(site.seats() == 1);
      if (step(Step::revoke, [&] { return sessreg_revoke(session.get(), "enough", nullptr); }))
        CHECK(site.seats() == 0);
      CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
      CHECK(slots_in_use(site.registry_path()) == 0);
    }
  }
}
