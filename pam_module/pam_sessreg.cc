// The six functions that PAM calls. Nothing is thrown into the host process, which may be sshd.
#include <cxxabi.h>
#include <security/pam_modules.h>

#include <span>

#include "phases.h"

// libstdc++'s own (libsupc++/eh_alloc.cc): frees its emergency memory for exceptions.
namespace __gnu_cxx {
void __freeres();
}

namespace {

// The module brings its own libstdc++, which allocates 72 KB when it is loaded and leaves them
// behind when it is unloaded. A host process that runs one transaction after another would grow
// by that each time.
[[gnu::destructor]] void free_exception_pool() {
  __gnu_cxx::__freeres();
}

// libstdc++ allocates what it keeps for each thread at that thread's first throw, which may
// be for want of memory; and libc ends the process if it cannot get that. So it is allocated
// now, for this thread.
[[gnu::constructor]] void get_ready_to_throw() {
  [[maybe_unused]] void* volatile got = abi::__cxa_get_globals();  // or it would be left out
}

using sessreg::LoginContext;
using Words = std::span<const char* const>;

Words words_of(int argc, const char** argv) {
  return {argv, static_cast<std::size_t>(argc)};
}

int run(pam_handle_t* pamh, int argc, const char** argv, int code_if_passed,
        int (*phase)(LoginContext&)) noexcept {
  try {
    LoginContext context(pamh, words_of(argc, argv), LoginContext::AskForUser::yes);
    return phase(context);
  } catch (...) {
    return sessreg::cannot_work_without_memory(
        pamh, sessreg::parse_pam_arguments(words_of(argc, argv)), code_if_passed);
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int pam_sm_authenticate(pam_handle_t* pamh, int /*flags*/, int argc, const char** argv) {
  try {
    LoginContext context(pamh, words_of(argc, argv), LoginContext::AskForUser::no);
    return sessreg::authenticate(context);
  } catch (...) {
    // The account phase decides. `authfail` stands after a password module that failed.
    return sessreg::parse_pam_arguments(words_of(argc, argv)).authfail ? PAM_AUTH_ERR : PAM_IGNORE;
  }
}

int pam_sm_setcred(pam_handle_t* /*pamh*/, int /*flags*/, int /*argc*/, const char** /*argv*/) {
  return PAM_IGNORE;
}

int pam_sm_acct_mgmt(pam_handle_t* pamh, int /*flags*/, int argc, const char** argv) {
  return run(pamh, argc, argv, PAM_IGNORE, sessreg::account);
}

int pam_sm_open_session(pam_handle_t* pamh, int /*flags*/, int argc, const char** argv) {
  return run(pamh, argc, argv, PAM_SUCCESS, sessreg::open_session);
}

int pam_sm_close_session(pam_handle_t* pamh, int /*flags*/, int argc, const char** argv) {
  run(pamh, argc, argv, PAM_SUCCESS, sessreg::close_session);
  return PAM_SUCCESS;
}

int pam_sm_chauthtok(pam_handle_t* /*pamh*/, int /*flags*/, int /*argc*/, const char** /*argv*/) {
  return PAM_IGNORE;
}

}  // extern "C"
#pragma GCC visibility pop
