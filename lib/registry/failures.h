// Failed authentications by remote host: who is counted, and who is blacklisted. failure_table.h
// says what counts and what is forgotten.
//
// Concurrency: as Registry; without locks. Times are milliseconds of CLOCK_BOOTTIME.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "config/remote_host.h"

namespace sessreg {

struct FailureRules {
  std::uint32_t max_failures = 0;  // max_failed_auth_per_host; 0: nothing is counted or refused
  std::uint64_t blacklist_ms = 0;  // blacklist_time
};

struct FailureStatus {
  std::uint32_t failures = 0;
  bool blacklisted = false;
  std::uint64_t until_ms = 0;  // blacklisted: until when, if there is no attempt before
};

struct HostFailures {
  std::array<std::uint8_t, 16> host_hash;
  std::string text;  // raw, perhaps cut: escape it before it is shown
  std::uint64_t last_failure_ms;
  FailureStatus status;
};

template <class Atom>
struct FailureWords;

// The failures of one registry, under the rules of one configuration. Must not outlive the
// Registry.
class Failures {
 public:
  using HostHash = std::array<std::uint8_t, 16>;
  using Words = FailureWords<std::atomic<std::uint64_t>>;

  // `key` is secret and the same for all who use the memory.
  Failures(Words& words, const HashKey& key, FailureRules rules)
      : words_(&words), key_(key), rules_(rules) {}

  // A failed authentication of `user` from `host` at `now_ms`. The answer is what it led to.
  FailureStatus failed(const RemoteHost& host, std::string_view user, std::uint64_t now_ms);
  // An attempt to log in, before anything is known of it: if the host is blacklisted, its time
  // starts anew.
  FailureStatus attempt(const RemoteHost& host, std::uint64_t now_ms);
  // What is known of the host; changes nothing.
  FailureStatus status(const RemoteHost& host, std::uint64_t now_ms);
  // A successful authentication: erases the user's failures from that host, no one else's.
  void succeeded(const RemoteHost& host, std::string_view user, std::uint64_t now_ms);

  // Forgets a host, blacklisted or not, with all of the network as which it is counted. The answer is
  // the text of what was forgotten, empty if there was nothing that counted.
  std::string reset(const RemoteHost& host, std::uint64_t now_ms);
  bool reset(const HostHash& host_hash, std::uint64_t now_ms);
  // Forgets every host that is known when it begins. Returns how many counted.
  std::size_t reset_all(std::uint64_t now_ms);

  // Each host that has failures that count, all as they were at one instant. If others change the
  // table during every try, a host that changed meanwhile may be missing or come twice.
  std::vector<HostFailures> list(std::uint64_t now_ms);

 private:
  Words* words_;
  HashKey key_;
  FailureRules rules_;
};

}  // namespace sessreg
