#include "site.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "errors.h"
#include "text.h"

namespace sessreg {
namespace {

constexpr const char* kSitesDirectory = "/etc/security/sessreg.d";

HostIdentity this_host() {
  auto host = host_identity();
  if (!host) throw failure_of(host.error());
  return *host;
}

OpenSite with_registry(OpenSite site, MappedRegistry mapped) {
  site.registry.emplace(std::move(mapped));
  return site;
}

OpenSite without_registry(const GlobalOptions& global) {
  OpenSite site;
  site.config = load_site_config(global);
  site.config_path = global.conf.empty() ? default_config_path(global.site) : global.conf;
  return site;
}

}  // namespace

std::int32_t OpenSite::limit_in_force() const {
  return registry ? registry->limit_in_force(config.sessions_limit) : config.sessions_limit;
}

std::uint32_t OpenSite::seats_taken() {
  return registry ? registry->count() : 0;
}

Config load_site_config(const GlobalOptions& global) {
  if (!is_valid_site_name(global.site))
    throw usage_failure(
        fmt::format("'{}' cannot be the name of a site: 1 to 64 of A-Z a-z 0-9 _ . -, a letter, "
                    "digit or _ first",
                    escape_for_terminal(global.site)));
  auto config = load_config(global.site, global.conf);
  if (!config) throw failure_of(config.error());
  return std::move(*config);
}

OpenSite open_site(const GlobalOptions& global) {
  OpenSite site = without_registry(global);
  auto mapped = open_registry_file(site.config.registry, this_host());
  if (mapped) return with_registry(std::move(site), std::move(*mapped));
  // Nobody has logged in since the boot.
  const Errc code = mapped.error().code;
  if (code != Errc::not_found && code != Errc::other_boot) throw failure_of(mapped.error());
  return site;
}

OpenSite open_or_create_site(const GlobalOptions& global) {
  OpenSite site = without_registry(global);
  auto mapped = open_or_create_registry_file(site.config.registry, this_host(),
                                             static_cast<std::uint32_t>(site.config.capacity));
  if (!mapped) throw failure_of(mapped.error());
  return with_registry(std::move(site), std::move(*mapped));
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
        system_error(error.value(), std::string("cannot read the directory ") + kSitesDirectory));
  std::sort(sites.begin(), sites.end());
  sites.insert(sites.begin(), "default");
  return sites;
}

}  // namespace sessreg
