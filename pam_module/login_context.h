// What a PAM transaction knows of a login, and how it learns what became of it: PAM codes, the
// user's message, the auth log. Throws std::bad_alloc only.
#pragma once

#include <security/pam_modules.h>

#include <optional>
#include <span>
#include <string>

#include "config/pam_arguments.h"
#include "held.h"
#include "session/admission.h"

namespace sessreg {

class LoginContext final : public LoginService {
 public:
  // Whether a login service that does not know the user yet is made to ask.
  enum class AskForUser { no, yes };

  // Takes the login's data from PAM. `words`: what follows the module on its line.
  LoginContext(pam_handle_t* pamh, std::span<const char* const> words, AskForUser ask);

  // What PAM does not tell: the user as the system knows it. Must come before procedure().
  void look_up();

  pam_handle_t* pamh() const { return pamh_; }
  const PamArguments& arguments() const { return arguments_; }
  // One was given to the password modules. False too where none was asked for.
  bool password_is_empty() const;
  Login& login() { return login_; }
  // nullptr: no seat is kept that has not been closed.
  const Seat* kept_seat() const;

  LoginProcedure procedure() { return {options_, login_, primary_group_, *this}; }

  // The one place where an answer becomes a PAM code. `code_if_passed`: for a login that is not
  // counted, or is let through though it could not be decided.
  int code_of(const LoginAnswer& answer, int code_if_passed) const;

  // One line of key=value fields in the auth log. What a stranger can choose and make long, the
  // user's name, comes last.
  void log(int priority, const char* event, const std::string& fields = {},
           const char* reason = "") const;
  void log(int priority, const char* event, const Error& error) const;
  void debug(const char* event) const;

  void keep(const Seat& seat, const std::string& token) override;
  void say_displaced(const Displaced& displaced) override;
  void say_no_token(const Error& error) override;
  void say_not_listed(const Error& error) override;
  void say_replaced(const std::string& path) override;
  void say_would_refuse(const Refused& refused) override;
  void say_would_displace(const Displaced& displaced) override;
  void say_cannot_foresee(const Error& error) override;

 private:
  int refuse(const Refused& refused) const;
  // Unless `quiet` is given, or nobody is there to be told.
  void tell_user(const char* text) const;
  int cannot_work(const LoginAnswer& answer, int code_if_passed) const;

  pam_handle_t* pamh_;
  const PamArguments arguments_;
  LoginOptions options_;
  Login login_;
  std::optional<unsigned> primary_group_;  // unset: no such user
};

// For an open phase in another process than the account phase's (sshd, keyboard-interactive), which
// has its environment, but not its data. Only a hint, as users may set the environment: what it
// says is checked, and it spares a search of the table.
std::optional<SlotRef> hinted_reservation(pam_handle_t* pamh);

// When there is no memory to decide anything: root is let through, and `observe` and on_error= of
// the line are obeyed.
int cannot_work_without_memory(pam_handle_t* pamh, const PamArguments& arguments,
                               int code_if_passed) noexcept;

}  // namespace sessreg
