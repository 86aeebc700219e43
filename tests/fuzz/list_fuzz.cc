// libFuzzer target: sessions of hostile names through everything that lists them: tables at any
// width, CSV, tab-separated lines, JSON, and the changes that --watch tells. Nothing may drive the
// terminal or break out of its field, and what a program reads must be what was recorded.
//
// The input is readable: one byte for the width (0: a pipe), one for the kind of terminal, then the
// site, and for each session user, service, host, terminal, reason and numbers, with | between.

#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/utf8.h"
#include "common/output.h"
#include "common/session.h"
#include "common/times.h"
#include "sessreg/list/changes.h"
#include "sessreg/list/row_formats.h"
#include "sessreg/list/rows.h"
#include "sessreg/list/views.h"
#include "sessreg/terminal/table.h"

using namespace sessreg;

namespace {

constexpr std::int64_t kNow_ms = 1'800'000'000'000;
constexpr std::size_t kMaxSessions = 4;
constexpr std::array kColours = {"\033[2m", "\033[33m", "\033[31m", "\033[32m", "\033[0m"};

void require(bool holds) {
  if (!holds) abort();
}

std::string_view next_field(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('|'), rest.size());
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return field;
}

template <std::size_t N>
void record(std::array<char, N>& place, std::string_view text) {
  std::memcpy(place.data(), text.data(), std::min(text.size(), N));
}

struct Numbers {
  std::uint64_t idle_ms;
  std::int64_t opened_realtime_ms, last_activity_realtime_ms, expires_realtime_ms;
  std::uint64_t opened_boottime_ms;
  std::uint32_t uid, pid;
  std::uint8_t state, kind;
};

Session session_of(std::string_view& rest, const std::string& site, std::size_t index) {
  Session session;
  RecordImage& image = session.snapshot.record;
  image = {};
  record(image.user, next_field(rest));
  record(image.service, next_field(rest));
  record(image.host, next_field(rest));
  record(image.tty, next_field(rest));
  session.reason = next_field(rest);
  Numbers numbers{60'000, kNow_ms - 90'000, kNow_ms - 60'000, kNow_ms + 60'000, 1, 1000, 7, 0, 0};
  const std::string_view bytes = next_field(rest);
  std::memcpy(&numbers, bytes.data(), std::min(bytes.size(), sizeof numbers));

  image.id[0] = static_cast<std::uint8_t>(index);
  image.user_hash[0] = static_cast<std::uint8_t>(index);
  image.opened_boottime_ms = numbers.opened_boottime_ms;
  session.site = site;
  if (numbers.kind & 1 && numbers.uid != kNoUid) session.uid = numbers.uid;
  const auto pid = static_cast<pid_t>(numbers.pid & 0x3fffff);
  if (pid != 0) session.leader = ProcessId{pid, 0};  // else it has no process
  session.state = static_cast<State>(numbers.state % 6);
  session.has_seat = numbers.kind & 2;
  session.can_idle = numbers.kind & 4;
  session.idle_ms = numbers.idle_ms;
  session.opened_realtime_ms = numbers.opened_realtime_ms;
  session.last_activity_realtime_ms = numbers.last_activity_realtime_ms;
  if (numbers.kind & 8) session.expires_realtime_ms = numbers.expires_realtime_ms;
  return session;
}

// As a terminal counts, told by the C library, not by the tool.
int columns_of(std::string_view line) {
  int columns = 0;
  while (!line.empty()) {
    const Utf8Char next = decode_utf8(line);
    const int width = wcwidth(static_cast<wchar_t>(next.code));
    columns += width < 0 ? 1 : width;
    line.remove_prefix(next.size_bytes);
  }
  return columns;
}

// `written`: control characters that the form itself is made of.
void require_showable(std::string_view text, std::string_view written) {
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    require(next.size_bytes != 0);
    require(!is_unsafe_to_show(next.code) || written.find(text[0]) != text.npos);
    text.remove_prefix(next.size_bytes);
  }
}

std::vector<std::string_view> lines_of(std::string_view text, std::string_view end) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t size = text.find(end);
    require(size != text.npos);
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size + end.size());
  }
  return lines;
}

std::string without_colours(std::string text) {
  for (const std::string_view colour : kColours)
    for (std::size_t at; (at = text.find(colour)) != text.npos;)
      text.erase(at, colour.size());
  return text;
}

void require_table(std::string text, const Terminal& terminal, std::size_t lines_expected) {
  if (terminal.colour) text = without_colours(text);
  require_showable(text, "\n");
  const auto lines = lines_of(text, "\n");
  require(lines.size() == lines_expected);
  for (const std::string_view line : lines) {
    if (terminal.columns > 0) require(columns_of(line) <= terminal.columns);
    if (terminal.is_terminal && !terminal.utf8)
      require(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

// The raw text again.
std::string unescaped(std::string_view text) {
  std::string raw;
  while (!text.empty()) {
    std::size_t size = 1;
    if (text.starts_with("\\x")) {
      size = 4;
      require(text.size() >= size);
      const auto digit = [&](char c) { return std::string_view("0123456789abcdef").find(c); };
      require(digit(text[2]) < 16 && digit(text[3]) < 16);
      raw += static_cast<char>(digit(text[2]) << 4 | digit(text[3]));
    } else {
      if (text.starts_with("\\\\")) size = 2;
      raw += text[0];
    }
    text.remove_prefix(size);
  }
  return raw;
}

// As RFC 4180 says, of one line.
std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && line.substr(i + 1, 1) == "\"") {
      fields.back() += line[++i];
    } else if (c == '"') {
      if (!quoted) require(fields.back().empty());
      quoted = !quoted;
      if (!quoted) require(i + 1 == line.size() || line[i + 1] == ',');
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  require(!quoted);
  return fields;
}

// A text field of CSV against what was recorded.
void require_csv_text(const std::string& field, std::string_view raw) {
  require(field.empty() == raw.empty());
  if (field.empty()) return;
  require(std::string_view("=+-@").find(field[0]) == std::string_view::npos);
  const bool marked = field.size() > 1 && field[0] == '\'' && raw[0] != '\'';
  require(unescaped(std::string_view(field).substr(marked ? 1 : 0)) == raw);
}

// A text field of tab-separated lines against what was recorded.
void require_tsv_text(std::string_view field, std::string_view raw) {
  if (raw.empty())
    require(field == "-");
  else
    require(field != "-" && unescaped(field) == raw);
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    if (next.size_bytes == 0) return false;
    text.remove_prefix(next.size_bytes);
  }
  return true;
}

void require_json_text(const nlohmann::ordered_json& json, std::string_view raw) {
  if (json.is_null()) return require(raw.empty());
  const auto& text = json.get_ref<const std::string&>();
  require(is_utf8(raw) ? text == raw : text.find("\xef\xbf\xbd") != text.npos);
}

// A command's name is its user's to choose.
Place place_of(const Session& session) {
  return {"pts/3", std::string(session.service()), session.has_seat};
}

void require_json_line(const std::string& line, const Session& session) {
  require(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  const auto json = nlohmann::ordered_json::parse(line);
  require_json_text(json.at("user"), session.user());
  require_json_text(json.at("service"), session.service());
  require_json_text(json.at("host"), session.host());
  require_json_text(json.at("tty"), session.tty());
  require_json_text(json.at("reason"), session.reason);
  // What `show --json` prints.
  require(json == nlohmann::ordered_json::parse(json_text(to_json(session, place_of(session)))));
}

void require_lines(const std::vector<Session>& sessions, const RowStore& store) {
  std::string header;
  append_csv_header(header, false);
  const std::size_t fields_expected = csv_fields(lines_of(header, "\r\n").at(0)).size();
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const Row& row = *store.keys()[i].row;
    const Session& session = sessions[i];
    std::string csv, tsv, line, indented;
    append_csv(csv, row);
    require_showable(csv, "\r\n");
    require(std::count(csv.begin(), csv.end(), '\n') == 1);
    const auto fields = csv_fields(lines_of(csv, "\r\n").at(0));
    require(fields.size() == fields_expected);
    require_csv_text(fields[1], session.site);
    require_csv_text(fields[2], session.user());
    require_csv_text(fields[5], session.host());
    require_csv_text(fields[fields.size() - 5], session.reason);
    require(fields[fields.size() - 4] == (session.leader ? "true" : "false"));
    require_csv_text(fields[fields.size() - 2], session.service());

    append_tsv(tsv, row);
    require_showable(tsv, "\t\n");
    std::string_view rest = lines_of(tsv, "\n").at(0);
    require(static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '\t')) + 1 ==
            fields_expected);
    std::vector<std::string_view> columns;
    for (std::size_t at; (at = rest.find('\t')) != rest.npos; rest.remove_prefix(at + 1))
      columns.push_back(rest.substr(0, at));
    columns.push_back(rest);
    for (const std::string_view column : columns)
      require(!column.empty());
    require_tsv_text(columns[2], session.user());
    require_tsv_text(columns[6], session.tty());
    require_tsv_text(columns[columns.size() - 5], session.reason);
    require_tsv_text(columns[columns.size() - 2], session.service());

    append_json(line, row, JsonForm::one_line, 0);
    require_json_line(line, session);
    append_json(indented, row, JsonForm::lines, 0);
    require(nlohmann::ordered_json::parse(indented) == nlohmann::ordered_json::parse(line));

    const RowChange change{Change::ending, &row, State::reserved};
    require_showable(describe(change), "");
    require_showable(change_line(change, kNow_ms), "\n");
    const std::string change_object = change_json(change, kNow_ms);
    require_json_line(
        nlohmann::ordered_json::parse(change_object).at("session").dump(-1, ' ', true), session);
  }
}

void require_tables(RowStore& store, const Terminal& terminal, bool with_site) {
  RowTable table(with_site, terminal, kNow_ms, true, with_site);
  for (const RowKey& key : store.keys())
    table.measure(*key.row);
  store.sort();
  Rows rows;
  append_merged(rows, std::array<const RowStore*, 1>{&store}, false);
  table.fit(distinct_digits(rows));
  std::string text;
  table.append_header(text);
  for (const Row* row : rows)
    table.append_line(text, *row, true);
  require_table(text, terminal, rows.size() + 1);

  const auto users = by_user(rows, Order::user, true);
  require_table(users_table(users, with_site, terminal, kNow_ms), terminal, users.size() + 1);
  for (const UserRow& user : users) {
    std::string csv, tsv, json;
    append_csv(csv, user);
    require_showable(csv, "\r\n");
    append_tsv(tsv, user);
    require_showable(tsv, "\t\n");
    append_json(json, user, JsonForm::one_line, 0);
    require_json_text(nlohmann::ordered_json::parse(json).at("user"), user.user);
  }
}

// As `show` prints them: each on a line of its own.
void require_fields(const Session& session, Terminal terminal) {
  terminal.columns = 0;  // else they are broken
  const std::string text = field_list({{"user", escape_for_terminal(session.user())},
                                       {"reason", escape_for_terminal(session.reason)}},
                                      terminal);
  require_table(text, terminal, 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool unicode = setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
  require(unicode);
  if (size < 2) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Terminal terminal;
  terminal.columns = static_cast<std::uint8_t>(rest[0]);
  terminal.is_terminal = terminal.columns > 0;
  terminal.utf8 = rest[1] & 1;
  terminal.colour = terminal.is_terminal && (rest[1] & 2);
  const bool with_site = rest[1] & 4;
  rest.remove_prefix(2);

  const std::string site(next_field(rest));
  std::vector<Session> sessions;
  RowStore store(Order::user);
  while (!rest.empty() && sessions.size() < kMaxSessions) {
    sessions.push_back(session_of(rest, site, sessions.size()));
    store.add(sessions.back(), Seconds(60), place_of(sessions.back()));
  }
  require_lines(sessions, store);
  require_tables(store, terminal, with_site);
  for (const Session& session : sessions)
    require_fields(session, terminal);
  return 0;
}
