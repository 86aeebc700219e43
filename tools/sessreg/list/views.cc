#include "sessreg/list/views.h"

#include <algorithm>
#include <boost/container/static_vector.hpp>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "common/times.h"
#include "host/terminals.h"
#include "sessreg/access/selection.h"

namespace sessreg {
namespace {

constexpr const char* kAbsent = "-";

// Cells are refilled for each row, so that their memory is reused.
void set_text(Cell& cell, std::string_view raw) {
  cell.text.clear();
  cell.is_plain = true;
  if (raw.empty())
    cell.text = kAbsent;
  else
    cell.is_plain = append_escaped(cell.text, raw);
}

void set_time(Cell& cell, std::int64_t realtime_ms, std::int64_t now_ms) {
  const TimeWithRelative time(realtime_ms, now_ms);
  cell.text = time.text();
  cell.brief = time.relative();
  cell.is_plain = true;
}

void set_plain(Cell& cell, std::string_view text) {
  cell.text = text;
  cell.is_plain = true;
}

// Its decimal digits.
class Digits {
 public:
  explicit Digits(std::uint64_t number)
      : end_(std::to_chars(text_.data(), text_.data() + text_.size(), number).ptr) {}
  std::string_view text() const { return {text_.data(), end_}; }

 private:
  std::array<char, 24> text_;
  const char* end_;
};

void set_number(Cell& cell, std::uint64_t number) {
  set_plain(cell, Digits(number).text());
}

std::vector<Column> session_columns(bool with_site, bool with_process, bool with_command) {
  std::vector<Column> columns = {{"id"},
                                 {"user", true},
                                 {"service", true},
                                 {"from", true},
                                 {with_process ? "tty" : "label", true},
                                 {"state"},
                                 {"opened"},
                                 {"last activity", false, "used"},
                                 {.header = "expires", .expendable = true}};
  if (with_process) columns.push_back({"pid"});
  if (with_command) columns.push_back({"command", true});
  if (with_site) columns.insert(columns.begin(), {"site", true});
  return columns;
}

// Where its processes are, rather than what the service said when it was opened: sshd says "ssh".
std::string_view tty_of(const Row& row) {
  return row.terminal().empty() ? row.tty() : row.terminal();
}

Colour colour_of(State state) {
  switch (state) {
    case State::orphaned:
    case State::left:
      return Colour::yellow;
    case State::ending:
      return Colour::red;
    case State::parked:
    case State::reserved:
    case State::exempt:
    case State::observed:
      return Colour::dim;
    case State::active:
      break;
  }
  return Colour::none;
}

}  // namespace

RowTable::RowTable(bool with_site, const Terminal& terminal, std::int64_t now_ms, bool with_process,
                   bool with_command)
    : with_site_(with_site),
      with_process_(with_process),
      with_command_(with_command),
      is_for_terminal_(terminal.is_terminal),
      now_ms_(now_ms),
      table_(session_columns(with_site, with_process, with_command), terminal) {}

// "active*" where the caller is.
std::string_view RowTable::state_of(const Row& row) const {
  if (!row.is_here || !is_for_terminal_) return text(row.state);
  static const auto marked = [] {
    std::array<std::string, kStates> texts;
    for (std::size_t i = 0; i < texts.size(); ++i)
      texts[i] = std::string(text(static_cast<State>(i))) + "*";
    return texts;
  }();
  return marked[static_cast<std::size_t>(row.state)];
}

void RowTable::fit(std::size_t digits) {
  digits_ = is_for_terminal_ ? digits : sizeof(SessionId) * 2;
  table_.measure(with_site_ ? 1 : 0, static_cast<int>(digits_), static_cast<int>(digits_));
  table_.fit();
}

// Measures what append_line() would write, except the id.
void RowTable::measure(const Row& row) {
  std::size_t column = 0;
  const auto plain = [&](std::size_t size) {
    table_.measure(column++, static_cast<int>(size), static_cast<int>(size));
  };
  const auto any = [&](std::string_view raw) {
    if (row.is_plain)
      plain(std::max(raw.size(), std::strlen(kAbsent)));
    else
      measure_text(column++, raw);
  };
  if (with_site_) measure_text(column++, *row.site);
  ++column;
  any(row.user());
  any(row.service());
  any(row.host());
  any(tty_of(row));
  plain(state_of(row).size());
  measure_time(column++, row.opened_realtime_ms);
  measure_time(column++, row.last_activity_realtime_ms);
  if (const auto expires_ms = row.expires_realtime_ms())
    measure_time(column++, *expires_ms);
  else
    plain(std::strlen(kAbsent));
  if (with_process_)
    plain(row.pid == 0 ? std::strlen(kAbsent)
                       : Digits(static_cast<std::uint64_t>(row.pid)).text().size());
  if (with_command_) any(row.command());
}

void RowTable::measure_text(std::size_t column, std::string_view raw) {
  Cell cell;
  set_text(cell, raw);
  table_.measure(column, cell);
}

// A time that no calendar can show takes less room than that.
void RowTable::measure_time(std::size_t column, std::int64_t realtime_ms) {
  constexpr std::string_view kAbsolute = "2026-11-22 14:03:11 ()";
  const std::size_t relative = RelativeTime::size(realtime_ms, now_ms_);
  table_.measure(column, static_cast<int>(kAbsolute.size() + relative), static_cast<int>(relative));
}

void RowTable::append_line(std::string& out, const Row& row, bool is_new) const {
  boost::container::static_vector<CellView, 12> cells;
  std::vector<std::string> escaped;
  const auto plain = [&](std::string_view text, Colour colour = Colour::none) {
    cells.push_back({text, colour, true});
  };
  const auto any = [&](std::string_view raw, bool is_plain) {
    if (raw.empty()) return plain(kAbsent);
    if (is_plain) return plain(raw);
    escaped.reserve(cells.capacity());  // cells point into these strings: none may move
    std::string& text = escaped.emplace_back();
    const bool was_plain = append_escaped(text, raw);
    cells.push_back({text, Colour::none, was_plain});
  };
  if (with_site_) any(*row.site, false);
  const IdDigits id(row.id);
  plain(id.text().substr(0, digits_), is_new ? Colour::green : Colour::none);
  any(row.user(), row.is_plain);
  any(row.service(), row.is_plain);
  any(row.host(), row.is_plain);
  any(tty_of(row), row.is_plain);
  plain(state_of(row), colour_of(row.state));
  boost::container::static_vector<TimeWithRelative, 3> times;
  const auto time = [&](std::int64_t realtime_ms) {
    const TimeWithRelative& when = times.emplace_back(realtime_ms, now_ms_);
    plain(table_.is_brief() ? when.relative() : when.text());
  };
  time(row.opened_realtime_ms);
  if (row.last_activity_realtime_ms == row.opened_realtime_ms)
    cells.push_back(CellView(cells.back()));  // as in most rows of a long list
  else
    time(row.last_activity_realtime_ms);
  if (const auto expires_ms = row.expires_realtime_ms())
    time(*expires_ms);
  else
    plain(kAbsent);
  const Digits pid(static_cast<std::uint64_t>(row.pid));
  if (with_process_) plain(row.pid == 0 ? std::string_view(kAbsent) : pid.text());
  if (with_command_) any(row.command(), row.is_plain);
  table_.append_line(out, std::span<const CellView>(cells.data(), cells.size()));
}

std::string sessions_table(const std::vector<Session>& sessions, const Terminal& terminal,
                           std::int64_t now_ms) {
  RowStore store(Order::activity);
  const bool with_process = std::any_of(sessions.begin(), sessions.end(), [](const Session& each) {
    return has_process(each.snapshot.record);
  });
  RowTable table(false, terminal, now_ms, with_process);
  for (const Session& session : sessions)
    table.measure(store.add(session, Seconds(0), {.terminal = terminal_name(session.tty_device)}));
  table.fit(distinct_digits(sessions));
  std::string text;
  table.append_header(text);
  for (const RowKey& key : store.keys())
    table.append_line(text, *key.row);
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

std::size_t distinct_digits(std::span<const Row* const> rows) {
  std::vector<SessionId> ids;
  ids.reserve(rows.size());
  for (const Row* row : rows)
    ids.push_back(row->id);
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
