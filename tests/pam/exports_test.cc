// The module as a file: what it exports, needs and leaves behind.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <malloc.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <set>

#include "transaction.h"

namespace {

// Names from the dynamic symbol table of a 64-bit ELF file.
struct DynamicNames {
  std::set<std::string> defined;
  std::set<std::string> needed;
};

DynamicNames read_dynamic_names(const std::string& path) {
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
      }
    }
  }
  return names;
}

}  // namespace

TEST_CASE("the module loads, and exports its six functions and nothing else") {
  void* module = dlopen(module_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  INFO((module == nullptr ? dlerror() : ""));
  REQUIRE(module != nullptr);
  const std::set<std::string> expected = {"pam_sm_acct_mgmt",    "pam_sm_authenticate",
                                          "pam_sm_chauthtok",    "pam_sm_close_session",
                                          "pam_sm_open_session", "pam_sm_setcred"};
  for (const std::string& name : expected)
    CHECK(dlsym(module, name.c_str()) != nullptr);
  dlclose(module);
  CHECK(read_dynamic_names(module_path()).defined == expected);
}

TEST_CASE("the module brings its C++ library and libsodium with it") {
  for (const std::string& name : read_dynamic_names(module_path()).needed) {
    INFO(name);
    CHECK(name.find("stdc++") == std::string::npos);
    CHECK(name.find("sodium") == std::string::npos);
    CHECK(name.find("gcc_s") == std::string::npos);
  }
}

#ifndef SESSREG_SANITIZED
TEST_CASE("the module is gone from memory after dlclose") {
  void* module = dlopen(module_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(module != nullptr);
  dlclose(module);
  CHECK(dlopen(module_path().c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr);
}

TEST_CASE("loading the module again and again does not make the process grow") {
  const auto heap = [] { return mallinfo2().uordblks; };
  PamSite site;
  const auto run = [&] {
    Transaction t(site, "daemon");
    t.account();
  };
  run();
  const auto before = heap();
  for (int i = 0; i < 50; ++i)
    run();
  CHECK(heap() < before + 100'000);
}
#endif
