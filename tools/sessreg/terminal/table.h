// Tables for people: columns two spaces apart, as wide as they need to be; on a terminal, no wider
// than it is.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/output.h"

namespace sessreg {

// Columns a text takes on a terminal: wide characters count two, combining ones none.
int display_width(std::string_view text);

// At most `columns` wide; a text that is cut ends in an ellipsis.
std::string shortened(std::string_view text, int columns, bool utf8);

enum class Colour { none, dim, yellow, red, green };

// `text` in that colour, if the terminal shows colours.
std::string coloured(const std::string& text, Colour colour, const Terminal& terminal);

// For a terminal that is not known to take UTF-8: every byte that is not ASCII becomes \xNN.
std::string to_ascii(std::string_view text);

struct Cell {
  std::string text;   // escaped for the terminal
  std::string brief;  // a shorter text where room is scarce; empty: as `text`
  Colour colour = Colour::none;
  bool is_plain = false;  // both are known to be printable ASCII, and so as wide as they are long
};

// The wanted text of a cell that somebody else keeps.
struct CellView {
  std::string_view text;
  Colour colour = Colour::none;
  bool is_plain = false;
};

struct Column {
  std::string header;
  bool elastic = false;           // may be cut where room is scarce
  std::string brief_header = {};  // empty: as `header`
  bool expendable = false;        // left out before anything is cut
};

// A table whose rows are not kept: first each row is measured, then each is written.
//
// If it is too wide for the terminal, it takes the brief texts, then leaves out the expendable
// columns, then shortens the elastic ones, widest first, then cuts its lines.
class TableWriter {
 public:
  TableWriter(std::vector<Column> columns, const Terminal& terminal);

  void measure(const std::vector<Cell>& row);
  // The same for one cell of a column, given as the cell or as its widths.
  void measure(std::size_t column, const Cell& cell);
  void measure(std::size_t column, int width, int brief_width) {
    if (width > width_[column]) width_[column] = width;
    if (brief_width > brief_width_[column]) brief_width_[column] = brief_width;
  }
  // Adds all that `other`, with the same columns, has measured.
  void measure(const TableWriter& other);
  // Call after the last measure() and before any of the functions below.
  void fit();
  void append_header(std::string& out) const;
  void append_line(std::string& out, const std::vector<Cell>& row) const;
  void append_line(std::string& out, std::span<const CellView> row) const;
  // Whether there is only room for the brief texts.
  bool is_brief() const { return is_brief_; }

 private:
  int width_of(const Cell& cell, bool brief) const;
  int total_width() const;
  void shrink(int room, bool keep_headers);
  bool append_unchanged(std::string& out, std::span<const CellView> row) const;

  std::vector<Column> columns_;
  std::vector<Cell> headers_;
  Terminal terminal_;
  bool utf8_;
  bool is_brief_ = false;
  bool is_cut_ = false;
  std::vector<bool> is_left_out_;
  std::size_t line_size_ = 0;  // of a line that is not cut
  std::vector<int> width_, brief_width_;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  std::string text(const Terminal& terminal) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "name   value" lines, values aligned, and broken at their spaces where the terminal is narrow.
std::string field_list(const std::vector<std::pair<std::string, std::string>>& fields,
                       const Terminal& terminal);

}  // namespace sessreg
