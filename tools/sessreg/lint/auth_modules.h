// Which modules of a PAM stack let somebody in by what they know or have.
#pragma once

#include "sessreg/lint/pam_stacks.h"

namespace sessreg {

// Whether it is a module that asks for passwords in every phase and under any control: pam_unix, …
bool is_password_module(const PamLine& line);

// Whether the success of this auth line may be what authenticates a login: a module that is known
// to, and any that is not known and whose answer counts. (An `optional` one's does not.)
//
// So a module that nobody here has heard of is taken for one. If it is none, a line is named that is
// no mistake, and somebody looks. The other way passwords of a blacklisted host would be tried, or
// right ones counted as wrong, and nobody would be told.
bool can_authenticate(const PamLine& line);

}  // namespace sessreg
