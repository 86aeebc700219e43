// Reading a configuration file of another program, whatever somebody put in its place: never
// blocks, never reads without an end.
#pragma once

#include <string>

namespace sessreg {

struct HostFile {
  enum class State {
    read,
    missing,
    forbidden,    // not for this user
    unreadable,   // see `error`
    not_regular,  // a directory, a device, …
    too_large,
  };
  State state = State::missing;
  int error = 0;  // errno
  std::string text;
};

inline constexpr std::size_t kMostHostFileBytes = 1u << 20;

HostFile read_host_file(const std::string& path);

// What is wrong with a file that was not read, and the mend.
struct Complaint {
  std::string what;
  std::string mend;
};
Complaint complaint_of(const HostFile& file);

}  // namespace sessreg
