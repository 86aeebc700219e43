// What is left of logins: slots, descriptors, memory.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "../support/mappings.h"
#include "registry/registry.h"
#include "registry/registry_file.h"
#include "registry/slots.h"

namespace faults {

// Also those that are only claimed; -1: the registry cannot be opened.
inline int slots_in_use(const std::string& registry_path) {
  auto mapped = sessreg::open_registry_file(registry_path, *sessreg::host_identity());
  if (!mapped) return -1;
  const sessreg::SlotTable<sessreg::ProcessAtom> table(mapped->slots());
  int used = 0;
  for (std::uint32_t slot = 0; slot < table.size(); ++slot)
    used += table.state(slot).stage != sessreg::Stage::free;
  return used;
}

// Of a process, "self" for this one.
inline std::size_t open_descriptors(const std::string& pid = "self") {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(("/proc/" + pid + "/fd").c_str()),
                                                closedir);
  std::size_t count = 0;
  while (dir != nullptr && readdir(dir.get()) != nullptr)
    ++count;
  return count;
}
inline std::size_t mappings(const std::string& pid = "self") {
  const std::string maps = mappings_of(pid);
  return static_cast<std::size_t>(std::count(maps.begin(), maps.end(), '\n'));
}
inline long rss_kb(const std::string& pid = "self") {
  std::ifstream status("/proc/" + pid + "/status");
  long kb = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) std::istringstream(line.substr(6)) >> kb;
  return kb;
}

}  // namespace faults
