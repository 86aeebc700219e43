#include "report.h"

#include <stdio.h>

#include <cmath>

namespace bench {

std::string number_text(double value) {
  char text[32];
  const int decimals = value < 0.095 ? 3 : value < 9.95 ? 2 : value < 99.5 ? 1 : 0;
  snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string time_text(double ns) {
  if (ns < 999.5) return number_text(ns) + " ns";
  if (ns < 999.5e3) return number_text(ns / 1e3) + " µs";
  if (ns < 999.5e6) return number_text(ns / 1e6) + " ms";
  return number_text(ns / 1e9) + " s";
}

std::string ratio_text(const Spread& spread) {
  return number_text(spread.median) + " (" + number_text(spread.min) + "–" +
         number_text(spread.max) + ")";
}

std::string count_text(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

void print_row(const std::vector<std::string>& cells) {
  printf("|");
  for (const std::string& cell : cells)
    printf(" %s |", cell.c_str());
  printf("\n");
}

void print_head(const std::vector<std::string>& cells) {
  print_row(cells);
  print_row(std::vector<std::string>(cells.size(), "---"));
}

void Goals::add(const std::string& what, const std::string& wanted, const std::string& got,
                bool met) {
  rows_.push_back({what, wanted, got, met ? "met" : "**missed**"});
}

void Goals::at_least(const std::string& what, const Spread& got, double wanted) {
  add(what, "≥ " + number_text(wanted) + "×", ratio_text(got), got.median >= wanted);
}
void Goals::at_most(const std::string& what, const Spread& got, double wanted) {
  add(what, "≤ " + number_text(wanted) + "×", ratio_text(got), got.median <= wanted);
}
void Goals::at_most_ns(const std::string& what, const Spread& got, double wanted_ns) {
  add(what, "≤ " + time_text(wanted_ns), time_text(got.median), got.median <= wanted_ns);
}
void Goals::none(const std::string& what, std::uint64_t got) {
  add(what, "0", count_text(got), got == 0);
}

void Goals::print() const {
  if (rows_.empty()) return;
  print_head({"goal", "wanted", "got", ""});
  for (const auto& row : rows_)
    print_row(row);
  printf("\n");
}

}  // namespace bench
