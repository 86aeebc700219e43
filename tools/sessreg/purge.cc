// sessreg purge
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/session.h"
#include "registry/salvage.h"
#include "session/ending.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"

namespace sessreg {
namespace {

constexpr std::size_t kMostNamed = 20;

struct Replaced {
  std::string why;
  std::string aside;  // where the unusable file is now
  LostRecords lost;
};

// nullopt: the registry can be used, or there is none.
std::optional<Replaced> replace_if_unusable(const Config& config, const std::string& called) {
  const auto host = host_identity();
  if (!host) throw failure_of(host.error(), called);
  const auto opened = Registry::open(config.registry, *host);
  if (opened) return std::nullopt;
  const Error& why = opened.error();
  if (why.code == Errc::not_found || why.code == Errc::other_boot ||
      why.code == Errc::older_layout)  // its sessions are carried over when it is opened
    return std::nullopt;
  if (why.code == Errc::permission_denied) throw failure_of(why, called);

  Replaced replaced;
  replaced.why = text(why.code);
  const auto made = Registry::rebuild(config.registry, *host,
                                      static_cast<std::uint32_t>(config.capacity), &replaced.aside);
  if (!made) throw failure_of(made.error(), called);
  if (replaced.aside.empty()) return std::nullopt;  // somebody else was faster
  replaced.lost = read_lost_records(replaced.aside);
  audit("rebuild", config.site,
        {{"registry", config.registry}, {"why", replaced.why}, {"aside", replaced.aside}});
  return replaced;
}

std::string plural(unsigned long number, const char* one, const char* many) {
  return fmt::format("{} {}", number, number == 1 ? one : many);
}

std::string replaced_text(const Config& config, const Replaced& replaced) {
  std::string text =
      fmt::format("replaced {}: {}\n", escape_for_terminal(config.registry), replaced.why);
  text += fmt::format("the old file is now {}\n", escape_for_terminal(replaced.aside));
  text += "lost: the limit that was set, the counters, and ";
  if (!replaced.lost.readable) return text + "the records of all sessions (none can be read)\n";
  text += fmt::format(
      "the records of {}{} on, without a seat{}\n", replaced.lost.complete ? "" : "at least ",
      plural(replaced.lost.sessions.size(), "session that goes", "sessions that go"),
      replaced.lost.complete ? "" : "; the rest cannot be read");
  std::size_t named = 0;
  for (const LostRecord& session : replaced.lost.sessions) {
    if (++named > kMostNamed) {
      text += fmt::format("  and {} more\n", replaced.lost.sessions.size() - kMostNamed);
      break;
    }
    text += fmt::format("  {}  {}  {}  pid {}\n", session.id, escape_for_terminal(session.user),
                        escape_for_terminal(session.service), session.pid);
  }
  return text;
}

nlohmann::ordered_json replaced_json(const Replaced& replaced) {
  nlohmann::ordered_json json;
  json["why"] = replaced.why;
  json["aside"] = replaced.aside;
  json["lost_sessions"] = nullptr;
  json["lost_sessions_complete"] = replaced.lost.complete;
  if (!replaced.lost.readable) return json;
  json["lost_sessions"] = nlohmann::ordered_json::array();
  for (const LostRecord& session : replaced.lost.sessions)
    json["lost_sessions"].push_back({{"id", session.id},
                                     {"user", session.user},
                                     {"service", session.service},
                                     {"pid", session.pid}});
  return json;
}

struct EndedOverdue {
  unsigned ended = 0;
  unsigned left = 0;
};

// Where the leader is shared (`ending`) the seat is what there is to end.
void count(const std::vector<Session>& sessions, const std::vector<Ended>& results,
           EndedOverdue& ret) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].result == EndResult::survived)
      ++ret.left;
    else if (results[i].result == EndResult::ended || sessions[i].has_seat)
      ++ret.ended;
  }
}

// Ends the sessions that are out of time, evicted or revoked, and still there. Those that died a
// moment ago are dropped on the way.
EndedOverdue end_overdue(Site& site, Reaped& reaped) {
  // Those that their users revoked are ended with no more force than these have.
  std::vector<Session> overdue, revoked_by_users;
  const std::uint64_t now_ms = now().boottime_ms;
  const Reaped dropped = for_each_session(site, ProcessTable::read(), [&](const Session& session) {
    // What has no process is over, and its note tells its holder so.
    if (session.state != State::ending || !session.leader) return;
    const bool by_user = is_ended_by_its_user(session.snapshot, session.can_idle, now_ms);
    (by_user ? revoked_by_users : overdue).push_back(session);
  });
  reaped.sessions += dropped.sessions;
  reaped.reservations += dropped.reservations;
  reaped.claims += dropped.claims;
  EndedOverdue result;
  EndingOptions options;
  options.reason = "its time is up";
  for (const auto* sessions : {&overdue, &revoked_by_users}) {
    if (!sessions->empty())
      count(*sessions, end_sessions(*site.registry, site.config, *sessions, options, say_not_noted),
            result);
    options.is_by_its_user = true;
  }
  return result;
}

int run_purge(const GlobalOptions& global, bool rebuild) {
  Site site = site_without_registry(global);
  std::optional<Replaced> replaced;
  if (rebuild) replaced = replace_if_unusable(site.config, called_as(site));
  if (const auto error = site.open_registry(Site::IfMissing::leave))
    throw failure_of(*error, called_as(site));

  Reaped reaped;
  if (site.registry) reaped = site.registry->reap(SystemProcesses(), now().boottime_ms);
  const EndedOverdue overdue = end_overdue(site, reaped);
  if (reaped.any() || overdue.ended + overdue.left != 0)
    audit("purge", site.config.site,
          {{"sessions", std::to_string(reaped.sessions)},
           {"reservations", std::to_string(reaped.reservations)},
           {"claims", std::to_string(reaped.claims)},
           {"ended", std::to_string(overdue.ended)},
           {"survived", std::to_string(overdue.left)}});

  if (global.json) {
    nlohmann::ordered_json json;
    json["site"] = site.config.site;
    json["sessions"] = reaped.sessions;
    json["reservations"] = reaped.reservations;
    json["claims"] = reaped.claims;
    json["ended"] = overdue.ended;
    json["survived"] = overdue.left;
    json["replaced"] = replaced ? replaced_json(*replaced) : nullptr;
    print(json_text(json));
    return kExitDone;
  }
  std::string text;
  if (replaced)
    text = replaced_text(site.config, *replaced);
  else if (rebuild && site.registry)
    text = escape_for_terminal(site.config.registry) + " can be used: it was not replaced\n";
  text +=
      fmt::format("dropped {}, {}, {}\n", plural(reaped.sessions, "dead session", "dead sessions"),
                  plural(reaped.reservations, "abandoned reservation", "abandoned reservations"),
                  plural(reaped.claims, "unfinished login", "unfinished logins"));
  if (overdue.ended + overdue.left != 0)
    text += fmt::format("ended {} past their time or revoked",
                        plural(overdue.ended, "session", "sessions"));
  if (overdue.left != 0) text += fmt::format(", {} did not go", overdue.left);
  if (overdue.ended + overdue.left != 0) text += "\n";
  print(text);
  return kExitDone;
}

}  // namespace

Runner declare_purge(Options& command) {
  auto rebuild = std::make_shared<bool>(false);
  command.add_flag("--rebuild", *rebuild,
                   "replace a registry that cannot be used, and say what is lost");
  return [rebuild](const GlobalOptions& global) { return run_purge(global, *rebuild); };
}

}  // namespace sessreg
