#include "sessreg/list/changes.h"

#include <fmt/core.h>

#include <map>

#include "base/text.h"
#include "common/times.h"
#include "sessreg/list/row_formats.h"

namespace sessreg {
namespace {

// Ids are random: two sites holding the same one is too improbable to matter.
std::map<SessionId, const Row*> by_id(const Listing& listing) {
  std::map<SessionId, const Row*> rows;
  for (const Row* row : listing.rows)
    rows.emplace(row->id, row);
  return rows;
}

Change change_of_new(const Row& row) {
  return row.state == State::reserved ? Change::reserved : Change::opened;
}

Change change_of_state(State before, State now) {
  if (before == State::reserved) return Change::opened;
  switch (now) {
    case State::parked:
      return Change::parked;
    case State::orphaned:
      return Change::orphaned;
    case State::left:
      return Change::left;
    case State::ending:
      return Change::ending;
    default:
      return Change::returned;
  }
}

std::string or_dash(std::string_view raw) {
  return raw.empty() ? "-" : escape_for_terminal(raw);
}

}  // namespace

std::vector<RowChange> first_look(const Listing& now) {
  std::vector<RowChange> changes;
  for (const Row* row : now.rows)
    changes.push_back({Change::listed, row, row->state});
  return changes;
}

std::vector<RowChange> changes_between(const Listing& before, const Listing& now) {
  const auto old_rows = by_id(before), new_rows = by_id(now);
  std::vector<RowChange> changes;
  for (const auto& [id, row] : old_rows) {
    if (new_rows.count(id) != 0) continue;
    const bool is_over = !now.contains(id);
    changes.push_back({is_over ? Change::closed : Change::hidden, row, row->state});
  }
  for (const auto& [id, row] : new_rows) {
    const auto old = old_rows.find(id);
    if (old == old_rows.end()) {
      const bool was_there = before.contains(id);
      changes.push_back({was_there ? Change::shown : change_of_new(*row), row, row->state});
    } else if (old->second->state != row->state) {
      const State was = old->second->state;
      changes.push_back({change_of_state(was, row->state), row, was});
    }
  }
  return changes;
}

std::string describe(const RowChange& change) {
  const Row& row = *change.row;
  std::string what = fmt::format("{} {}, {}", text(change.what), escape_for_terminal(row.user()),
                                 escape_for_terminal(row.service()));
  const std::string_view host = row.host();
  if (!host.empty()) what += " from " + escape_for_terminal(host);
  if (change.before != row.state && change.what != Change::opened)
    what += fmt::format(": was {}", text(change.before));
  return what;
}

std::string change_line(const RowChange& change, std::int64_t now_ms) {
  const Row& row = *change.row;
  return fmt::format("{}  {}  {}  {}  {}  {}  {}\n", local_time(now_ms), text(change.what),
                     to_hex(row.id), or_dash(row.user()), or_dash(row.service()),
                     or_dash(row.host()), text(row.state));
}

std::string change_json(const RowChange& change, std::int64_t now_ms) {
  std::string line =
      fmt::format("{{\"time\":\"{}\",\"event\":\"{}\",\"before\":", utc_time(now_ms).value_or("-"),
                  text(change.what));
  if (change.row->state != change.before)
    line += fmt::format("\"{}\"", text(change.before));
  else
    line += "null";
  line += ",\"session\":";
  append_json(line, *change.row, JsonForm::one_line, 0);
  return line + "}\n";
}

}  // namespace sessreg
