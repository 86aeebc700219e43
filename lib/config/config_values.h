// One value of the configuration file, from text. Each function returns the value or, as an Error
// with Errc::invalid_config, why it is refused: "'ten' is not a number; write …" (the caller puts
// file, line and key before it). Internal to lib/.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace sessreg {

inline constexpr std::string_view kBlank = " \t";

// `text` in single quotes, escaped for the terminal and shortened, for an error message.
std::string quoted(std::string_view text);

// Without leading and trailing spaces and tabs.
std::string_view trim(std::string_view text);

// A decimal number from `least` to `most`; no sign but the minus of -1. `mend` completes the error.
Result<std::int32_t> parse_count(std::string_view text, std::int32_t least, std::int32_t most,
                                 const char* mend);

// A duration from `least` to `most`.
Result<Seconds> parse_seconds(std::string_view text, Seconds least, Seconds most);

// An absolute path of a file, without "..". (The limit on a line's length limits it, too.)
Result<std::string> parse_path(std::string_view text);

// The name of a user, group or service. In double quotes, in which \\ and \" stand for a backslash
// and a quote, it may have spaces, and characters that are likely to be a mistake.
Result<std::string> parse_name(std::string_view text);

// Users and @groups, separated by white space; none is fine.
Result<NameList> parse_names(std::string_view text);

// PAM services, separated by white space; none is fine.
Result<std::vector<std::string>> parse_services(std::string_view text);

// IPv4 and IPv6 addresses and blocks, separated by white space; none is fine. Bits beyond the
// prefix are cleared.
Result<std::vector<Cidr>> parse_cidrs(std::string_view text);

// A message to the user with known placeholders only, {seconds} only where a time is left.
Result<std::string> parse_message(std::string_view text, bool may_name_seconds);

}  // namespace sessreg
