// Which network is to be counted as one host, when the table of failures is short of room.
//
// Thread safety: none is needed, these are functions of their arguments.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/hash.h"
#include "config/remote_host.h"
#include "registry/failure_store.h"

namespace sessreg {

// How many of its parts have failures before a network is counted as one. An address of IPv6 costs
// nothing, so each counts; of an IPv4 network only the addresses that are blacklisted do.
inline constexpr std::size_t kPartsOf56 = 8;   // networks of 64 bits
inline constexpr std::size_t kPartsOf48 = 32;  // networks of 56 bits
inline constexpr std::size_t kPartsOf24 = 32;
inline constexpr std::size_t kPartsOfLink = 32;  // link-local addresses

struct CrowdedNetwork {
  RemoteHost network;
  std::vector<std::array<std::uint8_t, 16>> members;  // host_hash of each record within it
  // Of the members together.
  std::uint32_t failures = 0;
  std::uint64_t last_failure_ms = 0;
  std::uint64_t last_attempt_ms = 0;
  bool blacklisted = false;
  bool is_known = false;  // it has a record already: nothing is to be added to that
};

// `records`: those that count. A network that has a record is taken first, as its members are what a
// process that was killed left there; then the widest, and of those the one with the most parts.
std::optional<CrowdedNetwork> crowded_network(std::span<const FailureRecord> records,
                                              const HashKey& key);

// Each network around the host that may take its place, the widest first, and then the host: where its
// failures are counted.
std::vector<RemoteHost> counted_as(const RemoteHost& host);

}  // namespace sessreg
