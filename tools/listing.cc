#include "listing.h"

#include <fmt/core.h>

#include <algorithm>

#include "parallel.h"
#include "site_sessions.h"
#include "text.h"

namespace sessreg {
namespace {

// What one thread has read.
struct Part {
  SiteSummary summary;
  std::vector<SessionId> all_ids;
  RowStore store;
};

void add_site(Listing& listing, const GlobalOptions& global, const ListOptions& options,
              const ProcessTable& table) {
  SiteSessions site(global);
  const Chooser chooser(options.filter, site);
  const std::size_t expected = site.seats_taken();
  std::vector<Part> parts(threads_for(expected));
  std::vector<VisitSession> visits;
  for (Part& part : parts) {
    if (options.filter.is_empty()) part.store.expect(expected / parts.size());
    visits.push_back([&](const Session& session) {
      ++part.summary.sessions;
      if (session.state == State::reserved) ++part.summary.reserved;
      if (session.state == State::parked) ++part.summary.parked;
      if (options.watch) part.all_ids.push_back(session.snapshot.record.id);
      if (chooser.fits(session)) part.store.add(session, site.config().dangling_after);
    });
  }
  site.for_each(table, visits);

  SiteSummary summary;
  summary.site = site.config().site;
  summary.called = site.called();
  summary.has_registry = site.has_registry();
  summary.first_row = listing.store.rows().size();
  for (Part& part : parts) {
    summary.sessions += part.summary.sessions;
    summary.reserved += part.summary.reserved;
    summary.parked += part.summary.parked;
    listing.all_ids.insert(listing.all_ids.end(), part.all_ids.begin(), part.all_ids.end());
    listing.store.append(std::move(part.store));
  }
  summary.rows = listing.store.rows().size() - summary.first_row;
  summary.limit = site.limit_in_force();
  summary.seats = site.seats_taken();
  listing.sites.push_back(std::move(summary));
}

}  // namespace

Order order_of(const ListOptions& options) {
  if (options.sort.empty()) return options.by_user ? Order::dangling : Order::activity;
  if (options.sort == "activity") return Order::activity;
  if (options.sort == "opened") return Order::opened;
  if (options.sort == "user") return Order::user;
  if (options.by_user) {
    if (options.sort == "dangling") return Order::dangling;
    if (options.sort == "sessions") return Order::sessions;
    throw usage_failure(
        fmt::format("--sort: '{}' is not an order of users; write dangling, sessions, activity, "
                    "opened or user",
                    escape_for_terminal(options.sort)));
  }
  if (options.sort == "host") return Order::host;
  if (options.sort == "service") return Order::service;
  if (options.sort == "state") return Order::state;
  throw usage_failure(
      fmt::format("--sort: '{}' is not an order; write activity, opened, user, host, service or "
                  "state",
                  escape_for_terminal(options.sort)));
}

Listing read_listing(const GlobalOptions& global, const ListOptions& options, bool quiet) {
  const ProcessTable table = ProcessTable::read();
  Listing listing;
  if (!options.all_sites) {
    add_site(listing, global, options, table);
    std::sort(listing.all_ids.begin(), listing.all_ids.end());
    return listing;
  }
  for (const std::string& name : all_sites()) {
    GlobalOptions of_site = global;
    of_site.site = name;
    try {
      add_site(listing, of_site, options, table);
    } catch (const Failure& failure) {
      if (failure.code() == kExitUsage) throw;
      if (!quiet) report(failure, global.json);
      listing.code = failure.code();
    }
  }
  std::sort(listing.all_ids.begin(), listing.all_ids.end());
  return listing;
}

std::string footer(const SiteSummary& site, const ListOptions& options) {
  std::string text = options.all_sites ? site.site + ": " : "";
  if (site.limit < 0)
    text += fmt::format("{} seat{}, no limit", site.seats, site.seats == 1 ? "" : "s");
  else
    text += fmt::format("{} of {} seat{}", site.seats, site.limit, site.limit == 1 ? "" : "s");
  if (site.parked > 0) text += fmt::format(", {} parked", site.parked);
  if (site.reserved > 0) text += fmt::format(", {} reserved", site.reserved);
  if (!options.filter.is_empty())
    text += fmt::format("; {} of {} session{} shown", site.rows, site.sessions,
                        site.sessions == 1 ? "" : "s");
  return text;
}

}  // namespace sessreg
