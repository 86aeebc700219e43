// The shared library as a file: its name, what it exports, and what it needs.
#include <dlfcn.h>

#include <set>

#include "../support/dynamic_names.h"
#include "site.h"

namespace {

std::string library_path() {
  const char* path = getenv("SESSREG_LIBRARY");
  if (path == nullptr) throw std::runtime_error("SESSREG_LIBRARY is not set");
  return path;
}

// The functions that the header declares.
std::set<std::string> declared() {
  std::ifstream in(SESSREG_SOURCE_DIR "/lib/capi/sessreg.h");
  const std::string header{std::istreambuf_iterator<char>(in), {}};
  std::set<std::string> names;
  for (std::size_t at = header.find("\nextern \"C\""); at != std::string::npos;
       at = header.find("sessreg_", at + 1)) {
    const std::size_t end = header.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at);
    const bool in_a_comment = header.rfind("/*", at) > header.rfind("*/", at);
    if (header.compare(at, 8, "sessreg_") == 0 && header[end] == '(' && !in_a_comment)
      names.insert(header.substr(at, end - at));
  }
  return names;
}

}  // namespace

TEST_CASE("the library exports the functions of its header, by their version, and nothing else") {
  std::set<std::string> expected = declared();
  CHECK(expected.size() == 29);
  void* library = dlopen(library_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  for (const std::string& name : expected) {
    INFO(name);
    CHECK(dlvsym(library, name.c_str(), "SESSREG_0") != nullptr);
  }
  dlclose(library);
  expected.insert("SESSREG_0");  // the version itself
  CHECK(read_dynamic_names(library_path()).defined == expected);
}

TEST_CASE("the library is called libsessreg.so.0, and needs no PAM") {
  const DynamicNames names = read_dynamic_names(library_path());
  CHECK(names.soname == "libsessreg.so.0");
  for (const std::string& name : names.needed) {
    INFO(name);
    CHECK(name.find("libpam") == std::string::npos);
    CHECK(name.find("boost") == std::string::npos);
  }
}
