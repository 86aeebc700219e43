// Sessions as tables for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "output.h"
#include "rows.h"
#include "session.h"
#include "table.h"

namespace sessreg {

std::string sessions_table(const std::vector<Session>& sessions, const Terminal& terminal,
                           std::int64_t now_ms);

// The same table, written row by row.
class RowTable {
 public:
  // `digits`: of the ids that a terminal is shown.
  RowTable(bool with_site, std::size_t digits, const Terminal& terminal, std::int64_t now_ms);

  void measure(const Row& row);
  void fit() { table_.fit(); }
  void append_header(std::string& out) const { table_.append_header(out); }
  void append_line(std::string& out, const Row& row, bool is_new = false) {
    cells_[with_site_ ? 1 : 0].colour = is_new ? Colour::green : Colour::none;
    table_.append_line(out, cells_of(row));
  }

 private:
  const std::vector<Cell>& cells_of(const Row& row);
  void measure_text(std::size_t column, std::string_view raw);
  void measure_time(std::size_t column, std::int64_t realtime_ms);

  bool with_site_;
  std::size_t digits_;
  std::int64_t now_ms_;
  TableWriter table_;
  std::vector<Cell> cells_;  // used again for each row
};

std::string users_table(const std::vector<UserRow>& users, bool with_site, const Terminal& terminal,
                        std::int64_t now_ms);

// How many digits of their ids tell these from each other, at least 8.
std::size_t distinct_digits(std::span<const Row> rows);

}  // namespace sessreg
