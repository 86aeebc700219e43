// sessreg failures
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/times.h"
#include "config/remote_host.h"
#include "sessreg/command.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

struct FailuresOptions {
  std::string reset;  // empty: not given
  bool reset_all = false;
};

// A host as it is shown.
struct Host {
  std::string text;  // raw, perhaps cut
  std::uint32_t failures = 0;
  std::int64_t last_failure_realtime_ms = 0;
  bool blacklisted = false;
  std::int64_t until_realtime_ms = 0;
};

FailureRules rules_of(const Config& config) {
  const auto blacklist_ms = std::chrono::milliseconds(config.blacklist_time).count();
  return {static_cast<std::uint32_t>(config.max_failed_auth_per_host),
          static_cast<std::uint64_t>(blacklist_ms)};
}

std::string quantity(std::size_t hosts) {
  return fmt::format("{} host{}", hosts, hosts == 1 ? "" : "s");
}

std::vector<Host> read_hosts(Site& site, const Now& at) {
  std::vector<Host> hosts;
  if (!site.registry) return hosts;
  const bool refuses = site.config.max_failed_auth_per_host != 0;
  const auto realtime_of = [&](std::uint64_t boottime_ms) {
    return at.realtime_ms + static_cast<std::int64_t>(boottime_ms - at.boottime_ms);
  };
  for (const HostFailures& found :
       site.registry->failures(rules_of(site.config)).list(at.boottime_ms)) {
    Host host{found.text, found.status.failures, realtime_of(found.last_failure_ms)};
    host.blacklisted = refuses && found.status.blacklisted;
    if (host.blacklisted) host.until_realtime_ms = realtime_of(found.status.until_ms);
    hosts.push_back(std::move(host));
  }
  std::sort(hosts.begin(), hosts.end(), [](const Host& a, const Host& b) {
    if (a.blacklisted != b.blacklisted) return a.blacklisted;
    if (a.last_failure_realtime_ms != b.last_failure_realtime_ms)
      return a.last_failure_realtime_ms > b.last_failure_realtime_ms;
    return a.text < b.text;
  });
  return hosts;
}

nlohmann::ordered_json hosts_json(const Site& site, const std::vector<Host>& hosts) {
  const auto time = [](std::int64_t realtime_ms) {
    const auto utc = utc_time(realtime_ms);
    return utc ? nlohmann::ordered_json(*utc) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json json;
  json["site"] = site.config.site;
  json["max"] = site.config.max_failed_auth_per_host;
  json["hosts"] = nlohmann::ordered_json::array();
  for (const Host& host : hosts) {
    nlohmann::ordered_json item;
    item["host"] = host.text;
    item["failures"] = host.failures;
    item["last_failure"] = time(host.last_failure_realtime_ms);
    item["blacklisted"] = host.blacklisted;
    item["until"] = host.blacklisted ? time(host.until_realtime_ms) : nullptr;
    json["hosts"].push_back(std::move(item));
  }
  return json;
}

std::string footer(const Site& site, const std::vector<Host>& hosts) {
  const auto blacklisted = static_cast<std::size_t>(
      std::count_if(hosts.begin(), hosts.end(), [](const Host& host) { return host.blacklisted; }));
  return fmt::format(
      "{}, {} blacklisted; {} a host for {}\n", quantity(hosts.size()), blacklisted,
      site.config.max_failed_auth_per_host == 1
          ? "1 failure blacklists"
          : fmt::format("{} failures blacklist", site.config.max_failed_auth_per_host),
      duration_text(site.config.blacklist_time));
}

std::string hosts_text(const Site& site, const std::vector<Host>& hosts, const Now& at) {
  Table table(
      {{"host", true}, {"failures"}, {"last failure"}, {"blacklisted until", false, "until"}});
  for (const Host& host : hosts) {
    Cell until{"-"};
    if (host.blacklisted)
      until = {time_with_relative(host.until_realtime_ms, at.realtime_ms),
               relative_time(host.until_realtime_ms, at.realtime_ms), Colour::red};
    table.add({{escape_for_terminal(host.text)},
               {std::to_string(host.failures)},
               {relative_time(host.last_failure_realtime_ms, at.realtime_ms)},
               std::move(until)});
  }
  const Terminal terminal = stdout_terminal();
  std::string text = hosts.empty() && terminal.is_terminal ? "" : table.text(terminal);
  if (site.config.max_failed_auth_per_host == 0)
    text += fmt::format("nothing is counted: 'max_failed_auth_per_host' is 0 in {}\n",
                        escape_for_terminal(site.config_file()));
  else if (terminal.is_terminal)
    text += footer(site, hosts);
  return text;
}

struct Forgotten {
  std::size_t number = 0;
  std::string network;  // as which the host was counted, if it was
};

// The host itself, or else every host that is listed by that text: the list cuts long names.
Forgotten reset_host(Failures failures, const std::string& shown, std::uint64_t now_ms) {
  const std::string text = failures.reset(RemoteHost::from_shown(shown), now_ms);
  if (!text.empty()) return {1, RemoteHost::from_shown(text).is_network() ? text : ""};
  std::size_t number = 0;
  for (const HostFailures& host : failures.list(now_ms))
    if (host.text == shown || escape_for_terminal(host.text) == shown)
      number += failures.reset(host.host_hash, now_ms);
  return {number, ""};
}

Forgotten reset(Site& site, const FailuresOptions& options) {
  const std::uint64_t now_ms = now().boottime_ms;
  if (options.reset_all) {
    std::size_t number = 0;
    if (site.registry) number = site.registry->failures(rules_of(site.config)).reset_all(now_ms);
    if (number > 0) audit("reset_failures", site.config.site, {{"hosts", std::to_string(number)}});
    return {number, ""};
  }
  Forgotten forgotten;
  if (site.registry)
    forgotten = reset_host(site.registry->failures(rules_of(site.config)), options.reset, now_ms);
  if (forgotten.number == 0)
    throw Failure(kExitFailed, "no_such_host",
                  fmt::format("no failures of {} are known; '{} failures' lists the hosts",
                              escape_for_terminal(options.reset), called_as(site)));
  audit("reset_failures", site.config.site,
        {{"host", forgotten.network.empty() ? options.reset : forgotten.network}});
  return forgotten;
}

std::string what_was_forgotten(const Forgotten& forgotten, const FailuresOptions& options) {
  if (options.reset_all || forgotten.number > 1) return quantity(forgotten.number);
  std::string host = escape_for_terminal(options.reset);
  if (forgotten.network.empty() || forgotten.network == options.reset) return host;
  return fmt::format("{}, as which {} was counted", forgotten.network, host);
}

int run_failures(const GlobalOptions& global, const FailuresOptions& options) {
  if (options.reset_all && !options.reset.empty())
    throw usage_failure("either --reset or --reset-all");
  Site site = open_site(global);
  if (options.reset_all || !options.reset.empty()) {
    const Forgotten forgotten = reset(site, options);
    if (global.json) {
      nlohmann::ordered_json json;
      json["site"] = site.config.site;
      json["reset"] = forgotten.number;
      print(json_text(json));
    } else {
      print(fmt::format("forgot the failures of {}\n", what_was_forgotten(forgotten, options)));
    }
    return kExitDone;
  }
  const Now at = now();
  const std::vector<Host> hosts = read_hosts(site, at);
  print(global.json ? json_text(hosts_json(site, hosts)) : hosts_text(site, hosts, at));
  return kExitDone;
}

}  // namespace

Runner declare_failures(Options& command) {
  auto options = std::make_shared<FailuresOptions>();
  command
      .add_option("--reset", options->reset,
                  "forget this host's failures, and lift its blacklisting")
      .not_empty()
      .value_name("HOST");
  command.add_flag("--reset-all", options->reset_all, "do the same for every host");
  return [options](const GlobalOptions& global) { return run_failures(global, *options); };
}

}  // namespace sessreg
