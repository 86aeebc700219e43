// A site: its configuration and its registry, for the length of one phase, call or command.
//
// Thread safety: as a Registry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "registry/registry.h"

namespace sessreg {

struct Site {
  enum class IfMissing {
    leave,   // the site has no registry then: nobody has logged in since the boot
    create,  // it has one afterwards, or there is an error
    report,  // there is an error that is_absent()
  };

  // `config` as read from `config_path`. Errors as in registry_file.h; a registry of an earlier
  // layout is carried over.
  static Result<Site> open(Config config, std::string config_path, IfMissing if_missing);

  // The same for a site whose configuration is read already.
  std::optional<Error> open_registry(IfMissing if_missing);

  // The file that `config` came from.
  std::string config_file() const {
    return config_path.empty() ? default_config_path(config.site) : config_path;
  }

  // Without an override it is the one that the last login read; with no login yet, the file's.
  std::int32_t limit_in_force() const {
    return registry ? registry->limit_in_force(config.sessions_limit) : config.sessions_limit;
  }
  std::uint32_t seats_taken() { return registry ? registry->count() : 0; }

  Config config;
  std::string config_path;  // as load_config() takes it; empty: the default path
  std::optional<Registry> registry;
};

// A registry that does not exist: nobody has logged in since the boot.
bool is_absent(const Error& error);

// The registry at `path`, which is not created, and not handed to children that other threads of
// this process fork meanwhile. Errors as Registry::open.
Result<Registry> open_existing_registry(const std::string& path);

}  // namespace sessreg
