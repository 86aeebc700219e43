// What the module remembers between the phases of one PAM transaction: the seat it took.
//
// Rules this file keeps:
//   1. A reservation that is still unbound at pam_end MUST be given back.
//   2. A session that is still open at pam_end MUST be released if the transaction ends with an
//      error: a module behind this one refused it, and the login service may live on. With success
//      it MUST be kept: pkexec and smbd end the transaction and go on with the session. So it is with a
//      device's session that this transaction has opened (`keep`).
//   3. Only the process that took the seat may do either, and not when PAM merely replaces the data
//      or a forked child tidies up (PAM_DATA_REPLACE, PAM_DATA_SILENT): cleanup handlers also run
//      in forked children, some of which end with an error of their own (systemd's "(sd-pam)").
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
