// sessreg metrics: what status shows, in the text format of Prometheus (exposition format 0.0.4).
//
// Labels hold sites, states and reasons, whose number is bounded, and never users or hosts.
#include <fmt/core.h>

#include <array>
#include <map>
#include <memory>

#include "common/errors.h"
#include "common/output.h"
#include "common/session.h"
#include "common/tool_name.h"
#include "sessreg/command.h"

namespace sessreg {
namespace {

constexpr std::array kStates = {State::active, State::parked, State::reserved, State::orphaned,
                                State::left,   State::ending, State::exempt,   State::observed};
// Those that a session without a process can have.
constexpr std::array kDeviceStates = {State::active, State::parked, State::reserved, State::ending,
                                      State::exempt};

// How many sessions there are in each state.
using ByState = std::map<State, std::size_t>;

struct NamedCounter {
  const char* name;
  Counter counter;
};
constexpr NamedCounter kReaped[] = {
    {"session", kReapedSessions}, {"reservation", kReapedReservations}, {"claim", kReapedClaims}};

struct Measured {
  std::string site;
  bool is_up = false;  // if not, only `site` is valid
  ByState sessions;
  ByState device_sessions;  // of those, the ones without a process
  std::size_t dangling = 0;
  std::uint32_t seats = 0;
  std::int32_t limit = -1;
  std::int32_t limit_configured = -1;
  std::uint32_t capacity = 0;
  std::int64_t created_realtime_ms = 0;  // 0: there is no registry
  bool has_daemon = false;
  std::array<std::uint64_t, kCounters> counters{};
};

Measured measure(const GlobalOptions& global, const ProcessTable& table) {
  Site site = open_site(global);
  Measured measured;
  measured.site = site.config.site;
  measured.is_up = true;
  for_each_session(site, table, [&](const Session& session) {
    ++measured.sessions[session.state];
    if (!has_process(session.snapshot.record)) ++measured.device_sessions[session.state];
    if (session.is_idle_for(site.config.dangling_after)) ++measured.dangling;
  });
  measured.seats = site.seats_taken();
  measured.limit = site.limit_in_force();
  measured.limit_configured = site.config.sessions_limit;
  measured.capacity = static_cast<std::uint32_t>(site.config.capacity);
  if (!site.registry) return measured;
  measured.capacity = site.registry->capacity();
  measured.created_realtime_ms = site.registry->created_realtime_ms();
  measured.has_daemon = look_at_daemon(site).alive;
  for (std::size_t i = 0; i < kCounters; ++i)
    measured.counters[i] = site.registry->counter(static_cast<Counter>(i));
  return measured;
}

// Writes one metric of all sites at a time: the format wants its HELP, its TYPE and its samples to
// stand together.
class Exposition {
 public:
  explicit Exposition(const std::vector<Measured>& sites) : sites_(sites) {}

  // `sample` gives each site's value as text.
  template <class Sample>
  void metric(const char* name, const char* type, const char* help, Sample sample) {
    begin(name, type, help);
    for (const Measured& site : sites_)
      if (site.is_up) line(name, site.site, {}, sample(site));
  }

  // One sample for each of `labels`.
  template <class Labels, class LabelOf, class Sample>
  void metric(const char* name, const char* type, const char* help, const char* label_name,
              const Labels& labels, LabelOf label_of, Sample sample) {
    begin(name, type, help);
    for (const Measured& site : sites_) {
      if (!site.is_up) continue;
      for (const auto& label : labels)
        line(name, site.site, fmt::format(",{}=\"{}\"", label_name, label_of(label)),
             sample(site, label));
    }
  }

  void begin(const char* name, const char* type, const char* help) {
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  // The name of a site needs no escaping: see is_valid_site_name().
  void line(const char* name, const std::string& site, const std::string& more_labels,
            const std::string& value) {
    text_ += fmt::format("{}{{site=\"{}\"{}}} {}\n", name, site, more_labels, value);
  }
  void append(const std::string& line) { text_ += line; }
  const std::string& text() const { return text_; }

 private:
  const std::vector<Measured>& sites_;
  std::string text_;
};

std::string limit_value(std::int32_t limit) {
  return limit < 0 ? "+Inf" : std::to_string(limit);
}

std::string exposition_of(const std::vector<Measured>& sites) {
  Exposition out(sites);
  const auto gauge = [&](const char* name, const char* help, auto value) {
    out.metric(name, "gauge", help,
               [&](const Measured& site) { return std::to_string(value(site)); });
  };
  const auto counter = [&](const char* name, const char* help, Counter which) {
    out.metric(name, "counter", help,
               [which](const Measured& site) { return std::to_string(site.counters[which]); });
  };
  const auto counters = [&](const char* name, const char* help, const char* label,
                            const auto& named) {
    out.metric(
        name, "counter", help, label, named, [](const auto& one) { return one.name; },
        [](const Measured& site, const auto& one) {
          return std::to_string(site.counters[one.counter]);
        });
  };

  out.begin("sessreg_up", "gauge", "Whether the configuration and the registry could be read.");
  for (const Measured& site : sites)
    out.line("sessreg_up", site.site, {}, site.is_up ? "1" : "0");
  out.begin("sessreg_build_info", "gauge", "The version of the tool that tells this; always 1.");
  out.append(fmt::format("sessreg_build_info{{version=\"{}\"}} 1\n", kVersion));

  const auto by_state = [&](const char* name, const char* help, const auto& states,
                            ByState Measured::*sessions) {
    out.metric(
        name, "gauge", help, "state", states, [](State state) { return text(state); },
        [sessions](const Measured& site, State state) {
          const auto found = (site.*sessions).find(state);
          return std::to_string(found == (site.*sessions).end() ? 0 : found->second);
        });
  };
  by_state("sessreg_sessions", "User sessions by state.", kStates, &Measured::sessions);
  by_state("sessreg_device_sessions",
           "Those user sessions that have no process, as those of browsers, by state.",
           kDeviceStates, &Measured::device_sessions);
  gauge("sessreg_dangling_sessions", "User sessions that were not used for dangling_after.",
        [](const Measured& site) { return site.dangling; });
  gauge("sessreg_seats_taken", "Seats that are taken, reserved ones among them.",
        [](const Measured& site) { return site.seats; });
  out.metric("sessreg_sessions_limit", "gauge", "Seats of the site by the limit in force.",
             [](const Measured& site) { return limit_value(site.limit); });
  out.metric("sessreg_configured_sessions_limit", "gauge", "Seats of the site as configured.",
             [](const Measured& site) { return limit_value(site.limit_configured); });
  gauge("sessreg_capacity_slots", "Seats that the registry has room for.",
        [](const Measured& site) { return site.capacity; });
  gauge("sessreg_seats_high_water", "The most seats taken at once since the registry was made.",
        [](const Measured& site) { return site.counters[kHighWater]; });
  counter("sessreg_admissions_total", "Logins that got a seat.", kAdmissions);
  counters("sessreg_refusals_total", "Logins that were refused, by reason.", "reason", refusals());
  out.metric(
      "sessreg_would_refuse_total", "counter",
      "Logins that observe has let in where others are refused, by reason.", "reason", refusals(),
      [](const RefusalFacts& refusal) { return refusal.name; },
      [](const Measured& site, const RefusalFacts& refusal) {
        return std::to_string(site.counters[refusal.observed]);
      });
  counter("sessreg_parkings_total", "Idle sessions that lost their seat to somebody else.",
          kParked);
  counter("sessreg_returns_total", "Parked sessions that took a seat again.", kReturned);
  counter("sessreg_evictions_total", "Sessions that gave way to a newer one of their user.",
          kEvicted);
  counter("sessreg_failed_authentications_total", "Failed authentications that were counted.",
          kFailedAuths);
  counters("sessreg_reaped_total", "What was dropped because its processes had gone.", "kind",
           kReaped);
  out.metric("sessreg_registry_created_timestamp_seconds", "gauge",
             "When the registry was made and counting began; 0: there is none yet.",
             [](const Measured& site) {
               return fmt::format("{}.{:03}", site.created_realtime_ms / 1000,
                                  site.created_realtime_ms % 1000);
             });
  gauge("sessreg_daemon_up", "Whether the daemon runs.",
        [](const Measured& site) { return site.has_daemon ? 1 : 0; });
  return out.text();
}

int run_metrics(const GlobalOptions& global, bool of_all_sites) {
  if (global.json)
    throw usage_failure("metrics are text for Prometheus; the same as JSON: 'status --json'");
  if (of_all_sites && (!global.conf.empty() || global.site_given))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");
  const ProcessTable table = ProcessTable::read();
  if (!of_all_sites) {
    print(exposition_of({measure(global, table)}));
    return kExitDone;
  }
  // A site that cannot be read does not hide the others.
  int code = kExitDone;
  std::vector<Measured> sites;
  for (const std::string& name : all_sites()) {
    GlobalOptions of_site = global;
    of_site.site = name;
    try {
      sites.push_back(measure(of_site, table));
    } catch (const Failure& failure) {
      report(failure, false);
      sites.emplace_back().site = name;
      code = failure.code();
    }
  }
  print(exposition_of(sites));
  return code;
}

}  // namespace

Runner declare_metrics(Options& command) {
  auto of_all_sites = std::make_shared<bool>(false);
  command.add_flag("--all-sites", *of_all_sites, "the metrics of every site of this host");
  return [of_all_sites](const GlobalOptions& global) { return run_metrics(global, *of_all_sites); };
}

}  // namespace sessreg
