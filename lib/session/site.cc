#include "session/site.h"

#include <utility>

#include "host/process.h"

namespace sessreg {

bool is_absent(const Error& error) {
  return error.code == Errc::not_found || error.code == Errc::other_boot;
}

Result<Registry> open_existing_registry(const std::string& path) {
  const auto host = host_identity();
  if (!host) return host.error();
  auto registry = Registry::open(path, *host);
  if (registry) registry->hide_from_children();
  return registry;
}

Result<Site> Site::open(Config config, std::string config_path, IfMissing if_missing) {
  Site site{std::move(config), std::move(config_path), std::nullopt};
  if (auto error = site.open_registry(if_missing)) return std::move(*error);
  return site;
}

std::optional<Error> Site::open_registry(IfMissing if_missing) {
  const auto host = host_identity();
  if (!host) return host.error();
  const auto create = [&] {
    return Registry::open_or_create(config.registry, *host,
                                    static_cast<std::uint32_t>(config.capacity));
  };
  auto opened = if_missing == IfMissing::create ? create() : Registry::open(config.registry, *host);
  if (!opened && opened.error().code == Errc::older_layout) opened = create();
  if (opened)
    registry.emplace(std::move(*opened));
  else if (if_missing != IfMissing::leave || !is_absent(opened.error()))
    return opened.error();
  return std::nullopt;
}

}  // namespace sessreg
