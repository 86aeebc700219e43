// Logins into a registry of a test's own, and the terminals of those who are in.
#pragma once

#include <ctype.h>

#include <map>
#include <string>

#include "../../support/catch.h"
#include "registry_fixture.h"

namespace sessreg {

class Logins : public Fixture {
 public:
  using Fixture::Fixture;

  // Opened by a process of its own, unless that is told.
  Admission open(const std::string& user, const Terms& terms, pid_t pid = 0) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    return registry.admit(login_of(user, pid != 0 ? pid : ++last_pid_), terms, processes);
  }
  Admission open_desktop(const std::string& user, const Terms& terms) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    Login login = login_of(user, ++last_pid_);
    login.has_display = true;
    return registry.admit(login, terms, processes);
  }
  Admission reserve_for(const std::string& user, const Terms& terms) {
    registry.publish_limit(registry.published_limit(), terms.site);
    forget_last_search();
    return registry.reserve(login_of(user, ++last_pid_), terms, processes, ~0ull);
  }
  // Names that differ by case only are one user's.
  Login login_of(const std::string& user, pid_t pid) const {
    Login result = login(user, pid);
    if (!user.starts_with("nobody"))
      result.uid = 1000u + static_cast<unsigned>(tolower(user.front()));
    return result;
  }
  pid_t last_pid() const { return last_pid_; }
  Stage registry_stage(std::uint32_t slot) { return stage(refs[slot]); }
  std::map<std::uint32_t, SlotRef> refs;  // of the sessions a test keeps
  // The session has a terminal on which nothing was typed since it was opened.
  void give_terminal(SlotRef ref) {
    Snapshot session;
    REQUIRE(registry.snapshot(ref, session));
    processes.type(static_cast<pid_t>(session.record.leader_pid),
                   session.record.opened_realtime_ms);
  }
  void make_idle(SlotRef ref, std::uint64_t for_s) {
    age(ref, for_s * 1000);
    give_terminal(ref);
  }

 private:
  pid_t last_pid_ = 2000;
};

inline Terms terms_with(std::int32_t site_limit, std::int32_t user_limit = -1) {
  Terms terms(limit_of(site_limit));
  terms.user_limit = user_limit;
  return terms;
}
inline Terms with_idle(std::int32_t site_limit, std::uint32_t idle_s) {
  Terms terms(limit_of(site_limit));
  terms.idle_after_s = terms.shortest_idle_s = idle_s;
  return terms;
}

}  // namespace sessreg
