// Choosing sessions: by filters, and by the first digits of an id.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/options.h"
#include "common/session.h"
#include "sessreg/access/site_sessions.h"

namespace sessreg {

// What the command line says. A session must fit everything that is given.
struct Filter {
  std::string user, service, host;
  std::string account;  // the name under which `user` logs in, if the system spells it otherwise
  std::string idle;     // a duration
  std::string states;   // separated by commas
  std::string device;   // a device key
  std::string kinds;    // "process", "device" or both, separated by commas
  bool dangling = false;
  // For what cannot be undone: a host that may have been cut when recorded fits no --host.
  bool whole_hosts_only = false;

  bool is_empty() const;
  // Sets `account`. Asks the name service.
  void resolve_user();
};

// Adds the options that list, revoke and message share.
void add_filter_options(Options& command, Filter& filter);

// Which sessions a command acts on: these, those that fit, or all.
struct Selectors {
  std::vector<std::string> ids;
  Filter filter;
  bool all = false;
};

// Throws a usage Failure unless it is one of the three.
void check_usage(const Selectors& selectors);

// A filter ready for the sessions of a site, which must outlive it.
class Chooser {
 public:
  // Throws a usage Failure for a bad duration, state or kind, and for a device if the registry cannot
  // be read.
  Chooser(const Filter& filter, const SiteSessions& site);
  bool fits(const Session& session) const;

 private:
  bool is_user(const RecordImage& record) const;
  bool is_service(const RecordImage& record) const;

  const Filter& filter_;
  const SiteSessions& site_;
  std::vector<State> states_;
  std::optional<bool> has_process_;  // unset: whether or not
  std::optional<Seconds> idle_;
};

// `sessions` are of `site`. Throws a usage Failure for a bad duration or state.
std::vector<Session> select(const std::vector<Session>& sessions, const Filter& filter,
                            const SiteSessions& site);

// The one session whose id begins with `prefix` (at least 4 hex digits). Throws Failure: usage if
// several do, naming them; no such session if none does. `own_only`: `sessions` has only the
// caller's own.
const Session& find_by_prefix(const std::vector<Session>& sessions, const std::string& prefix,
                              bool own_only);

// As the command line wants them. A host that may have been cut when it was recorded fits no --host.
// Throws Failure: also if no session fits.
std::vector<Session> choose(const std::vector<Session>& sessions, const Selectors& selectors,
                            const SiteSessions& site);

// "alice (sshd from 192.0.2.7)", escaped for the terminal.
std::string description(const Session& session);

// How many digits tell each of these ids from all the others, at least 8.
std::size_t distinct_digits(const std::vector<Session>& sessions);

}  // namespace sessreg
