#include <syslog.h>

#include <new>

#include "phases.h"

namespace sessreg {

int account(LoginContext& context) {
  context.look_up();
  context.login().parent = parent_id();  // may be the one that opens the session
  return context.code_of(context.procedure().reserve(context.kept_seat()), PAM_IGNORE);
}

int open_session(LoginContext& context) {
  context.look_up();
  // Until a seat is kept, this handle has nothing to close: see close_session().
  if (get_held(context.pamh(), context.arguments().site) == nullptr &&
      !set_held(context.pamh(), context.arguments().site, {Seat(), true}))
    throw std::bad_alloc();
  return context.code_of(
      context.procedure().open(context.kept_seat(), hinted_reservation(context.pamh())),
      PAM_SUCCESS);
}

// Usually costs no lookup: what is to be released was kept when it was opened.
int close_session(LoginContext& context) {
  const Held* held = get_held(context.pamh(), context.arguments().site);
  std::optional<Error> error;
  if (held == nullptr) {
    // This handle has opened nothing: another one of this process did, as smbd's.
    const char* id = pam_getenv(context.pamh(), "SESSREG_ID");
    context.look_up();
    error = context.procedure().close(id != nullptr ? std::optional<std::string_view>(id)
                                                    : std::nullopt);
  } else if (!held->is_closed && held->seat.what == Seat::What::session) {
    error = close_kept(held->seat);
    // Where it could not be released it is still held, so that a later close can do it; at the
    // latest it ends with its processes.
    if (!error) {
      set_held(context.pamh(), context.arguments().site, {held->seat, true});
      context.debug("closed");
    }
  }
  // Who has given up root's rights (proftpd) ends, and its sessions with it.
  if (error && !lacks_rights(*error)) context.log(LOG_ERR, "cannot release", *error);
  return PAM_SUCCESS;
}

}  // namespace sessreg
