// What `list` shows: the sessions of one site or of all, and how full each site is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "errors.h"
#include "rows.h"
#include "selection.h"

namespace sessreg {

struct ListOptions {
  Filter filter;
  bool by_user = false;
  bool all_sites = false;
  bool csv = false;
  bool tsv = false;
  bool reverse = false;
  bool watch = false;
  std::string sort;  // empty: not given
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
  // Its rows: these of the listing's.
  std::size_t first_row = 0;
  std::size_t rows = 0;
};

struct Listing {
  std::vector<SiteSummary> sites;
  RowStore store;
  std::vector<SessionId> all_ids;  // with ListOptions::watch: of all sessions, sorted
  int code = kExitDone;            // else that of a site that could not be read
};

// Throws a usage Failure for an order that there is not.
Order order_of(const ListOptions& options);

// With all_sites, one that cannot be read does not hide the others: it is reported, unless `quiet`.
Listing read_listing(const GlobalOptions& global, const ListOptions& options, bool quiet = false);

// "5 of 7 seats, 1 parked, 2 reserved"
std::string footer(const SiteSummary& site, const ListOptions& options);

}  // namespace sessreg
