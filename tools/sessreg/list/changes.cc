#include "sessreg/list/changes.h"

#include <fmt/core.h>

#include <map>

#include "base/text.h"
#include "common/times.h"
#include "sessreg/list/row_formats.h"

namespace sessreg {
namespace {

// The ids of one site's sessions are random; two sites may hold the same only by a wonder.
std::map<SessionId, const Row*> by_id(const Listing& listing) {
  std::map<SessionId, const Row*> rows;
  for (const Row* row : listing.rows)
    rows.emplace(row->id, row);
  return rows;
}

ChangeKind kind_of_new(const Row& row) {
  return row.state == State::reserved ? ChangeKind::reserved : ChangeKind::login;
}

std::string or_dash(std::string_view raw) {
  return raw.empty() ? "-" : escape_for_terminal(raw);
}

}  // namespace

const char* text(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::listed:
      return "listed";
    case ChangeKind::reserved:
      return "reserved";
    case ChangeKind::login:
      return "login";
    case ChangeKind::state:
      return "state";
    case ChangeKind::end:
      return "end";
    case ChangeKind::shown:
      return "shown";
    case ChangeKind::hidden:
      return "hidden";
  }
  return "unknown";
}

std::vector<Change> first_look(const Listing& now) {
  std::vector<Change> changes;
  for (const Row* row : now.rows)
    changes.push_back({ChangeKind::listed, row, row->state});
  return changes;
}

std::vector<Change> changes_between(const Listing& before, const Listing& now) {
  const auto old_rows = by_id(before), new_rows = by_id(now);
  std::vector<Change> changes;
  for (const auto& [id, row] : old_rows) {
    if (new_rows.count(id) != 0) continue;
    const bool is_over = !now.contains(id);
    changes.push_back({is_over ? ChangeKind::end : ChangeKind::hidden, row, row->state});
  }
  for (const auto& [id, row] : new_rows) {
    const auto old = old_rows.find(id);
    if (old == old_rows.end()) {
      const bool was_there = before.contains(id);
      changes.push_back({was_there ? ChangeKind::shown : kind_of_new(*row), row, row->state});
    } else if (old->second->state != row->state) {
      const bool was_bound = old->second->state == State::reserved;
      changes.push_back(
          {was_bound ? ChangeKind::login : ChangeKind::state, row, old->second->state});
    }
  }
  return changes;
}

std::string describe(const Change& change) {
  const Row& row = *change.row;
  std::string what = fmt::format("{} {}, {}", text(change.kind), escape_for_terminal(row.user()),
                                 escape_for_terminal(row.service()));
  const std::string_view host = row.host();
  if (!host.empty()) what += " from " + escape_for_terminal(host);
  if (change.kind == ChangeKind::state)
    what += fmt::format(": {}, was {}", text(row.state), text(change.before));
  return what;
}

std::string change_line(const Change& change, std::int64_t now_ms) {
  const Row& row = *change.row;
  return fmt::format("{}  {}  {}  {}  {}  {}  {}\n", local_time(now_ms), text(change.kind),
                     to_hex(row.id), or_dash(row.user()), or_dash(row.service()),
                     or_dash(row.host()), text(row.state));
}

std::string change_json(const Change& change, std::int64_t now_ms) {
  std::string line =
      fmt::format("{{\"time\":\"{}\",\"event\":\"{}\",\"before\":", utc_time(now_ms).value_or("-"),
                  text(change.kind));
  if (change.row->state != change.before)
    line += fmt::format("\"{}\"", text(change.before));
  else
    line += "null";
  line += ",\"session\":";
  append_json(line, *change.row, JsonForm::one_line, 0);
  return line + "}\n";
}

}  // namespace sessreg
