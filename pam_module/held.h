// What the module remembers between the phases of one PAM transaction: the seat it took.
//
// Rules this file keeps:
//   1. A reservation that is still unbound at pam_end MUST be given back, but only by the process
//      that made it, and not when PAM merely replaces the data or a forked child tidies up
//      (PAM_DATA_REPLACE, PAM_DATA_SILENT).
//   2. A bound session MUST NOT be touched here: cleanup handlers also run in forked children.
#pragma once

#include <security/pam_modules.h>

#include <string_view>

#include "session/admission.h"

namespace sessreg {

struct Held {
  Seat seat;
  bool is_closed = false;  // so that a second close does nothing
};

// nullptr: nothing is held for this site.
const Held* get_held(pam_handle_t* pamh, std::string_view site);

// Remembers it in place of what was held before. False: PAM could not (the registry still knows).
bool set_held(pam_handle_t* pamh, std::string_view site, const Held& held);

}  // namespace sessreg
