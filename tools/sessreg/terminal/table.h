// Tables for people: columns two spaces apart, as wide as they need to be; on a terminal, as wide
// as it is.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/output.h"

namespace sessreg {

// Columns a text takes on a terminal: wide characters count two, combining ones none.
int display_width(std::string_view text);

// At most `columns` wide; what is cut ends in an ellipsis.
std::string shortened(std::string_view text, int columns, bool utf8);

enum class Colour { none, dim, yellow, red, green };

// `text` in that colour, where the terminal takes any.
std::string coloured(const std::string& text, Colour colour, const Terminal& terminal);

// For a terminal that is not known to take UTF-8: the bytes of what is not ASCII as \xNN.
std::string to_ascii(std::string_view text);

struct Cell {
  std::string text;   // escaped for the terminal
  std::string brief;  // said shorter where room is scarce; empty: as `text`
  Colour colour = Colour::none;
  bool is_plain = false;  // both are known to be printable ASCII, and so as wide as they are long
};

// A cell that somebody else keeps, and of its texts the one that is wanted.
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

// A table whose rows are not kept: first each is measured, then each is written.
//
// Too wide for the terminal, it takes the brief texts, then leaves out the expendable columns, then
// shortens the elastic ones, widest first, then cuts its lines.
class TableWriter {
 public:
  TableWriter(std::vector<Column> columns, const Terminal& terminal);

  void measure(const std::vector<Cell>& row);
  // The same for a cell of a column, or one with these widths.
  void measure(std::size_t column, const Cell& cell);
  void measure(std::size_t column, int width, int brief_width) {
    if (width > width_[column]) width_[column] = width;
    if (brief_width > brief_width_[column]) brief_width_[column] = brief_width;
  }
  // All that `other`, of the same columns, has measured.
  void measure(const TableWriter& other);
  // Call between the last measure() and the first of these.
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
  std::size_t line_size_ = 0;  // of one that is not cut
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

// "name   value" lines, values aligned.
std::string field_list(const std::vector<std::pair<std::string, std::string>>& fields,
                       const Terminal& terminal);

}  // namespace sessreg
