// What `list` shows: the sessions of one site or of all, and how full each site is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "sessreg/access/selection.h"
#include "sessreg/list/rows.h"

namespace sessreg {

struct ListOptions {
  Filter filter;
  bool by_user = false;
  bool all_sites = false;
  bool csv = false;
  bool tsv = false;
  bool reverse = false;
  bool watch = false;
  bool wide = false;
  bool quiet = false;  // ids alone
  std::string output;  // a form, as another option says it; empty: not given
  std::string sort;    // empty: not given

  // Whether the commands in the foreground are shown.
  bool needs_commands(const GlobalOptions& global) const;
};

// One site, and all of its sessions, not only those that are shown.
struct SiteSummary {
  std::string site;
  std::string called;  // see called_as()
  bool has_registry = false;
  std::int32_t limit = -1;
  std::uint32_t seats = 0;
  std::size_t sessions = 0;
  std::size_t reserved = 0;
  std::size_t parked = 0;
  bool has_caller = false;         // a session that is shown is the one that the caller is in
  std::size_t rows = 0;            // how many of the listing's rows are this site's
  std::vector<SessionId> all_ids;  // with ListOptions::watch: of all its sessions, sorted
  std::vector<RowStore> stores;
};

struct Listing {
  std::vector<SiteSummary> sites;
  Rows rows;                       // sorted; for JSON, one site after another
  std::optional<Failure> failure;  // of the last site that could not be read

  bool contains(const SessionId& id) const;  // with ListOptions::watch: whether a site has it
};

// Throws a usage Failure for an unknown order.
Order order_of(const ListOptions& options);

// Called with each row as soon as it is known. All rows of one `part` come from one thread; `part`
// is less than kMostThreads.
using LookAtRow = std::function<void(std::size_t part, const Row& row)>;

// With all_sites, a site that cannot be read is reported, and does not hide the others.
Listing read_listing(const GlobalOptions& global, const ListOptions& options,
                     const LookAtRow& look = {});
// The next look, which reports nothing. A site that cannot be read now is taken over from `before`;
// those rows stay valid as long as both listings live.
Listing read_next_listing(const GlobalOptions& global, const ListOptions& options, Listing& before);

// "5 of 7 seats, 1 parked, 2 reserved; * you are here"
std::string footer(const SiteSummary& site, const ListOptions& options);

}  // namespace sessreg
