// A login's way through a site, as any login service takes it: the PAM module is one caller.
// Decides nothing itself: policy.h says who counts, registry.h whether there is room.
#pragma once

#include <string>

#include "config.h"
#include "registry.h"
#include "result.h"

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
  // again.
  Result<Admission> reserve(const Login& login);

  // Opens the session: binds `reservation` or, if that is not given or has gone, the one that this
  // process or its child made for the same user and service; else takes a seat at once.
  // Reservations that this process made for other users are given back.
  Result<Admission> open_session(const Login& login, const SlotRef* reservation);

  // The line for a user who was refused.
  std::string message(const Admission& refused, const Login& login) const;

 private:
  Site(Config config, std::string config_path, Registry registry);

  // Runs `attempt` until it was decided by the limit of this configuration, publishing that if the
  // file on disk still says the same.
  template <class Attempt>
  Result<Admission> with_current_limit(Attempt attempt);

  Config config_;
  std::string config_path_;
  Registry registry_;
  SystemProcesses processes_;
};

}  // namespace sessreg
