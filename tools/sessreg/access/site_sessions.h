// The sessions of a site, for list, show and revoke: from the registry, or, for callers who may not
// read that, from the daemon, which shows and ends the caller's own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/session.h"
#include "common/site.h"
#include "host/process_table.h"
#include "session/ending.h"
#include "sessreg/access/remote.h"

namespace sessreg {

// On standard error; see end_sessions().
void say_not_noted(const Error& error);

class SiteSessions {
 public:
  // Throws Failure, like everything here.
  explicit SiteSessions(const GlobalOptions& global);

  const Config& config() const { return site_.config; }
  std::string called() const { return called_as(site_); }
  // The daemon does not say whether a registry exists, and the caller may not look.
  bool has_registry() const { return remote_ || site_.registry; }
  bool is_remote() const { return remote_.has_value(); }
  // nullptr: there is none, or the caller may not read it.
  const Registry* registry() const { return site_.registry ? &*site_.registry : nullptr; }

  // As for_each_session() and read_sessions().
  void for_each(const ProcessTable& table, std::span<const VisitSession> visits);
  std::vector<Session> read(const ProcessTable& table);
  // As of the last call of one of these two.
  std::int32_t limit_in_force() const;
  std::uint32_t seats_taken();

  // As end_sessions().
  std::vector<Ended> end(const std::vector<Session>& chosen, const EndingOptions& options);

 private:
  Site site_;
  std::optional<Remote> remote_;
  Remote::Seats seats_;
};

}  // namespace sessreg
