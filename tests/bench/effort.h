// How much a benchmark measures.
#pragma once

#include <cstring>
#include <optional>

namespace bench {

enum class Effort {
  full,
  quick,  // --quick: good enough to see a change by
  smoke,  // --smoke: everything is run once, and its times mean nothing
};

// By the program's arguments; unset where they are wrong.
inline std::optional<Effort> effort_of(int argc, char** argv) {
  if (argc == 1) return Effort::full;
  if (argc == 2 && strcmp(argv[1], "--quick") == 0) return Effort::quick;
  if (argc == 2 && strcmp(argv[1], "--smoke") == 0) return Effort::smoke;
  return std::nullopt;
}

}  // namespace bench
