#include "sessreg/list/listing.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "common/parallel.h"
#include "sessreg/access/site_sessions.h"

namespace sessreg {
namespace {

// What one thread has read.
struct alignas(128) Part {  // shares no cache line with the next one
  explicit Part(Order order) : store(order) {}

  SiteSummary summary;
  std::vector<SessionId> all_ids;
  RowStore store;
};

void add_site(Listing& listing, const GlobalOptions& global, const ListOptions& options,
              const ProcessTable& table, const LookAtRow& look) {
  SiteSessions site(global);
  const OwnSessions own(table);
  const Chooser chooser(options.filter, site);
  const std::size_t expected = site.seats_taken();
  std::vector<Part> parts;
  for (std::size_t i = 0; i < threads_for(expected); ++i)
    parts.emplace_back(order_of(options));
  std::vector<VisitSession> visits;
  for (Part& part : parts) {
    // A little more than its share, as not all parts get the same number of sessions.
    if (options.filter.is_empty()) part.store.expect(expected / parts.size() * 65 / 64 + 1);
    const auto index = static_cast<std::size_t>(&part - parts.data());
    visits.push_back([&, index](const Session& session) {
      ++part.summary.sessions;
      if (session.state == State::reserved) ++part.summary.reserved;
      if (session.state == State::parked) ++part.summary.parked;
      if (options.watch) part.all_ids.push_back(session.snapshot.record.id);
      if (!chooser.fits(session)) return;
      const Place place = place_of(session, table, own, options.needs_commands(global));
      if (place.is_here) part.summary.has_caller = true;
      const Row& row = part.store.add(session, site.config().dangling_after, place);
      if (look) look(index, row);
    });
  }
  site.for_each(table, visits);
  share_work(parts.size(), [&](std::size_t part) { parts[part].store.sort(); });

  SiteSummary summary;
  summary.site = site.config().site;
  summary.called = site.called();
  summary.has_registry = site.has_registry();
  for (Part& part : parts) {
    summary.sessions += part.summary.sessions;
    summary.reserved += part.summary.reserved;
    summary.parked += part.summary.parked;
    summary.has_caller |= part.summary.has_caller;
    summary.all_ids.insert(summary.all_ids.end(), part.all_ids.begin(), part.all_ids.end());
    summary.rows += part.store.keys().size();
    summary.stores.push_back(std::move(part.store));
  }
  std::sort(summary.all_ids.begin(), summary.all_ids.end());
  summary.limit = site.limit_in_force();
  summary.seats = site.seats_taken();
  listing.sites.push_back(std::move(summary));
}

// `before`: an earlier listing, from which a site that cannot be read is taken; or nullptr.
Listing read_all_sites(const GlobalOptions& global, const ListOptions& options,
                       const ProcessTable& table, const LookAtRow& look, Listing* before) {
  Listing listing;
  for (const std::string& name : all_sites()) {
    GlobalOptions of_site = global;
    of_site.site = name;
    try {
      add_site(listing, of_site, options, table, look);
    } catch (const Failure& failure) {
      if (failure.code() == kExitUsage) throw;
      listing.failure = failure;
      if (before == nullptr) {
        report(failure, global.json);
        continue;
      }
      const auto known = std::find_if(before->sites.begin(), before->sites.end(),
                                      [&](const auto& site) { return site.site == name; });
      if (known != before->sites.end()) listing.sites.push_back(std::move(*known));
    }
  }
  return listing;
}

Listing read(const GlobalOptions& global, const ListOptions& options, const LookAtRow& look,
             Listing* before) {
  const ProcessTable table = ProcessTable::read();
  Listing listing;
  if (options.all_sites)
    listing = read_all_sites(global, options, table, look, before);
  else
    add_site(listing, global, options, table, look);
  std::vector<const RowStore*> stores;
  for (const SiteSummary& site : listing.sites) {
    for (const RowStore& store : site.stores)
      stores.push_back(&store);
    if (!global.json) continue;
    append_merged(listing.rows, stores, options.reverse);
    stores.clear();
  }
  append_merged(listing.rows, stores, options.reverse);
  return listing;
}

}  // namespace

bool ListOptions::needs_commands(const GlobalOptions& global) const {
  return !by_user && (wide || csv || tsv || global.json);
}

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

bool Listing::contains(const SessionId& id) const {
  return std::any_of(sites.begin(), sites.end(), [&](const SiteSummary& site) {
    return std::binary_search(site.all_ids.begin(), site.all_ids.end(), id);
  });
}

Listing read_listing(const GlobalOptions& global, const ListOptions& options,
                     const LookAtRow& look) {
  return read(global, options, look, nullptr);
}

Listing read_next_listing(const GlobalOptions& global, const ListOptions& options,
                          Listing& before) {
  return read(global, options, {}, &before);
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
  if (site.has_caller && !options.by_user) text += "; * you are here";
  return text;
}

}  // namespace sessreg
