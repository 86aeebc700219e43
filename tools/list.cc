// sessreg list
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "command.h"
#include "errors.h"
#include "listing.h"
#include "output.h"
#include "parallel.h"
#include "row_formats.h"
#include "views.h"
#include "watch.h"

namespace sessreg {
namespace {

const UserRow& item(const std::vector<UserRow>& users, std::size_t i) {
  return users[i];
}

// The rows lie all over the memory: one that comes soon is asked for ahead.
const Row& item(const Rows& rows, std::size_t i) {
  constexpr std::size_t kAhead = 16;
  constexpr std::size_t kCacheLine_bytes = 64;
  if (i + kAhead < rows.size()) {
    const char* row = reinterpret_cast<const char*>(rows[i + kAhead]);
    for (std::size_t at = 0; at < sizeof(Row) + kCacheLine_bytes; at += kCacheLine_bytes)
      __builtin_prefetch(row + at);
  }
  return *rows[i];
}

void append_separator(std::string& out, bool is_first, int indent) {
  out += is_first ? "\n" : ",\n";
  out.append(static_cast<std::size_t>(indent), ' ');
}

// As json_text() writes an array.
void write_end_of_array(Output& output, bool is_empty, int indent) {
  if (!is_empty) {
    output.text() += '\n';
    output.text().append(static_cast<std::size_t>(indent), ' ');
  }
  output.text() += ']';
}

template <class Items>
void write_array(Output& output, const Items& items, int indent) {
  output.text() += '[';
  write_items(output, items.size(), [&](std::string& out, std::size_t i) {
    append_separator(out, i == 0, indent + 2);
    append_json(out, item(items, i), JsonForm::lines, indent + 2);
  });
  write_end_of_array(output, items.empty(), indent);
}

void write_site_json(Output& output, const Listing& listing, const SiteSummary& site,
                     const ListOptions& options, int indent) {
  const std::string margin(static_cast<std::size_t>(indent) + 2, ' ');
  std::string name = json_line(site.site);
  name.pop_back();
  output.text() += fmt::format("{{\n{}\"site\": {},\n{}\"limit\": {},\n{}\"active\": {},\n", margin,
                               name, margin, site.limit, margin, site.seats);
  output.text() += margin + (options.by_user ? "\"users\": " : "\"sessions\": ");
  const auto rows = listing.store.rows().subspan(site.first_row, site.rows);
  if (options.by_user)
    write_array(output, by_user(rows, order_of(options), options.reverse), indent + 2);
  else
    write_array(output, sorted(rows, order_of(options), options.reverse), indent + 2);
  output.text() += "\n" + std::string(static_cast<std::size_t>(indent), ' ') + "}";
}

void write_json(Output& output, const Listing& listing, const ListOptions& options) {
  if (options.all_sites) {
    output.text() += '[';
    for (const SiteSummary& site : listing.sites) {
      append_separator(output.text(), &site == &listing.sites.front(), 2);
      write_site_json(output, listing, site, options, 2);
    }
    write_end_of_array(output, listing.sites.empty(), 0);
  } else {
    write_site_json(output, listing, listing.sites.front(), options, 0);
  }
  output.text() += "\n";
}

template <class Items>
void write_lines(Output& output, const Items& items, const ListOptions& options) {
  if (options.csv) append_csv_header(output.text(), options.by_user);
  write_items(output, items.size(), [&](std::string& out, std::size_t i) {
    if (options.csv)
      append_csv(out, item(items, i));
    else
      append_tsv(out, item(items, i));
  });
}

void write_rows(Output& output, const Listing& listing, const ListOptions& options,
                const Terminal& terminal, std::int64_t now_ms) {
  const auto rows = listing.store.rows();
  const RowTable empty(options.all_sites, terminal.is_terminal ? distinct_digits(rows) : 0,
                       terminal, now_ms);
  std::vector<RowTable> tables(threads_for(rows.size()), empty);
  const Rows shown = sorted(rows, order_of(options), options.reverse,
                            [&](std::size_t part, const Row& row) { tables[part].measure(row); });
  RowTable& table = tables.front();
  for (const RowTable& other : tables)
    table.measure(other);
  table.fit();
  table.append_header(output.text());
  write_items(output, shown.size(),
              [&](std::string& out, std::size_t i) { table.append_line(out, item(shown, i)); });
}

void write_table(Output& output, const Listing& listing, const ListOptions& options) {
  const Terminal terminal = stdout_terminal();
  const std::int64_t now_ms = now().realtime_ms;
  if (listing.store.rows().empty() && terminal.is_terminal) {
    // The line with the seats says it all.
  } else if (options.by_user) {
    output.text() += users_table(by_user(listing.store.rows(), order_of(options), options.reverse),
                                 options.all_sites, terminal, now_ms);
  } else {
    write_rows(output, listing, options, terminal, now_ms);
  }
  // For people; a pipe gets the header and the rows only.
  if (!terminal.is_terminal) return;
  for (const SiteSummary& site : listing.sites)
    output.text() += footer(site, options) + "\n";
}

// Somebody who looks at an empty list may wonder why; a script knows that there can be none.
void remark_on_missing_registries(const Listing& listing) {
  for (const SiteSummary& site : listing.sites)
    if (!site.has_registry)
      remark(
          fmt::format("no registry for site {}: nobody has logged in since boot, or the module "
                      "is not in a PAM stack; run '{} check'",
                      site.site, site.called));
}

int run_list(const GlobalOptions& global, const ListOptions& options) {
  const Order order = order_of(options);
  if (options.csv + options.tsv + global.json > 1)
    throw usage_failure("only one of --csv, --tsv and --json");
  if (options.all_sites && (!global.conf.empty() || global.site != "default"))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");

  if (options.watch) return watch(global, options);

  const Listing listing = read_listing(global, options);
  Output output;
  if (global.json)
    write_json(output, listing, options);
  else if ((options.csv || options.tsv) && options.by_user)
    write_lines(output, by_user(listing.store.rows(), order, options.reverse), options);
  else if (options.csv || options.tsv)
    write_lines(output, sorted(listing.store.rows(), order, options.reverse), options);
  else
    write_table(output, listing, options);
  output.flush();
  if (!global.json && isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1)
    remark_on_missing_registries(listing);
  return listing.code;
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
  command.add_flag("--by-user", options->by_user,
                   "one line for each user, with most dangling sessions first");
  command.add_flag("--all-sites", options->all_sites, "the sessions of every site of this host");
  command
      .add_option("--sort", options->sort,
                  "activity (the default: stalest first), opened (oldest first), user, host, "
                  "service or state; with --by-user also dangling (the default) and sessions")
      ->check([](const std::string& value) { return value.empty() ? "is empty" : ""; }, "")
      ->option_text("ORDER");
  command.add_flag("--reverse", options->reverse, "the other way round");
  command.add_flag("--csv", options->csv, "print CSV (RFC 4180)");
  command.add_flag("--tsv", options->tsv, "print tab-separated fields, for scripts");
  command.add_flag("--watch", options->watch,
                   "refresh the list in place, until q is typed; without a terminal, or with "
                   "--json, print a line for each change");
  return [options](const GlobalOptions& global) { return run_list(global, *options); };
}

}  // namespace sessreg
