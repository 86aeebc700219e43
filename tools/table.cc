#include "table.h"

#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "text.h"
#include "utf8.h"

namespace sessreg {
namespace {

constexpr int kGap = 2;
constexpr int kLeastElastic = 4;

// The widths of Unicode, whatever the user's locale; every glibc since 2.35 has C.UTF-8 built in.
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

Glyph first_glyph(std::string_view text) {
  const Utf8Char character = decode_utf8(text);
  if (character.size_bytes == 0) return {1, 1};
  const int width = wcwidth(static_cast<wchar_t>(character.code));
  return {character.size_bytes, width < 0 ? 1 : width};
}

// What a terminal that is not known to take UTF-8 is given.
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

const char* escape_sequence(Colour colour) {
  switch (colour) {
    case Colour::dim:
      return "\033[2m";
    case Colour::yellow:
      return "\033[33m";
    case Colour::red:
      return "\033[31m";
    case Colour::none:
      break;
  }
  return "";
}

std::string shown(const Cell& cell, bool brief, bool utf8) {
  const std::string& text = brief && !cell.brief.empty() ? cell.brief : cell.text;
  return utf8 ? text : to_ascii(text);
}

int total(const std::vector<int>& widths) {
  return std::accumulate(widths.begin(), widths.end(), 0) +
         kGap * (static_cast<int>(widths.size()) - 1);
}

}  // namespace

int display_width(std::string_view text) {
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

std::vector<Cell> Table::headers() const {
  std::vector<Cell> headers;
  for (const Column& column : columns_)
    headers.push_back({column.header, column.brief_header});
  return headers;
}

std::vector<int> Table::widths(bool brief, bool utf8) const {
  std::vector<int> widths;
  for (const Cell& header : headers())
    widths.push_back(display_width(shown(header, brief, utf8)));
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(shown(row[i], brief, utf8)));
  return widths;
}

void Table::shrink(std::vector<int>& width, int room, bool keep_headers) const {
  for (int excess = total(width) - room; excess > 0; --excess) {
    int* widest = nullptr;
    for (std::size_t i = 0; i < width.size(); ++i) {
      const int least =
          std::max(kLeastElastic, keep_headers ? display_width(columns_[i].header) : 0);
      if (columns_[i].elastic && width[i] > least && (widest == nullptr || width[i] > *widest))
        widest = &width[i];
    }
    if (widest == nullptr) return;
    --*widest;
  }
}

std::string Table::text(const Terminal& terminal) const {
  const bool utf8 = !terminal.is_terminal || terminal.utf8;
  const int room = terminal.columns;
  bool brief = false;
  std::vector<int> width = widths(brief, utf8);
  if (room > 0 && total(width) > room) {
    brief = true;
    width = widths(brief, utf8);
    // As long as that is enough, the headers stay whole.
    shrink(width, room, true);
    shrink(width, room, false);
  }

  std::string result;
  const auto add_line = [&](const std::vector<Cell>& row) {
    std::string line;
    int used = 0;
    std::string padding;
    for (std::size_t i = 0; i < row.size(); ++i) {
      int most = width[i];
      if (room > 0) most = std::min(most, room - used - static_cast<int>(padding.size()));
      if (most <= 0) break;
      const std::string cell = shortened(shown(row[i], brief, utf8), most, utf8);
      const int cell_width = display_width(cell);
      used += static_cast<int>(padding.size()) + cell_width;
      line += padding;
      if (terminal.colour && row[i].colour != Colour::none)
        line += escape_sequence(row[i].colour) + cell + "\033[0m";
      else
        line += cell;
      padding.assign(static_cast<std::size_t>(width[i] - cell_width + kGap), ' ');
    }
    result += line + "\n";
  };

  add_line(headers());
  for (const auto& row : rows_)
    add_line(row);
  return result;
}

std::string field_list(const std::vector<std::pair<std::string, std::string>>& fields,
                       const Terminal& terminal) {
  int widest = 0;
  for (const auto& [name, value] : fields)
    widest = std::max(widest, display_width(name));
  std::string result;
  for (const auto& [name, value] : fields) {
    result += name;
    result.append(static_cast<std::size_t>(widest - display_width(name) + kGap), ' ');
    result += (terminal.is_terminal && !terminal.utf8 ? to_ascii(value) : value) + "\n";
  }
  return result;
}

}  // namespace sessreg
