// sessreg limit and sessreg reload
#include <fmt/core.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "config/policy.h"
#include "session/login.h"
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
    return fmt::format("{} (the registry's capacity is {} until the next boot)", limit,
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

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields limit_fields(Site& site) {
  return {{"in force", limit_in_force_text(site)},
          {"configured", configured_limit_text(site)},
          {"seats taken", std::to_string(site.seats_taken())}};
}

void take_configured_limits(Site& site) {
  if (const auto error = publish_limits(site)) throw failure_of(*error, called_as(site));
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
  } else if (options.configured && site.registry) {
    const std::int32_t before = site.limit_in_force();
    const bool was_set = site.registry->override_limit().has_value();
    take_configured_limits(site);
    site.registry->set_override(std::nullopt);
    if (was_set || before != site.limit_in_force())
      audit("limit", site.config.site, {{"limit", "configured"}});
  }

  nlohmann::ordered_json json;
  json["site"] = site.config.site;
  json["active"] = site.seats_taken();
  json.update(limit_json(site));
  if (global.json)
    print(json_text(json));
  else
    print(field_list(limit_fields(site), stdout_terminal()));
  return kExitDone;
}

int run_reload(const GlobalOptions& global) {
  Site site = open_site(global);
  const std::int32_t before = site.limit_in_force();
  if (site.registry) {
    take_configured_limits(site);
    audit("reload", site.config.site,
          {{"limit", std::to_string(site.limit_in_force())}, {"before", std::to_string(before)}});
  }
  const auto groups = limited_groups(site.config);

  if (global.json) {
    nlohmann::ordered_json json;
    json["site"] = site.config.site;
    json["configuration"] = site.config_file();
    json["active"] = site.seats_taken();
    json["limit_before"] = before;
    json.update(limit_json(site));
    json["groups"] = nlohmann::ordered_json::array();
    for (const GroupLimit& group : groups)
      json["groups"].push_back(
          {{"name", group.name}, {"service", group.is_of_service}, {"limit", group.limit}});
    print(json_text(json));
    return kExitDone;
  }
  Fields fields = limit_fields(site);
  fields.insert(fields.begin(), {"read", escape_for_terminal(site.config_file())});
  if (before != site.limit_in_force())
    fields.insert(fields.begin() + 1, {"before", limit_text(site, before)});
  for (const GroupLimit& group : groups)
    fields.push_back(
        {group.is_of_service ? "service" : "group",
         fmt::format("{}: {}", escape_for_terminal(group.name), limit_text(site, group.limit))});
  print(field_list(fields, stdout_terminal()));
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

Runner declare_reload(Options&) {
  return [](const GlobalOptions& global) { return run_reload(global); };
}

}  // namespace sessreg
