#include "common/site.h"

#include <errno.h>
#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/text.h"
#include "common/errors.h"
#include "common/tool_name.h"

namespace sessreg {
namespace {

constexpr const char* kSitesDirectory = "/etc/security/sessreg.d";

// Quoted as one word of a shell command.
std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%,=";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string result = "'";
  for (const char c : word) {
    if (c == '\'')
      result += "'\\''";
    else
      result += c;
  }
  return result + "'";
}

Config usable(const GlobalOptions& global, Result<Config> config) {
  if (!is_valid_site_name(global.site))
    throw usage_failure(
        fmt::format("'{}' cannot be the name of a site: 1 to 64 of A-Z a-z 0-9 _ . -, a letter, "
                    "digit or _ first",
                    escape_for_terminal(global.site)));
  if (!config) throw failure_of(config.error(), called_as(global));
  return std::move(*config);
}

}  // namespace

std::string called_as(const GlobalOptions& global) {
  std::string called = tool_name();
  if (global.site != GlobalOptions().site) called += " --site " + quoted(global.site);
  if (!global.conf.empty()) called += " --conf " + quoted(global.conf);
  return one_line(called);
}

std::string called_as(const Site& site) {
  GlobalOptions global;
  global.site = site.config.site;
  global.conf = site.config_path;
  return called_as(global);
}

Config load_site_config(const GlobalOptions& global) {
  return usable(global, load_config(global.site, global.conf));
}

Site site_without_registry(const GlobalOptions& global) {
  return site_without_registry(global, load_config(global.site, global.conf));
}

Site site_without_registry(const GlobalOptions& global, Result<Config> config) {
  return {usable(global, std::move(config)), global.conf, std::nullopt};
}

DaemonLook look_at_daemon(const Site& site) {
  DaemonLook look;
  if (!site.registry) return look;
  const Registry::Daemon daemon = site.registry->daemon();
  if (daemon.pid <= 0) return look;
  const Now at = now();
  const std::uint64_t silence_ms = at.boottime_ms - std::min(daemon.seen_ms, at.boottime_ms);
  look.pid = daemon.pid;
  look.seen_realtime_ms = at.realtime_ms - static_cast<std::int64_t>(silence_ms);
  look.alive = silence_ms <= kDaemonSilence_ms && (kill(daemon.pid, 0) == 0 || errno == EPERM);
  return look;
}

Site open_site(const GlobalOptions& global) {
  Site site = site_without_registry(global);
  if (const auto error = site.open_registry(Site::IfMissing::leave))
    throw failure_of(*error, called_as(site));
  return site;
}

void create_registry(Site& site) {
  if (const auto error = site.open_registry(Site::IfMissing::create))
    throw failure_of(*error, called_as(site));
}

std::vector<std::string> all_sites() {
  constexpr std::string_view kSuffix = ".conf";
  std::vector<std::string> sites;
  std::error_code error;
  std::filesystem::directory_iterator entry(kSitesDirectory, error);
  const std::filesystem::directory_iterator end;
  for (; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    if (is_valid_site_name(name) && name != "default") sites.push_back(std::move(name));
  }
  if (error == std::errc::permission_denied)
    throw failure_of(
        system_error(error.value(), std::string("cannot read the directory ") + kSitesDirectory),
        tool_name());
  std::sort(sites.begin(), sites.end());
  sites.insert(sites.begin(), "default");
  return sites;
}

}  // namespace sessreg
