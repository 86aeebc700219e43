// What a shared object says about itself.
#pragma once

#include <elf.h>
#include <link.h>
#include <string.h>

#include <fstream>
#include <set>
#include <string>

#include "catch.h"

// Names from the dynamic symbol table of a 64-bit ELF file.
struct DynamicNames {
  std::set<std::string> defined;
  std::set<std::string> needed;
  std::string soname;
};

inline DynamicNames read_dynamic_names(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), {});
  const auto at = [&file]<class T>(std::size_t offset, T) {
    T value;
    REQUIRE(offset + sizeof value <= file.size());
    memcpy(&value, file.data() + offset, sizeof value);
    return value;
  };
  const auto header = at(0, ElfW(Ehdr){});
  DynamicNames names;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const auto section = at(header.e_shoff + i * header.e_shentsize, ElfW(Shdr){});
    if (section.sh_type != SHT_DYNSYM && section.sh_type != SHT_DYNAMIC) continue;
    const auto strings =
        at(header.e_shoff + section.sh_link * std::size_t{header.e_shentsize}, ElfW(Shdr){});
    const auto name = [&](std::size_t offset) {
      return std::string(file.c_str() + strings.sh_offset + offset);
    };
    for (std::size_t j = 0; j < section.sh_size / section.sh_entsize; ++j) {
      const std::size_t offset = section.sh_offset + j * section.sh_entsize;
      if (section.sh_type == SHT_DYNSYM) {
        const auto symbol = at(offset, ElfW(Sym){});
        if (symbol.st_shndx != SHN_UNDEF) names.defined.insert(name(symbol.st_name));
      } else {
        const auto entry = at(offset, ElfW(Dyn){});
        if (entry.d_tag == DT_NEEDED) names.needed.insert(name(entry.d_un.d_val));
        if (entry.d_tag == DT_SONAME) names.soname = name(entry.d_un.d_val);
      }
    }
  }
  return names;
}
