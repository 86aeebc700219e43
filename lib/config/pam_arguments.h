// The words after pam_sessreg.so on a line of a PAM stack: the one table of them, and their reader.
//
// Thread safety: the table is constant, the functions are pure. None allocates: the module reads
// its line with them also when there is no memory.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "config/config.h"

namespace sessreg {

// What a line says. The views are into its words.
struct PamArguments {
  std::string_view site = "default";
  std::optional<std::string_view> conf;    // none: the site's default path
  std::optional<std::string_view> socket;  // none: the daemon's own
  std::optional<OnError> on_error;
  bool debug = false;
  bool quiet = false;
  bool preauth = false;
  bool authfail = false;
  bool check_limit = false;
  bool observe = false;
};

struct PamArgument {
  std::string_view name;                     // ends in '=' if it takes a value
  std::span<const std::string_view> values;  // that it may have; empty: any
  std::string_view line_type;  // the only type of line where it does anything; empty: on each
  void (*set)(PamArguments& ret, std::string_view value) noexcept;

  bool allows(std::string_view value) const noexcept;
};

std::span<const PamArgument> pam_arguments() noexcept;

// The argument that `word` names, whatever its value; nullptr: none.
const PamArgument* find_pam_argument(std::string_view word) noexcept;

// False: unknown, or with a value that it cannot have. Such a word is ignored.
bool is_pam_argument(std::string_view word) noexcept;

// Of two words that set the same, the last counts.
PamArguments parse_pam_arguments(std::span<const char* const> words) noexcept;

}  // namespace sessreg
