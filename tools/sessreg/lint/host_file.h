// Reads a configuration file of another program, whatever somebody put in its place: never blocks,
// never reads without end.
#pragma once

#include <string>

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

// What is wrong, and the mend.
struct Complaint {
  std::string what;
  std::string mend;
};
Complaint complaint_of(const Unread& unread);

}  // namespace sessreg
