#include "views.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "selection.h"
#include "text.h"
#include "times.h"

namespace sessreg {
namespace {

constexpr const char* kAbsent = "-";

// Cells are filled anew for each row, so that their memory is used again.
void set_text(Cell& cell, std::string_view raw) {
  cell.text.clear();
  if (raw.empty())
    cell.text = kAbsent;
  else
    append_escaped(cell.text, raw);
}

void set_time(Cell& cell, std::int64_t realtime_ms, std::int64_t now_ms) {
  cell.text.clear();
  cell.brief.clear();
  append_relative_time(cell.brief, realtime_ms, now_ms);
  append_local_time(cell.text, realtime_ms);
  if (cell.text == kAbsent) return;
  cell.text += " (";
  cell.text += cell.brief;
  cell.text += ')';
}

void set_number(Cell& cell, std::uint64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  cell.text.assign(digits.data(), end);
}

void set_id(Cell& cell, const SessionId& id, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  cell.text.resize(std::min(digits, id.size() * 2));
  for (std::size_t i = 0; i < cell.text.size(); ++i)
    cell.text[i] = kDigits[i % 2 == 0 ? id[i / 2] >> 4 : id[i / 2] & 15];
}

std::vector<Column> session_columns(bool with_site) {
  std::vector<Column> columns = {
      {"id"},        {"user", true}, {"service", true}, {"from", true},
      {"tty", true}, {"state"},      {"opened"},        {"last activity", false, "used"},
      {"expires"},   {"pid"}};
  if (with_site) columns.insert(columns.begin(), {"site", true});
  return columns;
}

Colour colour_of(State state) {
  switch (state) {
    case State::orphaned:
      return Colour::yellow;
    case State::ending:
      return Colour::red;
    case State::parked:
    case State::reserved:
    case State::exempt:
      return Colour::dim;
    case State::active:
      break;
  }
  return Colour::none;
}

}  // namespace

RowTable::RowTable(bool with_site, std::size_t digits, const Terminal& terminal,
                   std::int64_t now_ms)
    : with_site_(with_site),
      digits_(terminal.is_terminal ? digits : sizeof(SessionId) * 2),
      now_ms_(now_ms),
      table_(session_columns(with_site), terminal),
      cells_(session_columns(with_site).size()) {}

const std::vector<Cell>& RowTable::cells_of(const Row& row) {
  auto cell = cells_.begin();
  if (with_site_) set_text(*cell++, *row.site);
  set_id(*cell++, row.id, digits_);
  set_text(*cell++, text_of(row.user));
  set_text(*cell++, text_of(row.service));
  set_text(*cell++, text_of(row.host));
  set_text(*cell++, text_of(row.tty));
  cell->colour = colour_of(row.state);
  (cell++)->text = text(row.state);
  set_time(*cell++, row.opened_realtime_ms, now_ms_);
  set_time(*cell++, row.last_activity_realtime_ms, now_ms_);
  if (row.expires_realtime_ms) {
    set_time(*cell++, *row.expires_realtime_ms, now_ms_);
  } else {
    cell->brief.clear();
    (cell++)->text = kAbsent;
  }
  set_number(*cell++, static_cast<std::uint64_t>(row.pid));
  return cells_;
}

std::string sessions_table(const std::vector<Session>& sessions, const Terminal& terminal,
                           std::int64_t now_ms) {
  RowStore store;
  for (const Session& session : sessions)
    store.add(session, Seconds(0));
  RowTable table(false, distinct_digits(sessions), terminal, now_ms);
  for (const Row& row : store.rows())
    table.measure(row);
  table.fit();
  std::string text;
  table.append_header(text);
  for (const Row& row : store.rows())
    table.append_line(text, row);
  return text;
}

std::string users_table(const std::vector<UserRow>& users, bool with_site, const Terminal& terminal,
                        std::int64_t now_ms) {
  std::vector<Column> columns = {
      {"user", true}, {"sessions"}, {"seats"}, {"dangling"}, {"last activity"}};
  if (with_site) columns.insert(columns.begin(), {"site", true});
  std::vector<Cell> cells(columns.size());
  const auto cells_of = [&](const UserRow& user) -> const std::vector<Cell>& {
    auto cell = cells.begin();
    if (with_site) set_text(*cell++, *user.site);
    set_text(*cell++, user.user);
    set_number(*cell++, user.sessions);
    set_number(*cell++, user.seats);
    cell->colour = user.dangling > 0 ? Colour::yellow : Colour::none;
    set_number(*cell++, user.dangling);
    set_time(*cell++, user.last_activity_realtime_ms, now_ms);
    return cells;
  };
  TableWriter table(std::move(columns), terminal);
  for (const UserRow& user : users)
    table.measure(cells_of(user));
  table.fit();
  std::string text;
  table.append_header(text);
  for (const UserRow& user : users)
    table.append_line(text, cells_of(user));
  return text;
}

std::size_t distinct_digits(const std::vector<Row>& rows) {
  std::vector<SessionId> ids;
  ids.reserve(rows.size());
  for (const Row& row : rows)
    ids.push_back(row.id);
  std::sort(ids.begin(), ids.end());
  std::size_t digits = 8;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const SessionId &a = ids[i - 1], &b = ids[i];
    std::size_t same = 0;
    while (same < a.size() && a[same] == b[same])
      ++same;
    const bool high_differs = same < a.size() && a[same] >> 4 != b[same] >> 4;
    digits = std::max(digits, std::min(same * 2 + (high_differs ? 1 : 2), a.size() * 2));
  }
  return digits;
}

}  // namespace sessreg
