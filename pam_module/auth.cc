#include <syslog.h>

#include "phases.h"

namespace sessreg {
namespace {

int preauth(LoginContext& context) {
  const LoginAnswer answer = context.procedure().refuse_blacklisted();
  if (answer.what == LoginAnswer::What::refused) return context.code_of(answer, PAM_IGNORE);
  if (answer.what == LoginAnswer::What::failed && !lacks_rights(*answer.error))
    context.log(LOG_ERR, "cannot look for a blacklisted host", *answer.error);
  return PAM_IGNORE;  // the account phase decides
}

int authfail(LoginContext& context) {
  // With PermitEmptyPasswords, sshd tries an empty password for every client that connects.
  if (context.password_is_empty()) return PAM_AUTH_ERR;
  const auto counted = context.procedure().count_failure();
  if (!counted) {
    if (!lacks_rights(counted.error()))
      context.log(LOG_ERR, "cannot count a failure", counted.error());
  } else if (const auto& failure = *counted) {
    context.log(
        LOG_NOTICE, failure->blacklisted ? "remote host blacklisted" : "failure counted",
        "failures=" + std::to_string(failure->failures) + " max=" + std::to_string(failure->most));
  }
  return PAM_AUTH_ERR;  // also where nothing is counted: a password module has failed
}

int check_limit(LoginContext& context) {
  const LoginAnswer answer = context.procedure().foresee();
  return answer.what == LoginAnswer::What::refused ? context.code_of(answer, PAM_IGNORE)
                                                   : PAM_IGNORE;
}

}  // namespace

int authenticate(LoginContext& context) {
  context.look_up();
  if (context.arguments().authfail) return authfail(context);
  if (context.arguments().preauth) return preauth(context);
  return context.arguments().check_limit ? check_limit(context) : PAM_IGNORE;
}

}  // namespace sessreg
