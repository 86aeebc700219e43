// What can still be read of a registry that has become unusable, so that the administrator knows
// who goes on without a seat. Nothing is decided by it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace sessreg {

struct LostRecord {
  std::string id;
  std::string user;
  std::string service;
  pid_t pid = 0;
};

struct LostRecords {
  bool readable = false;  // its slots lie where this version puts them
  bool complete = false;  // all of them: the file is not cut short
  std::vector<LostRecord> sessions;
};

// Only sessions whose processes still run. Reads at most what the largest registry holds.
LostRecords read_lost_records(const std::string& path);

}  // namespace sessreg
