// What the faults are tried on: a site with a login at each of its stages, and what is left of it.
#pragma once

#include <string>
#include <vector>

#include "../pam/transaction.h"
#include "../support/catch.h"
#include "leftovers.h"
#include "libc.h"

namespace faults {

// A login goes through these.
enum class Phase { preauth, authfail, account, open, close, end };
inline constexpr Phase kPhases[] = {Phase::preauth, Phase::authfail, Phase::account,
                                    Phase::open,    Phase::close,    Phase::end};

inline const char* name_of(Phase phase) {
  constexpr const char* kNames[] = {"preauth", "authfail", "account", "open", "close", "end"};
  return kNames[static_cast<int>(phase)];
}

// Counts failed authentications, limits users and groups, and issues tokens: so every part of the
// module is at work.
class FaultSite : public PamSite {
 public:
  explicit FaultSite(const std::string& config = {}, const std::string& arguments = {},
                     unsigned capacity = 50)
      : PamSite(
            "sessions_limit = 3\nmax_failed_auth_per_host = 100000\nblacklist_exempt =\n"
            "exempt =\ncapacity = " +
                std::to_string(capacity) + "\n" + config + "[group daemon]\nsessions_limit = 3\n",
            arguments) {
    write_service("preauth", "preauth " + arguments);
    write_service("authfail", "authfail " + arguments);
  }

  int slots_in_use() const { return faults::slots_in_use(registry_path()); }

  // Frees what has ended by then.
  void reap(std::uint64_t after_ms = 0) const {
    registry().reap(sessreg::SystemProcesses(), sessreg::now().boottime_ms + after_ms);
  }
};

// A login of `user` in this process. Each phase returns its PAM code.
class OneLogin {
 public:
  explicit OneLogin(const FaultSite& site, const char* user = "daemon")
      : preauth_(site, user, "preauth"), authfail_(site, user, "authfail"), main_(site, user) {
    // A conversation that needs nothing that may be missing.
    const pam_conv conversation{answer, nullptr};
    for (Transaction* each : {&preauth_, &authfail_, &main_})
      pam_set_item(each->handle(), PAM_CONV, &conversation);
  }

  int run(Phase phase) {
    switch (phase) {
      case Phase::preauth:
        return preauth_.authenticate();
      case Phase::authfail:
        return authfail_.authenticate();
      case Phase::account:
        return main_.account();
      case Phase::open:
        return main_.open_session();
      case Phase::close:
        return main_.close_session();
      case Phase::end:
        main_.end(PAM_SUCCESS);
        return PAM_SUCCESS;
    }
    return -1;
  }
  Transaction& main() { return main_; }

 private:
  static int answer(int count, const pam_message** /*messages*/, pam_response** responses,
                    void* /*self*/) {
    *responses =
        static_cast<pam_response*>(calloc(static_cast<std::size_t>(count), sizeof(pam_response)));
    return *responses == nullptr ? PAM_BUF_ERR : PAM_SUCCESS;
  }

  Transaction preauth_, authfail_, main_;
};

// A whole login, which has to succeed, and leaves nothing.
inline void check_that_logins_work(const FaultSite& site) {
  {
    OneLogin login(site);
    CHECK(login.run(Phase::preauth) == kIgnored);
    CHECK(login.run(Phase::account) == PAM_SUCCESS);
    CHECK(login.run(Phase::open) == PAM_SUCCESS);
    CHECK(login.main().env("SESSREG_ID").size() == 32);
    CHECK(login.run(Phase::close) == PAM_SUCCESS);
  }
  CHECK(site.seats() == 0);
  CHECK(site.slots_in_use() == 0);
}

}  // namespace faults
