// Sessions as tables for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/output.h"
#include "common/session.h"
#include "sessreg/list/rows.h"
#include "sessreg/terminal/table.h"

namespace sessreg {

// If none of them has a process, neither terminals nor pids are spoken of.
std::string sessions_table(const std::vector<Session>& sessions, const Terminal& terminal,
                           std::int64_t now_ms);

// The same table, written row by row.
class RowTable {
 public:
  RowTable(bool with_site, const Terminal& terminal, std::int64_t now_ms, bool with_process = true,
           bool with_command = false);

  void measure(const Row& row);
  // Adds all that `other`, made in the same way, has measured.
  void measure(const RowTable& other) { table_.measure(other.table_); }
  // `digits`: how many digits of the ids a terminal shows.
  void fit(std::size_t digits);
  void append_header(std::string& out) const { table_.append_header(out); }
  // Several threads may do this at once.
  void append_line(std::string& out, const Row& row, bool is_new = false) const;

 private:
  std::string_view state_of(const Row& row) const;
  void measure_text(std::size_t column, std::string_view raw);
  void measure_time(std::size_t column, std::int64_t realtime_ms);

  bool with_site_;
  bool with_process_;
  bool with_command_;
  bool is_for_terminal_;  // ids are cut, and the session that the caller is in has a mark
  std::size_t digits_ = 0;
  std::int64_t now_ms_;
  TableWriter table_;
};

std::string users_table(const std::vector<UserRow>& users, bool with_site, const Terminal& terminal,
                        std::int64_t now_ms);

// How many digits of their ids tell these from each other, at least 8.
std::size_t distinct_digits(std::span<const Row* const> rows);

}  // namespace sessreg
