// The steps of a login at a site, each under the rules of its configuration. admission.h
// puts them in order. Nothing is decided here: policy.h says which rules hold,
// registry.h whether there is room.
//
// Thread safety: as a Site, which must have its registry open.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/policy.h"
#include "config/remote_host.h"
#include "registry/failures.h"
#include "registry/registry.h"
#include "session/site.h"

namespace sessreg {

// If one of the next five answers stale_configuration, the file has changed: read it and begin
// again. `rules` are those of this login under site.config.

// Takes a seat until the session is opened, for reservation_time at most.
Result<Admission> reserve(Site& site, const Login& login, const Rulebook& rules);

// Opens the session: binds `reservation` or, if that is not given or has gone, takes a seat.
Result<Admission> bind_or_admit(Site& site, const Login& login, const Rulebook& rules,
                                const std::optional<SlotRef>& reservation);
// Finds the session of the login's device, or takes a seat for it (Registry::use).
Result<Admission> use(Site& site, const Login& login, const Rulebook& rules);
// Makes the limits of the site and of its groups in site.config those in force, as if a login had read
// them. A limit that was set by hand stays. Unset: done.
std::optional<Error> publish_limits(Site& site);
// As bind_or_admit(), but looks for the reservation that this process or its child made for the same user and
// service, if it is not the one given; and gives back what this process reserved for other users.
// Not for a process that is the login service of many users at once.
Result<Admission> find_and_bind_or_admit(Site& site, const Login& login, const Rulebook& rules,
                                         const std::optional<SlotRef>& reservation);

// Whether this login may only lead back to a session that is open already, as it does at a greeter
// that unlocks a screen: its service is one of `reattach_services`, and so is that of a session
// that the user has, and that lives and is not to end.
bool may_reattach(Site& site, const Login& login);

// What reserve() would answer, and who would give way.
Result<Admission> foresee(Site& site, const Login& login, const Rulebook& rules);

// From now on the sessions of `user` that are opened here get tokens, if the configuration says so.
// The secret key lives as long as the site's registry is open. `tell` is told of a key that cannot
// be read or made, and of what a token cannot say; those sessions get none.
void issue_tokens(Site& site, const std::string& user, std::function<void(const Error&)> tell);

// Lists a session of an exempt user. Of the rules only the times count, of a session without a process.
// False: the table is full.
bool list_exempt(Site& site, const Login& login, const Rulebook& rules, Admission& ret);

// Failed authentications of that remote host. Unset where none are counted: because the
// configuration says so, or because there is no remote host, or it is exempt. `service`: those of that
// service alone; empty: of all whose failures are not kept apart.
std::optional<Failures> failures_of(Site& site, const RemoteHost& host,
                                    std::string_view service = {});

}  // namespace sessreg
