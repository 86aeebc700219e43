// The configuration of one site: what `sessreg.conf(5)` describes, as values.
//
// Thread safety: a Config is plain data; the functions keep no state.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sessreg {

using Seconds = std::chrono::seconds;

enum class UserLimitPolicy { deny, evict, lock_then_evict };
enum class CountLeftovers { no, terminal, any };
enum class OnReturn { refuse, end, admit };
enum class OnError { deny, allow };

// "root @sudo": users by name, groups by name after an @. Names are not resolved here.
struct NameList {
  std::vector<std::string> users;
  std::vector<std::string> groups;
};

// An address block of `blacklist_exempt`. IPv4 is kept as ::ffff:a.b.c.d.
struct Cidr {
  std::array<std::uint8_t, 16> address{};
  unsigned prefix_bits = 128;  // within the 128-bit form
};

// Keys that sections may override; unset means "as at the next wider level".
struct SectionSettings {
  std::optional<std::int32_t> user_sessions_limit;
  std::optional<UserLimitPolicy> user_limit_policy;
  std::optional<Seconds> user_lock;
  std::optional<Seconds> session_lifetime;
  std::optional<Seconds> session_ttl;
  std::optional<Seconds> idle_after;
  std::optional<CountLeftovers> count_leftovers;
  std::optional<std::int32_t> sessions_limit;  // [group NAME] and [service NAME] only
  // [service NAME] only: whose processes may open sessions of this service over the daemon's socket.
  std::optional<NameList> clients;
  // [service NAME] only: no process is a session's own; it stays so long after its last login.
  std::optional<Seconds> keep;
  // [service NAME] only: the users that its clients name are accounts of this host.
  std::optional<bool> accounts;
};

enum class SectionKind { user, group, service };

struct Section {
  SectionKind kind;
  std::string name;
  SectionSettings settings;
  unsigned line = 0;  // of its head
};

struct Config {
  std::string site = "default";

  std::int32_t sessions_limit = -1;
  std::int32_t user_sessions_limit = -1;
  UserLimitPolicy user_limit_policy = UserLimitPolicy::deny;
  Seconds user_lock{300};
  Seconds session_lifetime{0};
  Seconds session_ttl{14 * 24 * 3600};
  Seconds idle_after{0};
  CountLeftovers count_leftovers = CountLeftovers::no;
  OnReturn on_return = OnReturn::refuse;
  Seconds dangling_after{4 * 24 * 3600};
  std::int32_t reserved_sessions = 0;
  NameList reserved_for{{"root"}, {"sudo", "wheel"}};
  NameList exempt{{"root"}, {}};
  std::vector<std::string> only_services;
  std::vector<std::string> ignore_services;    // the default list is set by parse_config
  std::vector<std::string> shared_services;    // the same
  std::vector<std::string> reattach_services;  // the same
  std::int32_t max_failed_auth_per_host = 0;
  Seconds blacklist_time{60};
  std::vector<Cidr> blacklist_exempt;  // the default list is set by parse_config
  Seconds reservation_time{130};
  std::int32_t capacity = 4096;
  std::string registry;  // absolute; "/run/sessreg/SITE.reg" unless set
  bool token = true;
  std::string key_file;  // absolute; "/var/lib/sessreg/SITE.key" unless set
  OnError on_error = OnError::deny;

  std::string message_site_full;
  std::string message_user_full;
  std::string message_group_full;
  std::string message_locked;
  std::string message_drain;
  std::string message_blacklisted;
  std::string message_revoked;
  std::string message_table_full;

  std::vector<Section> sections;  // in file order

  // Where the text sets config_keys()[i] above its first section. See line_at_top().
  std::array<unsigned, 64> lines_at_top{};

  // Identifies the text this was read from: equal texts, equal identities. Never 0.
  std::uint32_t identity = 1;
};

inline constexpr std::int32_t kMaxCapacity = 1 << 20;

// The line that sets that key above the first section, even to the default; 0: there is none.
unsigned line_at_top(const Config& config, std::string_view key);

// A site name is 1–64 characters of [A-Za-z0-9_.-], not starting with a dot or a dash: it becomes
// part of file names.
bool is_valid_site_name(std::string_view name);

// "/etc/security/sessreg.conf" for "default", else "/etc/security/sessreg.d/SITE.conf".
std::string default_config_path(std::string_view site);

// Turns the file's text into a Config. `file` is only used in messages: "FILE:LINE: reason".
// Unknown keys, bad values, duplicates and over-long lines refuse the whole text
// (Errc::invalid_config).
Result<Config> parse_config(std::string_view text, const std::string& file, std::string_view site);

// Reads and parses. `path` empty: the site's default path, where a missing file of the site
// `default` means the defaults. Errors: config_missing, invalid_config, permission_denied,
// insecure_file (writable by others than root or the caller), system.
Result<Config> load_config(std::string_view site, const std::string& path);

// The name of a user, group or service as the file takes it: in quotes, if it has to be.
std::string in_file(std::string_view name);

// "90", "90s", "5m", "2h", "4d", "2w"; no sign, no fraction, at most 100 years.
std::optional<Seconds> parse_duration(std::string_view text);

}  // namespace sessreg
