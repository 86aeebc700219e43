// A login's way through a site, as any login service takes it: the PAM module is one caller.
// Decides nothing itself: policy.h says which rules hold, registry.h whether there is room.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "config/policy.h"
#include "registry/failures.h"
#include "registry/registry.h"

namespace sessreg {

// A site with its registry open, for the length of one phase or command.
class Site {
 public:
  // `config` as read from `config_path` (empty: the default path). Creates the registry if there is
  // none. Errors as in registry_file.h.
  static Result<Site> open(Config config, std::string config_path);

  const Config& config() const { return config_; }
  Registry& registry() { return registry_; }

  // Takes a seat until the session is opened, for reservation_time at most. In the answer of this
  // and the next, stale_configuration: the file has another text by now, so read it and begin
  // again. `rules` are those of this login under config().
  Result<Admission> reserve(const Login& login, const Rulebook& rules);

  // Opens the session: binds `reservation` or, if that is not given or has gone, the one that this
  // process or its child made for the same user and service; else takes a seat at once.
  // Reservations that this process made for other users are given back.
  Result<Admission> open_session(const Login& login, const Rulebook& rules,
                                 const SlotRef* reservation);
  // As above, but looks for no other reservation and gives none back: for a process that is the
  // login service of many users at once.
  Result<Admission> bind_or_admit(const Login& login, const Rulebook& rules,
                                  const SlotRef* reservation);

  // From now on the sessions of `user` that are opened here get tokens, if the configuration says
  // so. The secret key lives as long as this object. A key that cannot be read or made, and what a
  // token cannot say, is told to `tell`; those sessions get none.
  void issue_tokens(const std::string& user, std::function<void(const Error&)> tell);

  // What reserve() would answer, and who would give way.
  Result<Admission> foresee(const Login& login, const Rulebook& rules);

  // The line for a user who was refused.
  std::string message(const Admission& refused, const Login& login) const;

  // Failed authentications of that remote host; unset where none are counted: the configuration
  // says so, or the host is nobody or exempt.
  std::optional<Failures> failures(const RemoteHost& host);
  std::string blacklisted_message(const FailureStatus& status, const Login& login) const;

 private:
  Site(Config config, std::string config_path, Registry registry);

  Result<Terms> terms_of(const Rulebook& rules);

  // Runs `attempt` until it was decided by the limit of this configuration, publishing that if the
  // file on disk still says the same.
  template <class Attempt>
  Result<Admission> with_current_limit(const Rulebook& rules, Attempt attempt);

  Config config_;
  std::string config_path_;
  Registry registry_;
  SystemProcesses processes_;
};

}  // namespace sessreg
