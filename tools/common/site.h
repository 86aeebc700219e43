// The site a command is about: its configuration, and its registry if there is one yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "registry/registry.h"

namespace sessreg {

struct GlobalOptions {
  std::string site = "default";
  std::string conf;  // empty: the site's own file
  bool json = false;
  bool site_given = false;  // --site was there, whatever it says
};

// "sessreg --site lab": how the tool is to be called for the same site, for texts that name a
// command. Quoted for the shell where needed, escaped for the terminal.
std::string called_as(const GlobalOptions& global);

struct OpenSite {
  Config config;
  std::string config_path;
  std::string called;  // see called_as()
  // None: nobody has logged in since the boot.
  std::optional<Registry> registry;

  // Without an override it is the one that the last login read; with no login yet, the file's.
  std::int32_t limit_in_force() const;
  std::uint32_t seats_taken();
};

// The configuration alone. Throws Failure.
OpenSite site_without_registry(const GlobalOptions& global);
// Likewise, of what load_config() gave: for who has to look at its error first. To read the file
// again could give another answer.
OpenSite site_without_registry(const GlobalOptions& global, Result<Config> config);
// Opens the site's registry, if there is one by now.
std::optional<Error> open_registry_of(OpenSite& site);

// A registry that does not exist is not created. Throws Failure.
OpenSite open_site(const GlobalOptions& global);
// Makes the registry of a site that has none, or opens it if somebody was faster.
void create_registry(OpenSite& site);

// Whether a daemon looks after the site.
struct DaemonLook {
  pid_t pid = 0;  // 0: there was none since the registry was made
  bool alive = false;
  std::int64_t seen_realtime_ms = 0;
};
DaemonLook look_at_daemon(const OpenSite& site);

Config load_site_config(const GlobalOptions& global);

// `default`, and the name of every file SITE.conf in /etc/security/sessreg.d, sorted.
std::vector<std::string> all_sites();

}  // namespace sessreg
