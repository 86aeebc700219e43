// Looks for bytes in the memory of the calling process, where they should be nowhere.
#pragma once

#include <fcntl.h>
#include <sodium/utils.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "sanitized.h"

// A byte pattern, kept masked so that the search does not find the searcher's own copy.
struct Masked {
  std::string masked;
  explicit Masked(std::string_view bytes) {
    for (const char c : bytes)
      masked += static_cast<char>(c ^ 0x5a);
  }
  bool matches(const char* at) const {
    for (std::size_t i = 0; i < masked.size(); ++i)
      if ((at[i] ^ 0x5a) != masked[i]) return false;
    return true;
  }
};

// How often the pattern occurs in this process's writable memory. The block that memory is read
// into is left out, and wiped.
inline int found_in_memory(const Masked& pattern) {
  static std::array<char, 1 << 16> block;
  const auto own = reinterpret_cast<std::uintptr_t>(block.data());
  int found = 0;
  std::ifstream maps("/proc/self/maps");
  const sessreg::Fd memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  if (!memory) throw std::runtime_error("/proc/self/mem");
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long from = 0, to = 0;
    char rights[5];
    if (sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, rights) != 3) continue;
    if (rights[0] != 'r' || rights[1] != 'w') continue;
    const std::size_t overlap = pattern.masked.size() - 1;
    for (unsigned long at = from; at < to; at += block.size() - overlap) {
      const std::size_t want = std::min<std::size_t>(block.size(), to - at);
      const ssize_t got = pread(memory.get(), block.data(), want, static_cast<off_t>(at));
      for (ssize_t i = 0; i + static_cast<ssize_t>(pattern.masked.size()) <= got; ++i) {
        const std::uintptr_t address = at + static_cast<std::uintptr_t>(i);
        if (address + pattern.masked.size() > own && address < own + block.size()) continue;
        if (pattern.matches(block.data() + i)) ++found;
      }
    }
  }
  sodium_memzero(block.data(), block.size());
  return found;
}
