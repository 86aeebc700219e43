// sessreg status
#include <fmt/core.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/session.h"
#include "common/times.h"
#include "sessreg/command.h"
#include "sessreg/limit_text.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

struct Numbers {
  std::map<State, std::size_t> sessions;
  std::set<UserHash> users;  // who hold a seat
};

nlohmann::ordered_json daemon_json(const Site& site) {
  const DaemonLook look = look_at_daemon(site);
  nlohmann::ordered_json json = {{"alive", look.alive}, {"pid", nullptr}, {"last_seen", nullptr}};
  if (look.pid == 0) return json;
  json["pid"] = look.pid;
  if (const auto seen = utc_time(look.seen_realtime_ms)) json["last_seen"] = *seen;
  return json;
}

std::string daemon_text(const Site& site) {
  const DaemonLook look = look_at_daemon(site);
  if (look.pid == 0) return "not running";
  const std::string seen = relative_time(look.seen_realtime_ms, now().realtime_ms);
  return fmt::format("{} (pid {}, {} {})", look.alive ? "alive" : "not running", look.pid,
                     look.alive ? "seen" : "last seen", seen);
}

nlohmann::ordered_json status_json(Site& site, Numbers& numbers) {
  auto& sessions = numbers.sessions;
  const auto counter = [&](Counter which) {
    return site.registry ? site.registry->counter(which) : 0;
  };
  nlohmann::ordered_json json;
  json["site"] = site.config.site;
  json["configuration"] = site.config_file();
  json["registry"] = site.config.registry;
  json["registry_exists"] = site.registry.has_value();
  const auto created =
      site.registry ? utc_time(site.registry->created_realtime_ms()) : std::nullopt;
  json["created"] = created ? nlohmann::ordered_json(*created) : nullptr;
  json["active"] = site.seats_taken();
  json["users"] = numbers.users.size();
  json.update(limit_json(site));
  json["capacity"] = site.registry ? static_cast<std::int64_t>(site.registry->capacity())
                                   : static_cast<std::int64_t>(site.config.capacity);
  json["reserved"] = sessions[State::reserved];
  json["parked"] = sessions[State::parked];
  json["orphaned"] = sessions[State::orphaned];
  json["left"] = sessions[State::left];
  json["ending"] = sessions[State::ending];
  json["exempt"] = sessions[State::exempt];
  json["observed"] = sessions[State::observed];
  json["high_water_mark"] = counter(kHighWater);
  json["admissions"] = counter(kAdmissions);
  for (const RefusalFacts& refusal : refusals()) {
    json["refusals"][refusal.name] = counter(refusal.counter);
    json["would_refuse"][refusal.name] = counter(refusal.observed);
  }
  json["parkings"] = counter(kParked);
  json["returns"] = counter(kReturned);
  json["evictions"] = counter(kEvicted);
  json["failed_authentications"] = counter(kFailedAuths);
  json["reaped"] = {{"sessions", counter(kReapedSessions)},
                    {"reservations", counter(kReapedReservations)},
                    {"claims", counter(kReapedClaims)}};
  json["daemon"] = daemon_json(site);
  return json;
}

std::string by_reason(const nlohmann::ordered_json& refusals) {
  return fmt::format(
      "site full {}, drain {}, user full {}, locked {}, group full {}, table full {}, "
      "blacklisted {}",
      refusals["site_full"].dump(), refusals["drain"].dump(), refusals["user_full"].dump(),
      refusals["locked"].dump(), refusals["group_full"].dump(), refusals["table_full"].dump(),
      refusals["blacklisted"].dump());
}

// From the same values as the JSON, so that the two cannot disagree.
std::string status_text(Site& site, const nlohmann::ordered_json& json) {
  const auto number = [&](const char* key) { return json[key].dump(); };
  const auto& reaped = json["reaped"];
  const std::string registry = escape_for_terminal(site.config.registry);
  const std::string since =
      site.registry ? time_with_relative(site.registry->created_realtime_ms(), now().realtime_ms)
                    : "-";
  return field_list(
      {
          {"site", escape_for_terminal(site.config.site)},
          {"registry", site.registry ? registry : registry + " (none yet: nobody has logged in)"},
          {"seats taken", number("active")},
          {"by users", number("users")},
          {"of these reserved", number("reserved")},
          {"limit in force", limit_in_force_text(site)},
          {"limit configured", configured_limit_text(site)},
          {"capacity", number("capacity")},
          {"parked", number("parked")},
          {"orphaned", number("orphaned")},
          {"left", number("left")},
          {"ending", number("ending")},
          {"exempt", number("exempt")},
          {"observed", number("observed")},
          {"counted since", since},
          {"high-water mark", number("high_water_mark")},
          {"admissions", number("admissions")},
          {"refusals", by_reason(json["refusals"])},
          {"would refuse", by_reason(json["would_refuse"])},
          {"parkings", fmt::format("{}, returned {}", number("parkings"), number("returns"))},
          {"evictions", number("evictions")},
          {"failed auths", number("failed_authentications")},
          {"reaped",
           fmt::format("dead sessions {}, abandoned reservations {}, unfinished logins {}",
                       reaped["sessions"].dump(), reaped["reservations"].dump(),
                       reaped["claims"].dump())},
          {"daemon", daemon_text(site)},
      },
      stdout_terminal());
}

nlohmann::ordered_json measure(Site& site, const ProcessTable& table) {
  Numbers numbers;
  for_each_session(site, table, [&](const Session& session) {
    ++numbers.sessions[session.state];
    if (session.has_seat) numbers.users.insert(session.snapshot.record.user_hash);
  });
  return status_json(site, numbers);
}

int run_status(const GlobalOptions& global, bool of_all_sites) {
  if (of_all_sites && (!global.conf.empty() || global.site_given))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");
  const ProcessTable table = ProcessTable::read();
  if (!of_all_sites) {
    Site site = open_site(global);
    const auto json = measure(site, table);
    print(global.json ? json_text(json) : status_text(site, json));
    return kExitDone;
  }
  // A site that cannot be read does not hide the others.
  int code = kExitDone;
  std::string text;
  auto all = nlohmann::ordered_json::array();
  for (const std::string& name : all_sites()) {
    GlobalOptions of_site = global;
    of_site.site = name;
    try {
      Site site = open_site(of_site);
      all.push_back(measure(site, table));
      text += (text.empty() ? "" : "\n") + status_text(site, all.back());
    } catch (const Failure& failure) {
      report(failure, global.json);
      code = failure.code();
    }
  }
  print(global.json ? json_text(all) : text);
  return code;
}

}  // namespace

Runner declare_status(Options& command) {
  auto of_all_sites = std::make_shared<bool>(false);
  command.add_flag("--all-sites", *of_all_sites, "the status of every site of this host");
  return [of_all_sites](const GlobalOptions& global) { return run_status(global, *of_all_sites); };
}

}  // namespace sessreg
