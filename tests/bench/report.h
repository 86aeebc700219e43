// What the benchmarks print: Markdown, and for each goal whether it was met. No goal is asserted:
// times depend on the machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rounds.h"

namespace bench {

std::string time_text(double ns);              // "143 ns", "1.43 µs", "14.3 ms"
std::string number_text(double value);         // three digits
std::string ratio_text(const Spread& spread);  // "4.0 (3.8–4.4)"
std::string count_text(std::uint64_t count);   // "1,000,000"

void print_row(const std::vector<std::string>& cells);
void print_head(const std::vector<std::string>& cells);

class Goals {
 public:
  void at_least(const std::string& what, const Spread& got, double wanted);
  void at_most(const std::string& what, const Spread& got, double wanted);
  void at_most_ns(const std::string& what, const Spread& got, double wanted_ns);
  void none(const std::string& what, std::uint64_t got);
  void print() const;

 private:
  void add(const std::string& what, const std::string& wanted, const std::string& got, bool met);

  std::vector<std::vector<std::string>> rows_;
};

}  // namespace bench
