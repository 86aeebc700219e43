// The module as a file: what it exports, needs and leaves behind.
#include <dlfcn.h>
#include <malloc.h>

#include <set>

#include "../support/catch.h"
#include "../support/dynamic_names.h"
#include "transaction.h"

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
