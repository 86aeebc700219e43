#include "sessreg/terminal/table.h"

#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "base/utf8.h"

namespace sessreg {
namespace {

constexpr int kGap = 2;
constexpr int kLeastElastic = 4;

// For Unicode widths, whatever the user's locale. Every glibc since 2.35 has C.UTF-8 built in.
locale_t unicode_locale() {
  static const locale_t locale =
      newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr));
  return locale;
}

class InUnicodeLocale {
 public:
  InUnicodeLocale()
      : before_(unicode_locale() != nullptr ? uselocale(unicode_locale()) : nullptr) {}
  ~InUnicodeLocale() {
    if (before_ != nullptr) uselocale(before_);
  }
  InUnicodeLocale(const InUnicodeLocale&) = delete;
  InUnicodeLocale& operator=(const InUnicodeLocale&) = delete;

 private:
  locale_t before_;
};

struct Glyph {
  std::size_t size_bytes;
  int width;
};

// An escape (see escape_for_terminal()) counts as one glyph, so that none is cut in two.
Glyph first_glyph(std::string_view text) {
  if (text.starts_with("\\x") && text.size() >= 4) return {4, 4};
  if (text.starts_with("\\\\")) return {2, 2};
  const Utf8Char character = decode_utf8(text);
  if (character.size_bytes == 0) return {1, 1};
  const int width = wcwidth(static_cast<wchar_t>(character.code));
  return {character.size_bytes, width < 0 ? 1 : width};
}

const char* escape_sequence(Colour colour) {
  switch (colour) {
    case Colour::dim:
      return "\033[2m";
    case Colour::yellow:
      return "\033[33m";
    case Colour::red:
      return "\033[31m";
    case Colour::green:
      return "\033[32m";
    case Colour::none:
      break;
  }
  return "";
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
}

const std::string& chosen(const Cell& cell, bool brief) {
  return brief && !cell.brief.empty() ? cell.brief : cell.text;
}

}  // namespace

std::string to_ascii(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80)
      result += c;
    else
      append_hex(result, {&c, 1});
  }
  return result;
}

std::string coloured(const std::string& text, Colour colour, const Terminal& terminal) {
  if (!terminal.colour || colour == Colour::none) return text;
  return escape_sequence(colour) + text + "\033[0m";
}

int display_width(std::string_view text) {
  if (is_ascii(text)) return static_cast<int>(text.size());
  const InUnicodeLocale unicode;
  int width = 0;
  while (!text.empty()) {
    const Glyph glyph = first_glyph(text);
    width += glyph.width;
    text.remove_prefix(glyph.size_bytes);
  }
  return width;
}

std::string shortened(std::string_view text, int columns, bool utf8) {
  if (display_width(text) <= columns) return std::string(text);
  const std::string_view ellipsis = utf8 ? "…" : "~";
  const InUnicodeLocale unicode;
  std::size_t size_bytes = 0;
  int width = 1;  // of the ellipsis
  while (size_bytes < text.size()) {
    const Glyph glyph = first_glyph(text.substr(size_bytes));
    if (width + glyph.width > columns) break;
    width += glyph.width;
    size_bytes += glyph.size_bytes;
  }
  return std::string(text.substr(0, size_bytes)) + std::string(ellipsis);
}

TableWriter::TableWriter(std::vector<Column> columns, const Terminal& terminal)
    : columns_(std::move(columns)),
      terminal_(terminal),
      utf8_(!terminal.is_terminal || terminal.utf8),
      is_left_out_(columns_.size()),
      width_(columns_.size()),
      brief_width_(columns_.size()) {
  for (const Column& column : columns_)
    headers_.push_back({column.header, column.brief_header});
  measure(headers_);
}

void TableWriter::measure(const std::vector<Cell>& row) {
  for (std::size_t i = 0; i < row.size(); ++i)
    measure(i, row[i]);
}

void TableWriter::measure(std::size_t column, const Cell& cell) {
  measure(column, width_of(cell, false), terminal_.columns > 0 ? width_of(cell, true) : 0);
}

void TableWriter::measure(const TableWriter& other) {
  for (std::size_t i = 0; i < width_.size(); ++i)
    measure(i, other.width_[i], other.brief_width_[i]);
}

int TableWriter::width_of(const Cell& cell, bool brief) const {
  const std::string& text = chosen(cell, brief);
  if (cell.is_plain) return static_cast<int>(text.size());
  return display_width(utf8_ ? text : to_ascii(text));
}

int TableWriter::total_width() const {
  int total = -kGap;
  for (std::size_t i = 0; i < width_.size(); ++i)
    if (!is_left_out_[i]) total += width_[i] + kGap;
  return total;
}

void TableWriter::shrink(int room, bool keep_headers) {
  for (int excess = total_width() - room; excess > 0; --excess) {
    int* widest = nullptr;
    for (std::size_t i = 0; i < width_.size(); ++i) {
      const int least =
          std::max(kLeastElastic, keep_headers ? display_width(columns_[i].header) : 0);
      if (columns_[i].elastic && width_[i] > least && (widest == nullptr || width_[i] > *widest))
        widest = &width_[i];
    }
    if (widest == nullptr) return;
    --*widest;
  }
}

void TableWriter::fit() {
  const int room = terminal_.columns;
  if (room > 0 && total_width() > room) {
    is_brief_ = true;
    width_ = brief_width_;
    for (std::size_t i = 0; i < columns_.size() && total_width() > room; ++i)
      is_left_out_[i] = columns_[i].expendable;
    // If that is enough, the headers stay whole.
    shrink(room, true);
    shrink(room, false);
    is_cut_ = total_width() > room;
  }
  line_size_ = static_cast<std::size_t>(total_width());
}

void TableWriter::append_header(std::string& out) const {
  append_line(out, headers_);
}

void TableWriter::append_line(std::string& out, const std::vector<Cell>& row) const {
  std::vector<CellView> views;
  views.reserve(row.size());
  for (const Cell& cell : row)
    views.push_back({chosen(cell, is_brief_), cell.colour, cell.is_plain});
  append_line(out, views);
}

void TableWriter::append_line(std::string& out, std::span<const CellView> row) const {
  if (append_unchanged(out, row)) return;
  const int room = terminal_.columns;
  int used = 0;
  int padding = 0;
  std::string changed;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (is_left_out_[i]) continue;
    int most = width_[i];
    if (room > 0) most = std::min(most, room - used - padding);
    if (most <= 0) break;
    std::string_view text = row[i].text;
    if (!row[i].is_plain && !utf8_) text = changed = to_ascii(text);
    int width = row[i].is_plain ? static_cast<int>(text.size()) : display_width(text);
    if (width > most) {
      text = changed = shortened(text, most, utf8_);
      width = display_width(text);
    }
    used += padding + width;
    out.append(static_cast<std::size_t>(padding), ' ');
    const bool coloured = terminal_.colour && row[i].colour != Colour::none;
    if (coloured) out += escape_sequence(row[i].colour);
    out += text;
    if (coloured) out += "\033[0m";
    padding = width_[i] - width + kGap;
  }
  out += '\n';
}

// The fast way for most lines of a long list: copies each cell to its place in a line of spaces.
// False: this line needs more than that.
bool TableWriter::append_unchanged(std::string& out, std::span<const CellView> row) const {
  if (terminal_.colour || is_cut_) return false;
  for (std::size_t i = 0; i < row.size(); ++i)
    if (!row[i].is_plain || row[i].text.size() > static_cast<std::size_t>(width_[i])) return false;
  const std::size_t start = out.size();
  out.append(line_size_ + 1, ' ');
  char* at = out.data() + start;
  char* end = at;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (is_left_out_[i]) continue;
    end = at + row[i].text.copy(at, row[i].text.size());
    at += width_[i] + kGap;
  }
  *end = '\n';
  out.resize(static_cast<std::size_t>(end + 1 - out.data()));
  return true;
}

std::string Table::text(const Terminal& terminal) const {
  TableWriter writer(columns_, terminal);
  for (const auto& row : rows_)
    writer.measure(row);
  writer.fit();
  std::string result;
  writer.append_header(result);
  for (const auto& row : rows_)
    writer.append_line(result, row);
  return result;
}

namespace {

// Broken at its spaces, so that no line is wider than `columns` (0: no limit) behind a margin.
void append_broken(std::string& out, std::string_view text, int margin, int columns) {
  int used = margin;
  for (bool is_first = true; is_first || !text.empty(); is_first = false) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const int width = display_width(word);
    if (is_first) {
      used += width;
    } else if (columns > 0 && used + 1 + width > columns) {
      out += '\n';
      out.append(static_cast<std::size_t>(margin), ' ');
      used = margin + width;
    } else {
      out += ' ';
      used += 1 + width;
    }
    out += word;
  }
}

}  // namespace

std::string field_list(const std::vector<std::pair<std::string, std::string>>& fields,
                       const Terminal& terminal) {
  int widest = 0;
  for (const auto& [name, value] : fields)
    widest = std::max(widest, display_width(name));
  std::string result;
  for (const auto& [name, value] : fields) {
    result += name;
    const int gap = widest - display_width(name) + kGap;
    result.append(static_cast<std::size_t>(gap), ' ');
    const std::string text = terminal.is_terminal && !terminal.utf8 ? to_ascii(value) : value;
    append_broken(result, text, widest + kGap, terminal.columns);
    result += '\n';
  }
  return result;
}

}  // namespace sessreg
