// What the module remembers between the phases of one PAM transaction: the seat it took.
//
// Rules this file keeps:
//   1. A reservation that is still unbound at pam_end MUST be given back, but only by the process
//      that made it, and not when PAM merely replaces the data or a forked child tidies up
//      (PAM_DATA_REPLACE, PAM_DATA_SILENT).
//   2. A bound session MUST NOT be touched here: cleanup handlers also run in forked children.
#pragma once

#include <security/pam_modules.h>

#include <string>
#include <string_view>

#include "registry/registry.h"

namespace sessreg {

struct Held {
  enum class What { reservation, session, closed };  // closed: so that a second close does nothing
  What what = What::reservation;
  std::string registry_path;
  SlotRef ref;
  SessionId id{};
  std::string user;
  std::string service;
  ProcessId maker;
};

// nullptr: nothing is held for this site.
const Held* get_held(pam_handle_t* pamh, std::string_view site);

// Remembers it in place of what was held before. False: PAM could not (the registry still knows).
bool set_held(pam_handle_t* pamh, std::string_view site, const Held& held);

}  // namespace sessreg
