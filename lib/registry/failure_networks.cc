#include "registry/failure_networks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace sessreg {
namespace {

struct Crowd {
  CrowdedNetwork all;
  std::set<std::string> parts;  // that count
};

std::size_t parts_needed(unsigned bits) {
  switch (bits) {
    case 48:
      return kPartsOf48;
    case 56:
      return kPartsOf56;
    case 64:
      return kPartsOfLink;
    default:
      return kPartsOf24;
  }
}

void add(CrowdedNetwork& all, const FailureRecord& record) {
  all.members.push_back(record.host_hash);
  const std::uint64_t sum = std::uint64_t{all.failures} + failures_of(record);
  all.failures = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, 0xffffffff));
  all.last_failure_ms = std::max(all.last_failure_ms, record.last_failure_ms);
  if (record.blacklisted == 0) return;
  all.blacklisted = true;
  all.last_attempt_ms = std::max(all.last_attempt_ms, record.last_attempt_ms);
}

// The more, the sooner it is taken.
auto rank(const Crowd& crowd) {
  return std::tuple(crowd.all.is_known, -static_cast<int>(crowd.all.network.bits()),
                    crowd.parts.size());
}

}  // namespace

std::optional<CrowdedNetwork> crowded_network(std::span<const FailureRecord> records,
                                              const HashKey& key) {
  std::map<std::string, Crowd> crowds;  // by the network's identity
  std::set<std::string> known;
  for (const FailureRecord& record : records) {
    const auto end = std::find(record.text.begin(), record.text.end(), '\0');
    const RemoteHost host = RemoteHost::from_shown({record.text.begin(), end});
    // A name may look like a network, and a text may be damaged.
    if (hash128(key, host.identity()) != record.host_hash) continue;
    if (host.is_network()) known.insert(host.identity());
    const bool counts = host.kind() == RemoteHost::Kind::ipv6 || record.blacklisted != 0;
    RemoteHost part = host;
    while (const auto network = part.wider()) {
      Crowd& crowd = crowds[network->identity()];
      crowd.all.network = *network;
      add(crowd.all, record);
      if (counts) crowd.parts.insert(part.identity());
      part = *network;
    }
  }
  const Crowd* best = nullptr;
  for (auto& [identity, crowd] : crowds) {
    crowd.all.is_known = known.contains(identity);
    const std::size_t needed = parts_needed(crowd.all.network.bits());
    if (!crowd.all.is_known && crowd.parts.size() < needed) continue;
    if (best == nullptr || rank(crowd) > rank(*best)) best = &crowd;
  }
  if (best == nullptr) return std::nullopt;
  return best->all;
}

std::vector<RemoteHost> counted_as(const RemoteHost& host) {
  std::vector<RemoteHost> all{host};
  while (const auto network = all.back().wider())
    all.push_back(*network);
  std::reverse(all.begin(), all.end());
  return all;
}

}  // namespace sessreg
