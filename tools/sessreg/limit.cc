// sessreg limit
#include <fmt/core.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "sessreg/command.h"
#include "sessreg/limit_text.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

struct LimitOptions {
  std::string limit;  // empty: not given
  bool configured = false;
};

std::int32_t parse_limit(const std::string& text) {
  if (text == "unlimited") return -1;
  std::int32_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit < -1)
    throw usage_failure(
        fmt::format("'{}' is not a limit; write a number, 0 to admit nobody new, -1 for no limit",
                    escape_for_terminal(text)));
  return limit;
}

std::string limit_text(const Site& site, std::int32_t limit) {
  if (limit < 0) return "unlimited";
  if (limit == 0) return "0 (nobody new is admitted)";
  // The registry was made for an earlier configuration.
  if (site.registry && limit > static_cast<std::int64_t>(site.registry->capacity()))
    return fmt::format("{} (the registry has {} slots until the next boot)", limit,
                       site.registry->capacity());
  return std::to_string(limit);
}

void set_limit(Site& site, std::int32_t limit) {
  const auto capacity = static_cast<std::int64_t>(site.registry->capacity());
  if (limit > capacity)
    throw usage_failure(fmt::format(
        "{} is more than the registry has room for: its capacity is {} (set 'capacity' before "
        "the registry is made, at boot)",
        limit, capacity));
  site.registry->set_override(limit);
  audit("limit", site.config.site, {{"limit", std::to_string(limit)}});
}

int run_limit(const GlobalOptions& global, const LimitOptions& options) {
  if (!options.limit.empty() && options.configured)
    throw usage_failure("either a limit or --configured");
  std::optional<std::int32_t> limit;
  if (!options.limit.empty()) limit = parse_limit(options.limit);
  Site site = open_site(global);
  if (limit) {
    if (!site.registry) {
      // Checked before a registry is made for it.
      if (*limit > site.config.capacity)
        throw usage_failure(
            fmt::format("{} is more than 'capacity', {}", *limit, site.config.capacity));
      create_registry(site);
    }
    set_limit(site, *limit);
  } else if (options.configured && site.registry && site.registry->override_limit()) {
    site.registry->set_override(std::nullopt);
    audit("limit", site.config.site, {{"limit", "configured"}});
  }

  nlohmann::ordered_json json;
  json["site"] = site.config.site;
  json["active"] = site.seats_taken();
  json.update(limit_json(site));
  if (global.json)
    print(json_text(json));
  else
    print(field_list({{"in force", limit_in_force_text(site)},
                      {"configured", configured_limit_text(site)},
                      {"seats taken", std::to_string(site.seats_taken())}},
                     stdout_terminal()));
  return kExitDone;
}

}  // namespace

std::string configured_limit_text(const Site& site) {
  return limit_text(site, site.config.sessions_limit);
}

std::string limit_in_force_text(const Site& site) {
  std::string text = limit_text(site, site.limit_in_force());
  if (site.registry && site.registry->override_limit())
    text += fmt::format(", set until the next boot or '{} limit --configured'", called_as(site));
  else if (site.limit_in_force() != site.config.sessions_limit)
    text += ", as configured at the last login; the next one takes the new limit";
  return text;
}

nlohmann::ordered_json limit_json(const Site& site) {
  const auto changed = site.registry ? site.registry->override_limit() : std::nullopt;
  nlohmann::ordered_json json;
  json["limit"] = site.limit_in_force();
  json["limit_configured"] = site.config.sessions_limit;
  json["limit_override"] = changed ? nlohmann::ordered_json(*changed) : nullptr;
  return json;
}

Runner declare_limit(Options& command) {
  auto options = std::make_shared<LimitOptions>();
  command
      .add_argument("N", options->limit,
                    "the limit from now until the next boot; 0 admits nobody new, -1 means no "
                    "limit")
      .not_empty();
  command.add_flag("--configured", options->configured, "go back to the configured limit");
  return [options](const GlobalOptions& global) { return run_limit(global, *options); };
}

}  // namespace sessreg
