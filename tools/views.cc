#include "views.h"

#include <algorithm>
#include <charconv>
#include <cstring>
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
  cell.is_plain = true;
  if (raw.empty())
    cell.text = kAbsent;
  else
    cell.is_plain = append_escaped(cell.text, raw);
}

void set_time(Cell& cell, std::int64_t realtime_ms, std::int64_t now_ms) {
  const RelativeTime relative(realtime_ms, now_ms);
  cell.brief = relative.text();
  cell.text.clear();
  cell.is_plain = true;
  append_local_time(cell.text, realtime_ms);
  if (cell.text == kAbsent) return;
  cell.text += " (";
  cell.text += relative.text();
  cell.text += ')';
}

void set_plain(Cell& cell, std::string_view text) {
  cell.text = text;
  cell.is_plain = true;
}

void set_number(Cell& cell, std::uint64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  set_plain(cell, {digits.data(), end});
}

void set_id(Cell& cell, const SessionId& id, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  cell.is_plain = true;
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

// As cells_of() would be, without writing them.
void RowTable::measure(const Row& row) {
  std::size_t column = 0;
  const auto plain = [&](std::size_t size) {
    table_.measure(column++, static_cast<int>(size), static_cast<int>(size));
  };
  if (with_site_) measure_text(column++, *row.site);
  plain(digits_);
  measure_text(column++, text_of(row.user));
  measure_text(column++, text_of(row.service));
  measure_text(column++, text_of(row.host));
  measure_text(column++, text_of(row.tty));
  plain(std::strlen(text(row.state)));
  measure_time(column++, row.opened_realtime_ms);
  measure_time(column++, row.last_activity_realtime_ms);
  if (row.expires_realtime_ms)
    measure_time(column++, *row.expires_realtime_ms);
  else
    plain(std::strlen(kAbsent));
  set_number(cells_[column], static_cast<std::uint64_t>(row.pid));
  plain(cells_[column].text.size());
}

void RowTable::measure_text(std::size_t column, std::string_view raw) {
  if (is_plain(raw)) {
    const auto width = static_cast<int>(std::max(raw.size(), std::strlen(kAbsent)));
    table_.measure(column, width, width);
  } else {
    set_text(cells_[column], raw);
    table_.measure(column, cells_[column]);
  }
}

// One that no calendar shows takes less.
void RowTable::measure_time(std::size_t column, std::int64_t realtime_ms) {
  constexpr std::string_view kAbsolute = "2026-11-22 14:03:11 ()";
  const std::size_t relative = RelativeTime(realtime_ms, now_ms_).text().size();
  table_.measure(column, static_cast<int>(kAbsolute.size() + relative), static_cast<int>(relative));
}

const std::vector<Cell>& RowTable::cells_of(const Row& row) {
  auto cell = cells_.begin();
  if (with_site_) set_text(*cell++, *row.site);
  set_id(*cell++, row.id, digits_);
  set_text(*cell++, text_of(row.user));
  set_text(*cell++, text_of(row.service));
  set_text(*cell++, text_of(row.host));
  set_text(*cell++, text_of(row.tty));
  cell->colour = colour_of(row.state);
  set_plain(*cell++, text(row.state));
  set_time(*cell++, row.opened_realtime_ms, now_ms_);
  set_time(*cell++, row.last_activity_realtime_ms, now_ms_);
  if (row.expires_realtime_ms) {
    set_time(*cell++, *row.expires_realtime_ms, now_ms_);
  } else {
    cell->brief.clear();
    set_plain(*cell++, kAbsent);
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

std::size_t distinct_digits(std::span<const Row> rows) {
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
