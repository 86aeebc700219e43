// What the program's handles point to. Plain values: nothing is open between calls.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "capi/boundary.h"
#include "config/config.h"
#include "registry/registry.h"
#include "session/admission.h"
#include "session/sessions.h"
#include "token/paseto.h"

namespace sessreg::capi {

// A session with the texts that a program is given.
struct Shown {
  Session session;
  std::string id, user, service, host, tty;
};
// list.cc
Shown shown(const Session& session);
// Its texts belong to `shown`.
sessreg_entry entry_of(const Shown& shown);

}  // namespace sessreg::capi

struct sessreg_site {
  pid_t owner;
  std::string name;
  std::string conf_file;  // empty: the site's own

  sessreg::Result<sessreg::Config> read_config() const {
    return sessreg::load_config(name, conf_file);
  }
};

struct sessreg_session {
  enum class Progress { admitted, bound, closed };

  sessreg_site site;
  sessreg::Login login;
  std::optional<unsigned> primary_group;  // unset: no account of the system
  bool is_account = true;                 // false: SESSREG_NAME_AS_GIVEN
  sessreg_standing standing = SESSREG_COUNTED;
  Progress progress = Progress::admitted;

  std::optional<sessreg::Seat> seat;  // unset: nothing is recorded
  std::string id_text;                // once it is bound
  std::string token;
  sessreg::Seconds ttl{0};                    // the program's; 0: none
  std::optional<sessreg::capi::Shown> shown;  // as it was last looked at
};

struct sessreg_list {
  std::vector<sessreg::capi::Shown> sessions;
  std::uint32_t seats = 0;
  std::int32_t limit = -1;
};

struct sessreg_keys {
  std::vector<sessreg::PublicKey> keys;
};
