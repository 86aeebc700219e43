// A PAM transaction with the real module, through a private configuration directory.
#pragma once

#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "../support/temp_dir.h"
#include "config/config.h"
#include "registry/registry.h"

// In place of PAM_IGNORE, which libpam never returns: the stack below ends in this then.
inline constexpr int kIgnored = PAM_ACCT_EXPIRED;

inline std::string module_path() {
  const char* path = getenv("SESSREG_MODULE");
  if (path == nullptr) throw std::runtime_error("SESSREG_MODULE is not set");
  return path;
}

// A private site: its configuration, registry and PAM services.
class PamSite {
 public:
  explicit PamSite(const std::string& config = "sessions_limit = 2\n",
                   const std::string& arguments = "") {
    write_config(config);
    for (const char* service : {"sshd", "sudo", "login"})
      write_service(service, arguments);
  }

  void write_config(const std::string& text) {
    dir.write("site.conf",
              "registry = " + registry_path() + "\nkey_file = " + (dir / "site.key") + "\n" + text);
  }

  // Each phase returns what the module returned: success ends it, PAM_IGNORE goes on to the next
  // line, which returns kIgnored; everything else dies at once.
  void write_service(const std::string& name, const std::string& arguments) {
    const std::string ours = " [success=done ignore=ignore default=die] " + module_path() +
                             " conf=" + config_path() + " " + arguments + "\n";
    std::string text;
    for (const char* phase : {"auth", "account", "password", "session"})
      text += phase + ours + phase +
              " required pam_debug.so auth=acct_expired cred=acct_expired acct=acct_expired "
              "prechauthtok=acct_expired chauthtok=acct_expired open_session=acct_expired "
              "close_session=acct_expired\n";
    dir.write(name, text);
  }

  // A module behind ours refuses to open the session.
  void write_refusing_service(const std::string& name) {
    const std::string ours = " required " + module_path() + " conf=" + config_path() + "\n";
    dir.write(name, "account" + ours + "session" + ours + "session required pam_deny.so\n");
  }

  std::string config_path() const { return dir / "site.conf"; }
  std::string registry_path() const { return dir / "registry/site.reg"; }
  sessreg::Registry registry() const {
    return std::move(*sessreg::Registry::open(registry_path(), *sessreg::host_identity()));
  }
  // 0 also where there is no registry yet.
  std::uint32_t seats() const {
    auto opened = sessreg::Registry::open(registry_path(), *sessreg::host_identity());
    return opened ? opened->count() : 0;
  }

  TempDir dir;
};

class Transaction {
 public:
  Transaction(const PamSite& site, const char* user, const char* service = "sshd") {
    const pam_conv conversation{converse, this};
    if (pam_start_confdir(service, user, &conversation, site.dir.path().c_str(), &pamh_) !=
        PAM_SUCCESS)
      throw std::runtime_error("pam_start_confdir");
    pam_set_item(pamh_, PAM_RHOST, "192.0.2.7");
    pam_set_item(pamh_, PAM_TTY, "ssh");
  }
  ~Transaction() { end(PAM_SUCCESS); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  int authenticate() { return last_ = pam_authenticate(pamh_, 0); }
  int setcred() { return last_ = pam_setcred(pamh_, PAM_ESTABLISH_CRED); }
  int account(int flags = 0) { return last_ = pam_acct_mgmt(pamh_, flags); }
  int open_session(int flags = 0) { return last_ = pam_open_session(pamh_, flags); }
  int close_session() { return last_ = pam_close_session(pamh_, 0); }
  int chauthtok() { return last_ = pam_chauthtok(pamh_, 0); }
  void end(int status) {
    if (pamh_ != nullptr) pam_end(pamh_, status);
    pamh_ = nullptr;
  }

  pam_handle_t* handle() { return pamh_; }
  std::string env(const char* name) {
    const char* value = pam_getenv(pamh_, name);
    return value == nullptr ? "" : value;
  }
  const std::vector<std::string>& texts() const { return texts_; }
  int style_of_last_text() const { return style_; }

 private:
  static int converse(int count, const pam_message** messages, pam_response** responses,
                      void* self) {
    for (int i = 0; i < count; ++i) {
      static_cast<Transaction*>(self)->texts_.emplace_back(messages[i]->msg);
      static_cast<Transaction*>(self)->style_ = messages[i]->msg_style;
    }
    *responses =
        static_cast<pam_response*>(calloc(static_cast<std::size_t>(count), sizeof(pam_response)));
    return PAM_SUCCESS;
  }

  pam_handle_t* pamh_ = nullptr;
  std::vector<std::string> texts_;
  int style_ = 0;
  int last_ = PAM_SUCCESS;
};
