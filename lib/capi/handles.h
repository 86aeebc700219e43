// What the program's handles point to. Plain values: nothing is open between calls.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "capi/boundary.h"
#include "config/config.h"
#include "registry/registry.h"
#include "session/login.h"
#include "session/sessions.h"
#include "token/paseto.h"

struct sessreg_site {
  pid_t owner;
  std::string name;
  std::string conf_file;  // empty: the site's own

  sessreg::Result<sessreg::Config> read_config() const {
    return sessreg::load_config(name, conf_file);
  }
};

struct sessreg_session {
  enum class Stage { admitted, bound, closed };

  sessreg_site site;
  sessreg::Login login;
  std::optional<unsigned> primary_group;  // unset: no account of the system
  sessreg_standing standing = SESSREG_COUNTED;
  Stage stage = Stage::admitted;

  // Of a reservation or session that is recorded.
  std::string registry;
  std::optional<sessreg::SlotRef> ref;
  sessreg::SessionId id{};

  std::string id_text;  // once it is bound
  std::string token;
};

struct sessreg_list {
  // With the texts that a program is given.
  struct Listed {
    sessreg::Session session;
    std::string id, user, service, host, tty;
  };
  std::vector<Listed> sessions;
  std::uint32_t seats = 0;
  std::int32_t limit = -1;
};

struct sessreg_keys {
  std::vector<sessreg::PublicKey> keys;
};

namespace sessreg::capi {

// A registry that is not handed to the children of other threads. Errors as Registry::open.
Result<Registry> open_registry(const std::string& path);

// There is no registry where nobody has logged in since the boot.
bool is_absent(const Error& error);

}  // namespace sessreg::capi
