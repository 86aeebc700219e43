// A private site as a program sees it through sessreg.h, beside logins through the PAM module.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../pam/transaction.h"
#include "../support/catch.h"
#include "capi/sessreg.h"

struct FreeHandle {
  void operator()(sessreg_site* site) const { sessreg_site_free(site); }
  void operator()(sessreg_session* session) const { sessreg_session_free(session); }
  void operator()(sessreg_list* list) const { sessreg_list_free(list); }
  void operator()(sessreg_keys* keys) const { sessreg_keys_free(keys); }
};
using SiteHandle = std::unique_ptr<sessreg_site, FreeHandle>;
using SessionHandle = std::unique_ptr<sessreg_session, FreeHandle>;
using ListHandle = std::unique_ptr<sessreg_list, FreeHandle>;
using KeysHandle = std::unique_ptr<sessreg_keys, FreeHandle>;

// As Catch2 shows it when a check fails.
struct Told : sessreg_error {
  Told() : sessreg_error(SESSREG_ERROR_INIT) {}
};

class Gateway : public PamSite {
 public:
  explicit Gateway(const std::string& config = "sessions_limit = 2\n") : PamSite(config) { open(); }

  void open() {
    sessreg_site* opened = nullptr;
    const int code = sessreg_open(nullptr, config_path().c_str(), &opened, &told);
    INFO(told.text);
    REQUIRE(code == SESSREG_OK);
    handle.reset(opened);
  }

  static sessreg_login login_of(const char* user, const char* service = "gateway") {
    sessreg_login login = SESSREG_LOGIN_INIT;
    login.user = user;
    login.service = service;
    login.host = "192.0.2.7";
    login.tty = ":7";
    return login;
  }

  int admit(const char* user, const char* service = "gateway") {
    return admit(login_of(user, service));
  }
  int admit(const sessreg_login& login) {
    sessreg_session* admitted = nullptr;
    const int code = sessreg_admit(handle.get(), &login, &admitted, &told);
    session.reset(admitted);
    return code;
  }
  // nullptr: refused.
  SessionHandle admitted(const char* user, const char* service = "gateway") {
    admit(user, service);
    return std::move(session);
  }
  int bind() { return sessreg_bind(session.get(), nullptr, &told); }
  SessionHandle opened(const char* user, const char* service = "gateway") {
    REQUIRE(admit(user, service) == SESSREG_OK);
    const int code = bind();
    INFO(told.text);
    REQUIRE(code == SESSREG_OK);
    return std::move(session);
  }
  ListHandle list() {
    sessreg_list* listed = nullptr;
    const int code = sessreg_list_new(handle.get(), &listed, &told);
    INFO(told.text);
    REQUIRE(code == SESSREG_OK);
    return ListHandle(listed);
  }
  static sessreg_entry entry(const ListHandle& list, std::size_t index = 0) {
    sessreg_entry entry = SESSREG_ENTRY_INIT;
    REQUIRE(sessreg_list_get(list.get(), index, &entry) == SESSREG_OK);
    return entry;
  }
  std::string public_key_file() const { return dir / "site.pub"; }

  SiteHandle handle;
  SessionHandle session;  // of the last admit()
  Told told;
};
