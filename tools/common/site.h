// The site that a command is about, and how the command line names it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "session/site.h"

namespace sessreg {

struct GlobalOptions {
  std::string site = "default";
  std::string conf;  // empty: the site's own file
  bool json = false;
  bool site_given = false;  // --site was given, whatever it says
};

// "sessreg --site lab": how to call the tool for the same site, for texts that name a command.
// Quoted for the shell where needed, escaped for the terminal.
std::string called_as(const GlobalOptions& global);
std::string called_as(const Site& site);

// The configuration alone. Throws Failure.
Site site_without_registry(const GlobalOptions& global);
// The same from a result of load_config(), for callers that look at its error first: reading the
// file again could give another answer.
Site site_without_registry(const GlobalOptions& global, Result<Config> config);

// A registry that does not exist is not created. Throws Failure.
Site open_site(const GlobalOptions& global);
// Makes the registry of a site that has none, or opens it if somebody else was faster.
void create_registry(Site& site);

// Whether a daemon looks after the site.
struct DaemonLook {
  pid_t pid = 0;  // 0: there has been none since the registry was made
  bool alive = false;
  std::int64_t seen_realtime_ms = 0;
};
DaemonLook look_at_daemon(const Site& site);

Config load_site_config(const GlobalOptions& global);

// `default`, and SITE for every file SITE.conf in /etc/security/sessreg.d, sorted.
std::vector<std::string> all_sites();

}  // namespace sessreg
