// The PAM phases. Each returns a PAM code, and throws std::bad_alloc only.
#pragma once

#include "login_context.h"

namespace sessreg {

int authenticate(LoginContext& context);   // preauth, authfail, check_limit
int account(LoginContext& context);        // reserves a seat
int open_session(LoginContext& context);   // binds the reservation, or takes a seat
int close_session(LoginContext& context);  // releases; always PAM_SUCCESS

}  // namespace sessreg
