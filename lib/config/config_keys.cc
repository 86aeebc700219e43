#include "config/config_keys.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "config/config_values.h"
#include "config/spelling.h"

namespace sessreg {
namespace {

constexpr Seconds kZero{0};
constexpr Seconds kShortest{1};
constexpr Seconds kOneDay{24 * 3600};
constexpr Seconds kForever = Seconds::max();  // parse_duration() has its own limit

constexpr const char* kWriteLimit = "write -1 (unlimited), 0 (admit nobody new) or a count";
constexpr const char* kWriteCount = "write a count";
constexpr std::int32_t kMostFailures = 1'000'000;

template <class T>
using Words = std::initializer_list<std::pair<std::string_view, T>>;

template <class T>
Result<T> parse_word(std::string_view text, Words<T> words) {
  std::string choices;
  for (const auto& [word, value] : words) {
    if (text == word) return value;
    choices += choices.empty() ? "" : " or ";
    choices += word;
  }
  return Error{Errc::invalid_config, quoted(text) + " is not known; write " + choices};
}

template <class T>
void put(T& at, T value, bool /*adds*/) {
  at = std::move(value);
}
template <class T>
void put(std::vector<T>& at, std::vector<T> value, bool adds) {
  if (!adds) at.clear();
  std::move(value.begin(), value.end(), std::back_inserter(at));
}
void put(NameList& at, NameList value, bool adds) {
  put(at.users, std::move(value.users), adds);
  put(at.groups, std::move(value.groups), adds);
}

template <class T>
std::string store(Result<T> parsed, Target target, T Config::*at_top,
                  std::optional<T> SectionSettings::*in_section = nullptr) {
  if (!parsed) return parsed.error().what;
  if (target.section == nullptr) {
    put(target.config.*at_top, std::move(*parsed), target.adds);
  } else {
    target.section->*in_section = std::move(*parsed);
  }
  return {};
}

// Of a key that sections alone have.
template <class T>
std::string store_in_section(Result<T> parsed, Target target,
                             std::optional<T> SectionSettings::*in_section) {
  if (!parsed) return parsed.error().what;
  target.section->*in_section = std::move(*parsed);
  return {};
}

template <std::string Config::*kMember, bool kMayNameSeconds = false>
std::string set_message(std::string_view value, Target target) {
  return store(parse_message(value, kMayNameSeconds), target, kMember);
}

// In the order of the manual page.
constexpr Key kKeys[] = {
    {"sessions_limit", kTop | kGroup | kService, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_count(value, -1, kMaxCapacity, kWriteLimit), target,
                    &Config::sessions_limit, &SectionSettings::sessions_limit);
     }},
    {"user_sessions_limit", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_count(value, -1, kMaxCapacity, kWriteLimit), target,
                    &Config::user_sessions_limit, &SectionSettings::user_sessions_limit);
     }},
    {"user_limit_policy", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_word<UserLimitPolicy>(
                        value, {{"deny", UserLimitPolicy::deny},
                                {"evict", UserLimitPolicy::evict},
                                {"lock_then_evict", UserLimitPolicy::lock_then_evict}}),
                    target, &Config::user_limit_policy, &SectionSettings::user_limit_policy);
     }},
    {"user_lock", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kZero, kForever), target, &Config::user_lock,
                    &SectionSettings::user_lock);
     }},
    {"session_lifetime", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kZero, kForever), target, &Config::session_lifetime,
                    &SectionSettings::session_lifetime);
     }},
    {"session_ttl", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kZero, kForever), target, &Config::session_ttl,
                    &SectionSettings::session_ttl);
     }},
    {"idle_after", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kZero, kForever), target, &Config::idle_after,
                    &SectionSettings::idle_after);
     }},
    {"count_leftovers", kAnywhere, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_word<CountLeftovers>(value, {{"no", CountLeftovers::no},
                                                       {"terminal", CountLeftovers::terminal},
                                                       {"any", CountLeftovers::any}}),
                    target, &Config::count_leftovers, &SectionSettings::count_leftovers);
     }},
    {"on_return", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_word<OnReturn>(value, {{"refuse", OnReturn::refuse},
                                                 {"end", OnReturn::end},
                                                 {"admit", OnReturn::admit}}),
                    target, &Config::on_return);
     }},
    {"dangling_after", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kShortest, kForever), target, &Config::dangling_after);
     }},
    {"reserved_sessions", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_count(value, 0, kMaxCapacity, kWriteCount), target,
                    &Config::reserved_sessions);
     }},
    {"reserved_for", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_names(value), target, &Config::reserved_for);
     }},
    {"exempt", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_names(value), target, &Config::exempt);
     }},
    {"only_services", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_services(value), target, &Config::only_services);
     }},
    {"ignore_services", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_services(value), target, &Config::ignore_services);
     }},
    {"shared_services", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_services(value), target, &Config::shared_services);
     }},
    {"reattach_services", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_services(value), target, &Config::reattach_services);
     }},
    {"clients", kService, ValueShape::list,
     [](std::string_view value, Target target) {
       return store_in_section(parse_names(value), target, &SectionSettings::clients);
     }},
    {"accounts", kService, ValueShape::single,
     [](std::string_view value, Target target) {
       return store_in_section(parse_word<bool>(value, {{"yes", true}, {"no", false}}), target,
                               &SectionSettings::accounts);
     }},
    {"keep", kService, ValueShape::single,
     [](std::string_view value, Target target) {
       // 0 is off here, and no time without an end.
       if (value == "never" || value == "unlimited")
         return quoted(value) + " is no time to keep a seat for; write a duration, or 0 for off";
       return store_in_section(parse_seconds(value, kZero, kForever), target,
                               &SectionSettings::keep);
     }},
    {"max_failed_auth_per_host", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_count(value, 0, kMostFailures, "write 0 (off) or a count"), target,
                    &Config::max_failed_auth_per_host);
     }},
    {"blacklist_time", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kShortest, kForever), target, &Config::blacklist_time);
     }},
    {"blacklist_exempt", kTop, ValueShape::list,
     [](std::string_view value, Target target) {
       return store(parse_cidrs(value), target, &Config::blacklist_exempt);
     }},
    {"reservation_time", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_seconds(value, kShortest, kOneDay), target, &Config::reservation_time);
     }},
    {"capacity", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_count(value, 1, kMaxCapacity, kWriteCount), target, &Config::capacity);
     }},
    {"registry", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_path(value), target, &Config::registry);
     }},
    {"token", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_word<bool>(value, {{"yes", true}, {"no", false}}), target,
                    &Config::token);
     }},
    {"key_file", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(parse_path(value), target, &Config::key_file);
     }},
    {"on_error", kTop, ValueShape::single,
     [](std::string_view value, Target target) {
       return store(
           parse_word<OnError>(value, {{"deny", OnError::deny}, {"allow", OnError::allow}}), target,
           &Config::on_error);
     }},
    {"message_site_full", kTop, ValueShape::message, set_message<&Config::message_site_full>},
    {"message_user_full", kTop, ValueShape::message, set_message<&Config::message_user_full>},
    {"message_group_full", kTop, ValueShape::message, set_message<&Config::message_group_full>},
    {"message_locked", kTop, ValueShape::message, set_message<&Config::message_locked, true>},
    {"message_drain", kTop, ValueShape::message, set_message<&Config::message_drain>},
    {"message_blacklisted", kTop, ValueShape::message,
     set_message<&Config::message_blacklisted, true>},
    {"message_table_full", kTop, ValueShape::message, set_message<&Config::message_table_full>},
    {"message_revoked", kTop, ValueShape::message, set_message<&Config::message_revoked, true>},
};
static_assert(std::size(kKeys) <= decltype(Config::lines_at_top)().size());

}  // namespace

std::span<const Key> config_keys() {
  return kKeys;
}

const Key* find_key(std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

unsigned line_at_top(const Config& config, std::string_view key) {
  const Key* found = find_key(key);
  return found == nullptr ? 0 : config.lines_at_top[static_cast<std::size_t>(found - kKeys)];
}

std::string_view nearest_key(std::string_view name) {
  std::array<std::string_view, std::size(kKeys)> names;
  std::transform(std::begin(kKeys), std::end(kKeys), names.begin(),
                 [](const Key& key) { return key.name; });
  return nearest_spelling(name, names);
}

Config default_config(std::string_view site) {
  Config config;
  config.site = site;
  config.ignore_services = {
      // What runs on behalf of a user, or asks for a password once more.
      "cron",
      "crond",
      "cronie",
      "atd",
      "systemd-user",
      "systemd-run0",
      "elogind-user",
      "su",
      "su-l",
      "sudo",
      "sudo-i",
      "doas",
      "please",
      "pleaseedit",
      "super",
      "runuser",
      "runuser-l",
      "run_init",
      "newrole",
      "polkit-1",
      "chfn",
      "chsh",
      "passwd",
      "newusers",
      "chpasswd",
      "groupmems",
      "sssd-shadowutils",
      // Greeters.
      "gdm-launch-environment",
      "lightdm-greeter",
      "sddm-greeter",
      "greetd-greeter",
      // Screen lockers.
      "xscreensaver",
      "gnome-screensaver",
      "mate-screensaver",
      "cinnamon-screensaver",
      "xfce4-screensaver",
      "ukui-screensaver-qt",
      "gnome-flashback",
      "slock",
      "vlock",
      "kde",
      "kde-fingerprint",
      "kde-smartcard",
      // Servers that go through the account phase, often at each request, and open no session, or
      // none that lasts.
      "imap",
      "pop",
      "pop3",
      "smtp",
      "esmtp",
      "lmtp",
      "sieve",
      "managesieve",
      "nntp",
      "mupdate",
      "webmail",
      "calendar",
      "perdition",
      "popa3d",
      "solid-pop3d",
      "poppassd",
      "pure-ftpd",
      "squid",
      "openvpn",
      "radiusd",
      "pwauth",
      "cups",
      "monit",
      "pcsd",
      "frr",
      "partimaged",
  };
  config.shared_services = {"dovecot", "jupyterhub"};
  config.reattach_services = {
      "lightdm",       "lightdm-autologin", "gdm-password", "gdm-fingerprint",
      "gdm-smartcard", "gdm-autologin",     "sddm",         "sddm-autologin",
      "kde",           "xrdp-sesman",       "cockpit"};
  Cidr loopback4;
  loopback4.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 0};
  loopback4.prefix_bits = 96 + 8;
  Cidr loopback6;
  loopback6.address[15] = 1;
  config.blacklist_exempt = {loopback4, loopback6};
  config.registry = "/run/sessreg/" + config.site + ".reg";
  config.key_file = "/var/lib/sessreg/" + config.site + ".key";
  config.message_site_full =
      "There are more than {limit} active user sessions. Please try again later.";
  config.message_user_full =
      "You have as many sessions as you may have at once ({limit}). Please end one of them and try "
      "again.";
  config.message_group_full =
      "Your group has as many sessions as it may have at once ({limit}). Please try again later.";
  config.message_locked =
      "You are already logged in elsewhere. Please end that session, or try again in {seconds} "
      "seconds.";
  config.message_drain = "No new logins are admitted at the moment. Please try again later.";
  config.message_blacklisted =
      "Too many failed logins from your address. Please try again in {seconds} seconds.";
  config.message_table_full = "The table of user sessions is full. Please tell the administrator.";
  config.message_revoked = "This session has been revoked. Please log in again if you need to.";
  return config;
}

}  // namespace sessreg
