#include "sessreg/access/site_sessions.h"

#include <algorithm>

#include "session/admission.h"

namespace sessreg {

SiteSessions::SiteSessions(const GlobalOptions& global) {
  auto config = load_config(global.site, global.conf);
  if (!config && is_valid_site_name(global.site) && lacks_rights(config.error())) {
    // The caller may not read the configuration: the defaults have to do.
    site_.config.site = global.site;
    site_.config_path = global.conf;
    remote_.emplace(global.conf.empty() ? default_config_path(global.site) : global.conf);
    return;
  }
  site_ = site_without_registry(global, std::move(config));
  const auto error = site_.open_registry(Site::IfMissing::leave);
  if (!error) return;
  if (!lacks_rights(*error)) throw failure_of(*error, called_as(site_));
  remote_.emplace(site_.config.registry);
}

void SiteSessions::for_each(const ProcessTable& table, std::span<const VisitSession> visits) {
  if (remote_)
    seats_ = remote_->list(site_.config.site, table, visits.front());
  else
    for_each_session(site_, table, visits);
}

std::vector<Session> SiteSessions::read(const ProcessTable& table) {
  if (!remote_) return read_sessions(site_, table);
  std::vector<Session> sessions;
  const VisitSession keep = [&](const Session& session) { sessions.push_back(session); };
  for_each(table, {&keep, 1});
  sort_stalest_first(sessions);
  return sessions;
}

void say_not_noted(const Error& error) {
  remark(error.what + "; a reboot would bring back sessions without a process that were ended");
}

std::int32_t SiteSessions::limit_in_force() const {
  return remote_ ? seats_.limit : site_.limit_in_force();
}

std::uint32_t SiteSessions::seats_taken() {
  return remote_ ? seats_.taken : site_.seats_taken();
}

std::vector<Ended> SiteSessions::end(const std::vector<Session>& chosen,
                                     const EndingOptions& options) {
  return remote_ ? remote_->end(chosen, options)
                 : end_sessions(*site_.registry, site_.config, chosen, options, say_not_noted);
}

}  // namespace sessreg
