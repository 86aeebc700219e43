// sessreg list
#include <fmt/core.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/parallel.h"
#include "sessreg/command.h"
#include "sessreg/list/listing.h"
#include "sessreg/list/row_formats.h"
#include "sessreg/list/views.h"
#include "sessreg/list/watch.h"

namespace sessreg {
namespace {

const UserRow& item(const std::vector<UserRow>& users, std::size_t i) {
  return users[i];
}

// The rows are scattered in memory: one that is needed soon is prefetched.
const Row& item(std::span<const Row* const> rows, std::size_t i) {
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

// `rows`: the site's.
void write_site_json(Output& output, const SiteSummary& site, std::span<const Row* const> rows,
                     const ListOptions& options, int indent) {
  const std::string margin(static_cast<std::size_t>(indent) + 2, ' ');
  std::string name = json_line(site.site);
  name.pop_back();
  output.text() += fmt::format("{{\n{}\"site\": {},\n{}\"limit\": {},\n{}\"active\": {},\n", margin,
                               name, margin, site.limit, margin, site.seats);
  output.text() += margin + (options.by_user ? "\"users\": " : "\"sessions\": ");
  if (options.by_user)
    write_array(output, by_user(rows, order_of(options), options.reverse), indent + 2);
  else
    write_array(output, rows, indent + 2);
  output.text() += "\n" + std::string(static_cast<std::size_t>(indent), ' ') + "}";
}

void write_json(Output& output, const Listing& listing, const ListOptions& options) {
  std::span<const Row* const> rows = listing.rows;
  if (options.all_sites) {
    output.text() += '[';
    for (const SiteSummary& site : listing.sites) {
      append_separator(output.text(), &site == &listing.sites.front(), 2);
      write_site_json(output, site, rows.first(site.rows), options, 2);
      rows = rows.subspan(site.rows);
    }
    write_end_of_array(output, listing.sites.empty(), 0);
  } else {
    write_site_json(output, listing.sites.front(), rows, options, 0);
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

void write_ids(Output& output, const Rows& rows) {
  write_items(output, rows.size(), [&](std::string& out, std::size_t i) {
    out += IdDigits(item(rows, i).id).text();
    out += '\n';
  });
}

std::vector<UserRow> users_of(const Listing& listing, const ListOptions& options) {
  return by_user(listing.rows, order_of(options), options.reverse);
}

// A table for people. Its rows are measured while they are read.
class ListTable {
 public:
  explicit ListTable(const ListOptions& options)
      : options_(options),
        of_threads_(kMostThreads,
                    RowTable(options.all_sites, terminal_, now_ms_, true, options.wide)) {}

  // As LookAtRow.
  void measure(std::size_t part, const Row& row) { of_threads_[part].measure(row); }

  void write(Output& output, const Listing& listing) {
    if (listing.rows.empty() && terminal_.is_terminal) {
      // The line with the seats says it all.
    } else if (options_.by_user) {
      output.text() +=
          users_table(users_of(listing, options_), options_.all_sites, terminal_, now_ms_);
    } else {
      write_rows(output, listing.rows);
    }
    // Only for people: a pipe gets just the header and the rows.
    if (!terminal_.is_terminal) return;
    for (const SiteSummary& site : listing.sites)
      output.text() += footer(site, options_) + "\n";
  }

 private:
  void write_rows(Output& output, const Rows& rows) {
    RowTable& table = of_threads_.front();
    for (const RowTable& other : of_threads_)
      table.measure(other);
    table.fit(terminal_.is_terminal ? distinct_digits(rows) : 0);
    table.append_header(output.text());
    write_items(output, rows.size(),
                [&](std::string& out, std::size_t i) { table.append_line(out, item(rows, i)); });
  }

  const ListOptions& options_;
  const Terminal terminal_ = stdout_terminal();
  const std::int64_t now_ms_ = now().realtime_ms;
  std::vector<RowTable> of_threads_;
};

// Somebody who looks at an empty list may wonder why. A script expects that it can be empty.
void remark_on_missing_registries(const Listing& listing) {
  for (const SiteSummary& site : listing.sites)
    if (!site.has_registry)
      remark(
          fmt::format("no registry for site {}: nobody has logged in since boot, or the module "
                      "is not in a PAM stack; run '{} check'",
                      site.site, site.called));
}

// --output says the same as other options.
void choose_form(ListOptions& options, GlobalOptions& global) {
  const std::string& form = options.output;
  if (form == "json")
    global.json = true;
  else if (form == "csv")
    options.csv = true;
  else if (form == "tsv")
    options.tsv = true;
  else if (form == "ids")
    options.quiet = true;
  else if (!form.empty() && form != "table")
    throw usage_failure(fmt::format("--output: '{}' is no form; write table, json, csv, tsv or ids",
                                    escape_for_terminal(form)));
  if (options.csv + options.tsv + global.json + options.quiet > (form == "table" ? 0 : 1))
    throw usage_failure("only one of --csv, --tsv, --json, --quiet and --output");
  if (options.wide && options.by_user) throw usage_failure("either --wide or --by-user");
  if (options.quiet && options.by_user) throw usage_failure("either --quiet or --by-user");
}

int run_list(const GlobalOptions& global, const ListOptions& options) {
  order_of(options);  // an unknown order is reported first
  if (options.all_sites && (!global.conf.empty() || global.site_given))
    throw usage_failure("--all-sites reads every site's own file: leave out --site and --conf");

  if (options.watch) return watch(global, options);

  const bool for_programs = global.json || options.csv || options.tsv || options.quiet;
  ListTable table(options);
  const Listing listing = read_listing(global, options, [&](std::size_t part, const Row& row) {
    if (!for_programs) table.measure(part, row);
  });
  Output output;
  if (global.json)
    write_json(output, listing, options);
  else if (for_programs && options.by_user)
    write_lines(output, users_of(listing, options), options);
  else if (options.quiet)
    write_ids(output, listing.rows);
  else if (for_programs)
    write_lines(output, listing.rows, options);
  else
    table.write(output, listing);
  output.flush();
  if (!global.json && isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1)
    remark_on_missing_registries(listing);
  return listing.failure ? listing.failure->code() : kExitDone;
}

}  // namespace

Runner declare_list(Options& command) {
  auto options = std::make_shared<ListOptions>();
  add_filter_options(command, options->filter);
  command.add_flag("--by-user", options->by_user,
                   "one line for each user, those with most dangling sessions first");
  command.add_flag("--all-sites", options->all_sites, "the sessions of every site of this host");
  command
      .add_option("--sort", options->sort,
                  "activity (the default: stalest first), opened (oldest first), user, host, "
                  "service or state; with --by-user also dangling (the default) and sessions")
      .not_empty()
      .value_name("ORDER");
  command.add_flag("--reverse", options->reverse, "reverse the order");
  command.add_flag("--wide", options->wide,
                   "also the command in the foreground of each session's terminal");
  command.add_flag("--csv", options->csv, "print CSV (RFC 4180)");
  command.add_flag("--tsv", options->tsv, "print tab-separated fields, for scripts");
  command.add_flag("--quiet,-q", options->quiet, "print the ids of the sessions alone");
  command
      .add_option("--output,-o", options->output,
                  "print in this form: table (the default), json, csv, tsv or ids")
      .not_empty()
      .value_name("FORM");
  command.add_flag("--watch", options->watch,
                   "refresh the list in place until q is pressed; without a terminal, or with "
                   "--json, print a line for each change");
  return [options](const GlobalOptions& global) {
    options->filter.resolve_user();
    GlobalOptions chosen = global;
    choose_form(*options, chosen);
    return run_list(chosen, *options);
  };
}

}  // namespace sessreg
