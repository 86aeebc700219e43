// Who may open sessions of which services over the socket: `clients` of the configuration.
//
// Rules:
//   1. A peer is a client of a service if its uid, or one of its groups, is in `clients` of that
//      service's section. A name is looked up when the configuration is read, not at each call; what
//      the system does not know then is asked for again after a minute.
//   2. Numbers are uids and gids: those of a container need have no names here.
//
// Thread safety: none. Looking up asks the name service, which may wait for a server.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"
#include "varlink/server.h"

namespace sessreg {

class Applications {
 public:
  // Takes the place of what was read before.
  void read(const Config& config, std::uint64_t now_ms);
  // Looks up again what was not known, if it is time.
  void look_again(const Config& config, std::uint64_t now_ms);

  // The services that the peer is a client of.
  std::vector<std::string> services_of(const varlink::Peer& peer) const;

 private:
  struct Application {
    std::string service;
    std::set<uid_t> uids;
    std::set<gid_t> gids;
  };
  std::vector<Application> all_;
  bool is_complete_ = true;
  std::uint64_t read_ms_ = 0;
};

}  // namespace sessreg
