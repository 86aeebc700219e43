#include "sessreg/lint/setting_findings.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "config/config_keys.h"

namespace sessreg {
namespace {

// Less than it takes to read a page.
constexpr Seconds kShortestIdle{60};

// The value of a key of sections, wherever it is set: whether `fits` says yes to one.
template <class T, class Fits>
bool is_anywhere(const Config& config, const T& at_top, std::optional<T> SectionSettings::*key,
                 Fits fits) {
  return fits(at_top) ||
         std::any_of(config.sections.begin(), config.sections.end(), [&](const Section& section) {
           const auto& value = section.settings.*key;
           return value && fits(*value);
         });
}

bool has_user_limit(const Config& config) {
  return is_anywhere(config, config.user_sessions_limit, &SectionSettings::user_sessions_limit,
                     [](std::int32_t limit) { return limit >= 0; });
}

bool has_time(const Config& config, const Seconds& at_top,
              std::optional<Seconds> SectionSettings::*key) {
  return is_anywhere(config, at_top, key, [](Seconds time) { return time.count() != 0; });
}

class SettingChecker {
 public:
  SettingChecker(const Config& config, const std::string& path) : config_(config), path_(path) {}

  std::vector<Finding> check() {
    check_user_limit();
    check_reserved();
    check_times();
    check_ignored();
    return std::move(findings_);
  }

 private:
  // Where the file sets that key: above the first section, or in the first section that does.
  template <class T>
  std::optional<unsigned> line_of(std::string_view key,
                                  std::optional<T> SectionSettings::*in_section) const {
    if (const unsigned line = line_at_top(config_, key); line != 0) return line;
    for (const Section& section : config_.sections)
      if (section.settings.*in_section) return section.line;
    return std::nullopt;
  }
  std::optional<unsigned> line_of(std::string_view key) const {
    const unsigned line = line_at_top(config_, key);
    return line == 0 ? std::nullopt : std::optional(line);
  }

  void add(std::optional<unsigned> line, std::string what, std::string mend) {
    if (line) findings_.push_back({place_of(path_, *line), std::move(what), std::move(mend)});
  }
  void add_vain(std::optional<unsigned> line, std::string_view key, std::string_view needed) {
    add(line, fmt::format("'{}' does nothing without '{}'", key, needed),
        fmt::format("set '{}', or remove the line", needed));
  }

  void check_user_limit() {
    const auto policy = line_of("user_limit_policy", &SectionSettings::user_limit_policy);
    const auto lock = line_of("user_lock", &SectionSettings::user_lock);
    if (!has_user_limit(config_)) {
      add_vain(policy, "user_limit_policy", "user_sessions_limit");
      add_vain(lock, "user_lock", "user_sessions_limit");
    } else if (!is_anywhere(
                   config_, config_.user_limit_policy, &SectionSettings::user_limit_policy,
                   [](UserLimitPolicy its) { return its == UserLimitPolicy::lock_then_evict; })) {
      add_vain(lock, "user_lock", "user_limit_policy = lock_then_evict");
    }
  }

  void check_reserved() {
    if (config_.sessions_limit < 0 && config_.reserved_sessions > 0)
      add_vain(line_of("reserved_sessions"), "reserved_sessions", "sessions_limit");
    if (config_.reserved_sessions == 0)
      add_vain(line_of("reserved_for"), "reserved_for", "reserved_sessions");
  }

  void check_times() {
    if (!has_time(config_, config_.idle_after, &SectionSettings::idle_after))
      add_vain(line_of("on_return"), "on_return", "idle_after");
    if (config_.max_failed_auth_per_host == 0) {
      add_vain(line_of("blacklist_time"), "blacklist_time", "max_failed_auth_per_host");
      add_vain(line_of("blacklist_exempt"), "blacklist_exempt", "max_failed_auth_per_host");
    }
    check_idle(line_of("idle_after"), config_.idle_after);
    for (const Section& section : config_.sections)
      check_idle(section.line, section.settings.idle_after.value_or(Seconds(0)));
  }
  void check_idle(std::optional<unsigned> line, Seconds idle) {
    if (idle.count() == 0 || idle >= kShortestIdle) return;
    add(line,
        fmt::format("'idle_after' is {}s, so that who reads for that long may lose the seat",
                    idle.count()),
        "write some minutes, such as 15m");
  }

  // A value replaces the default list, which is easily forgotten.
  void check_ignored() {
    const auto is_named = [&](const std::string& name) {
      const auto& list = config_.ignore_services;
      return std::find(list.begin(), list.end(), name) != list.end();
    };
    const auto line = line_of("ignore_services");
    // An empty list is meant so.
    if (!line || config_.ignore_services.empty() || !config_.only_services.empty()) return;
    std::vector<std::string> missing;
    for (const char* name : {"su", "sudo", "cron", "systemd-user"})
      if (!is_named(name)) missing.emplace_back(name);
    if (missing.empty()) return;
    std::vector<std::string> own = config_.ignore_services;
    const std::vector<std::string> defaults = default_config(config_.site).ignore_services;
    std::erase_if(own, [&](const std::string& name) {
      return std::find(defaults.begin(), defaults.end(), name) != defaults.end();
    });
    add(line,
        fmt::format(
            "'ignore_services' replaces the default list, so that {} take seats of their own",
            fmt::join(missing, ", ")),
        own.empty() ? std::string("remove the line")
                    : fmt::format("write 'ignore_services += {}'", fmt::join(own, " ")));
  }

  const Config& config_;
  const std::string& path_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_settings(const Config& config, const std::string& path) {
  return SettingChecker(config, path).check();
}

bool limits_anything(const Config& config) {
  return config.sessions_limit >= 0 || has_user_limit(config) ||
         config.max_failed_auth_per_host != 0 ||
         has_time(config, config.session_lifetime, &SectionSettings::session_lifetime) ||
         has_time(config, config.idle_after, &SectionSettings::idle_after) ||
         std::any_of(config.sections.begin(), config.sections.end(), [](const Section& section) {
           return section.settings.sessions_limit.value_or(-1) >= 0 ||
                  section.settings.session_ttl || section.settings.keep;
         });
}

}  // namespace sessreg
