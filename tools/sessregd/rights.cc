#include "sessregd/rights.h"

#include <unistd.h>

#include <algorithm>

namespace sessreg {

bool is_master(const varlink::Peer& peer) {
  return peer.uid == 0 || peer.uid == geteuid();
}

bool Rights::is_client_of(std::string_view service) const {
  return std::find(services.begin(), services.end(), service) != services.end();
}

bool Rights::is_of_application(const RecordImage& record, const Registry& registry) const {
  return !has_process(record) &&
         std::any_of(services.begin(), services.end(), [&](const std::string& service) {
           return registry.is_service_of(record, service);
         });
}

bool Rights::may_see(const RecordImage& record, const Registry& registry) const {
  return is_master() || uid_of(record) == peer.uid || is_of_application(record, registry);
}

}  // namespace sessreg
