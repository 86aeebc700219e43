// Logins over the socket: Admit, Use and Attempt of org.sessreg.Sessions, for applications whose
// sessions have no process.
//
// Rules:
//   1. Who is neither the daemon's master nor a client of the service gets PermissionDenied, before
//      the registry or the configuration is read for it.
//   2. A call opens sessions without a process alone, of that service, for names that are taken as
//      given, unless the configuration says that they are accounts.
//   3. The configuration of a call is the one in the file now: it is read anew, as at a login, or is
//      certain to be the one that was read.
//   4. A call costs no more than a login: of what a user or a service has, no more is told than fits.
//
// Thread safety: none.
#pragma once

#include <string>

#include "sessregd/rights.h"
#include "sessregd/watched_site.h"
#include "varlink/server.h"

namespace sessreg {

using LoginCall = void (*)(WatchedSite& site, const Rights& rights, const varlink::Call& call,
                           varlink::Exchange& exchange);

// All throw CallError. The site's applications are those of the file as it is now.
void admit(WatchedSite& site, const Rights& rights, const varlink::Call& call,
           varlink::Exchange& exchange);
void use(WatchedSite& site, const Rights& rights, const varlink::Call& call,
         varlink::Exchange& exchange);
void attempt(WatchedSite& site, const Rights& rights, const varlink::Call& call,
             varlink::Exchange& exchange);

// An error of the interface.
varlink::CallError error_named(std::string_view name,
                               varlink::Json parameters = varlink::Json::object());

// Appends a session as the interface has it: a list holds thousands, and applications use theirs at each
// request.
void append_json(std::string& out, const Session& session);

}  // namespace sessreg
