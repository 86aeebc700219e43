// sessreg list
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "csv.h"
#include "errors.h"
#include "output.h"
#include "selection.h"
#include "text.h"
#include "times.h"
#include "views.h"

namespace sessreg {
namespace {

enum class Sort { activity, opened, user };

struct ListOptions {
  Filter filter;
  bool by_user = false;
  bool all_sites = false;
  bool csv = false;
  std::string sort = "activity";
};

// One site as it is to be listed.
struct Listing {
  std::string site;
  std::int32_t limit = -1;
  std::uint32_t seats = 0;
  std::size_t reserved = 0;  // of all its sessions, not only of those chosen
  std::vector<Session> sessions;
};

Sort sort_named(const std::string& name) {
  if (name == "activity") return Sort::activity;
  if (name == "opened") return Sort::opened;
  if (name == "user") return Sort::user;
  throw usage_failure(fmt::format("--sort: '{}' is not an order; write activity, opened or user",
                                  escape_for_terminal(name)));
}

void sort_sessions(std::vector<Session>& sessions, Sort sort) {
  // They come stalest first, and equal ones stay so.
  if (sort == Sort::opened)
    std::stable_sort(sessions.begin(), sessions.end(), [](const Session& a, const Session& b) {
      return a.snapshot.record.opened_boottime_ms < b.snapshot.record.opened_boottime_ms;
    });
  if (sort == Sort::user)
    std::stable_sort(sessions.begin(), sessions.end(),
                     [](const Session& a, const Session& b) { return a.user < b.user; });
}

Listing read_listing(const GlobalOptions& global, const ListOptions& options,
                     const ProcessTable& table) {
  OpenSite site = open_site(global);
  const auto all = read_sessions(site, table);
  Listing listing;
  listing.site = site.config.site;
  listing.limit = site.limit_in_force();
  listing.seats = site.seats_taken();
  listing.reserved = static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [](const Session& s) { return s.state == State::reserved; }));
  listing.sessions = select(all, options.filter, site);
  sort_sessions(listing.sessions, sort_named(options.sort));
  return listing;
}

nlohmann::ordered_json listing_json(const Listing& listing, bool by_user) {
  nlohmann::ordered_json json;
  json["site"] = listing.site;
  json["limit"] = listing.limit;
  json["active"] = listing.seats;
  auto& items = json[by_user ? "users" : "sessions"] = nlohmann::ordered_json::array();
  if (by_user) {
    for (const UserView& user : by_user_view(listing.sessions))
      items.push_back(to_json(user));
  } else {
    for (const Session& session : listing.sessions)
      items.push_back(to_json(session));
  }
  return json;
}

std::string footer(const Listing& listing) {
  std::string text = listing.limit < 0 ? fmt::format("{} seat{}, no limit", listing.seats,
                                                     listing.seats == 1 ? "" : "s")
                                       : fmt::format("{} of {} seat{}", listing.seats,
                                                     listing.limit, listing.limit == 1 ? "" : "s");
  if (listing.reserved > 0) text += fmt::format(", {} reserved", listing.reserved);
  return text;
}

void print_listings(const std::vector<Listing>& listings, const ListOptions& options, bool json) {
  if (json) {
    if (!options.all_sites) {
      print(json_text(listing_json(listings.front(), options.by_user)));
      return;
    }
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const Listing& listing : listings)
      all.push_back(listing_json(listing, options.by_user));
    print(json_text(all));
    return;
  }

  std::vector<Session> sessions;
  for (const Listing& listing : listings)
    sessions.insert(sessions.end(), listing.sessions.begin(), listing.sessions.end());
  if (options.csv) {
    print(options.by_user ? users_csv(by_user_view(sessions)) : sessions_csv(sessions));
    return;
  }
  const Terminal terminal = stdout_terminal();
  const std::int64_t now_ms = now().realtime_ms;
  std::string text = options.by_user
                         ? users_table(by_user_view(sessions), options.all_sites, terminal, now_ms)
                         : sessions_table(sessions, options.all_sites, terminal, now_ms);
  // For people; a pipe gets the header and the rows only.
  if (terminal.is_terminal) {
    if (sessions.empty()) text.clear();
    for (const Listing& listing : listings)
      text += (options.all_sites ? listing.site + ": " : "") + footer(listing) + "\n";
  }
  print(text);
}

int run_list(const GlobalOptions& global, const ListOptions& options) {
  sort_named(options.sort);
  if (options.csv && global.json) throw usage_failure("either --csv or --json");
  if (options.all_sites && (!global.conf.empty() || global.site != "default"))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");

  const ProcessTable table = ProcessTable::read();
  std::vector<Listing> listings;
  if (!options.all_sites) {
    listings.push_back(read_listing(global, options, table));
    print_listings(listings, options, global.json);
    return kExitDone;
  }
  // One site that cannot be read does not hide the others.
  int code = kExitDone;
  for (const std::string& name : all_sites()) {
    GlobalOptions of_site = global;
    of_site.site = name;
    try {
      listings.push_back(read_listing(of_site, options, table));
    } catch (const Failure& failure) {
      if (failure.code() == kExitUsage) throw;
      report(failure, global.json);
      code = failure.code();
    }
  }
  print_listings(listings, options, global.json);
  return code;
}

}  // namespace

Runner declare_list(CLI::App& command) {
  auto options = std::make_shared<ListOptions>();
  add_filter_options(command, options->filter);
  command
      .add_option("--state", options->filter.states,
                  "only sessions in these states: active,parked,reserved,orphaned,ending,exempt")
      ->check([](const std::string& value) { return value.empty() ? "is empty" : ""; }, "")
      ->option_text("STATE,...");
  command.add_flag("--by-user", options->by_user, "one line for each user");
  command.add_flag("--all-sites", options->all_sites, "the sessions of every site of this host");
  command
      .add_option("--sort", options->sort,
                  "activity (the default: stalest first), opened (oldest first) or user")
      ->option_text("ORDER");
  command.add_flag("--csv", options->csv, "print CSV (RFC 4180)");
  return [options](const GlobalOptions& global) { return run_list(global, *options); };
}

}  // namespace sessreg
