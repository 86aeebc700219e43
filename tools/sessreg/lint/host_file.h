// Reads a configuration file of another program, whatever somebody put in its place: never blocks,
// never reads without end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sessreg {

// Why a file was not read.
struct Unread {
  enum class Why {
    missing,
    forbidden,    // not for this user
    unreadable,   // see `error`
    not_regular,  // a directory, a device, …
    too_large,
  };
  Why why = Why::missing;
  int error = 0;  // errno
};

inline constexpr std::size_t kMostHostFileBytes = 1u << 20;

// Its text.
Result<std::string, Unread> read_host_file(const std::string& path);

// The files that a pattern of glob(7) fits, in their order.
std::vector<std::string> files_matching(const std::string& pattern);

// Without the blanks around it.
std::string_view trimmed(std::string_view text);
std::string in_lower_case(std::string_view text);

// What is wrong, and the mend.
struct Complaint {
  std::string what;
  std::string mend;
};
Complaint complaint_of(const Unread& unread);

}  // namespace sessreg
