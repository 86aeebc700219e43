// What a peer may do; see the rules of sessions_service.h.
#pragma once

#include <string>
#include <vector>

#include "registry/registry.h"
#include "varlink/server.h"

namespace sessreg {

// root, or whoever runs the daemon: who has started one for a registry of their own is its master.
bool is_master(const varlink::Peer& peer);

// Of one peer at one site.
struct Rights {
  varlink::Peer peer;
  std::vector<std::string> services;  // that it is a client of

  bool is_master() const { return sessreg::is_master(peer); }
  bool is_client_of(std::string_view service) const;
  // An application's own session: without a process, of a service that the peer is a client of.
  bool is_of_application(const RecordImage& record, const Registry& registry) const;
  bool may_see(const RecordImage& record, const Registry& registry) const;
};

}  // namespace sessreg
