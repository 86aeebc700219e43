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
#include "row_formats.h"
#include "views.h"
#include "watch.h"

namespace sessreg {
namespace {

// As json_text() writes an object with an array at its end.
template <class Items, class Append>
void write_array(Output& output, const Items& items, int indent, Append append) {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  bool is_first = true;
  output.text() += '[';
  for (const auto& item : items) {
    output.text() += (is_first ? "\n" : ",\n") + margin + "  ";
    is_first = false;
    append(item);
    output.line_done();
  }
  output.text() += is_first ? "]" : "\n" + margin + "]";
}

void write_site_json(Output& output, const Listing& listing, const SiteSummary& site,
                     const ListOptions& options, int indent) {
  const std::string margin(static_cast<std::size_t>(indent) + 2, ' ');
  std::string name = json_line(site.site);
  name.pop_back();
  output.text() += fmt::format("{{\n{}\"site\": {},\n{}\"limit\": {},\n{}\"active\": {},\n", margin,
                               name, margin, site.limit, margin, site.seats);
  output.text() += margin + (options.by_user ? "\"users\": " : "\"sessions\": ");
  const auto rows = std::span(listing.store.rows()).subspan(site.first_row, site.rows);
  const int inner = indent + 4;
  if (options.by_user)
    write_array(
        output, by_user(rows, order_of(options), options.reverse), indent + 2,
        [&](const UserRow& user) { append_json(output.text(), user, JsonForm::lines, inner); });
  else
    write_array(
        output, sorted(rows, order_of(options), options.reverse), indent + 2,
        [&](std::uint32_t i) { append_json(output.text(), rows[i], JsonForm::lines, inner); });
  output.text() += "\n" + std::string(static_cast<std::size_t>(indent), ' ') + "}";
}

void write_json(Output& output, const Listing& listing, const ListOptions& options) {
  if (options.all_sites)
    write_array(output, listing.sites, 0, [&](const SiteSummary& site) {
      write_site_json(output, listing, site, options, 2);
    });
  else
    write_site_json(output, listing, listing.sites.front(), options, 0);
  output.text() += "\n";
}

void write_lines(Output& output, const Listing& listing, const ListOptions& options) {
  const auto rows = listing.store.rows();
  const auto append = [&](const auto& item) {
    if (options.csv)
      append_csv(output.text(), item);
    else
      append_tsv(output.text(), item);
    output.line_done();
  };
  if (options.csv) append_csv_header(output.text(), options.by_user);
  if (options.by_user) {
    for (const UserRow& user : by_user(rows, order_of(options), options.reverse))
      append(user);
  } else {
    for_each_in(sorted(rows, order_of(options), options.reverse), rows, append);
  }
}

void write_table(Output& output, const Listing& listing, const ListOptions& options) {
  const Terminal terminal = stdout_terminal();
  const std::int64_t now_ms = now().realtime_ms;
  const auto rows = listing.store.rows();
  if (rows.empty() && terminal.is_terminal) {
    // The line with the seats says it all.
  } else if (options.by_user) {
    output.text() += users_table(by_user(rows, order_of(options), options.reverse),
                                 options.all_sites, terminal, now_ms);
  } else {
    RowTable table(options.all_sites, terminal.is_terminal ? distinct_digits(rows) : 0, terminal,
                   now_ms);
    for (const Row& row : rows)
      table.measure(row);
    table.fit();
    table.append_header(output.text());
    for_each_in(sorted(rows, order_of(options), options.reverse), rows, [&](const Row& row) {
      table.append_line(output.text(), row);
      output.line_done();
    });
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
  order_of(options);
  if (options.csv + options.tsv + global.json > 1)
    throw usage_failure("only one of --csv, --tsv and --json");
  if (options.all_sites && (!global.conf.empty() || global.site != "default"))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");

  if (options.watch) return watch(global, options);

  const Listing listing = read_listing(global, options);
  Output output;
  if (global.json)
    write_json(output, listing, options);
  else if (options.csv || options.tsv)
    write_lines(output, listing, options);
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
