// The PAM phases: from what PAM knows of a login to a PAM code. May throw std::bad_alloc only.
#pragma once

#include <security/pam_modules.h>

#include <optional>
#include <span>

#include "config/pam_arguments.h"
#include "config/policy.h"
#include "held.h"
#include "session/login.h"

namespace sessreg {

class Phase {
 public:
  // Whether a login service that does not know the user yet is made to ask.
  enum class AskForUser { no, yes };

  // Takes the login's data from PAM. `words`: what stands behind the module on its line.
  Phase(pam_handle_t* pamh, std::span<const char* const> words, AskForUser ask);

  int authenticate();   // preauth, authfail, check_limit
  int account();        // reserves a seat
  int open_session();   // binds the reservation, or takes a seat
  int close_session();  // releases; always PAM_SUCCESS

 private:
  // One try, with the configuration as it is now; nullopt: it was edited meanwhile, begin again.
  std::optional<int> try_account();
  std::optional<int> try_open_session();

  int preauth();
  void authfail();
  int check_limit();
  // Refuses a blacklisted remote host; nullopt: it is none.
  std::optional<int> refuse_blacklisted(Site& site);
  void erase_failures(Site& site) const;
  void send_off_displaced(Site& site, const Admission& admission) const;
  // With `observe`: the code if nothing is to be done but to log what would have been.
  std::optional<int> observe(Site& site, const Rulebook& rules) const;

  // What PAM does not tell: the user as the system knows it, and who calls.
  void look_up();
  Result<Config> read_config() const;
  // The path that load_config takes: empty for the default.
  std::string config_path() const { return std::string(arguments_.conf.value_or("")); }
  // The one place where a failure becomes a PAM code. `config`: set where the file could be read.
  // `code_if_allowed`: what on_error = allow means in this phase.
  int cannot_work(const Error& error, const Config* config, int code_if_allowed) const;
  int refuse(const Site& site, const Admission& admission) const;
  int refuse(const std::string& fields, const std::string& message) const;

  Standing standing(const Config& config) const;
  Rulebook rules(const Config& config) const;
  bool is_own(const Held& held) const;
  void list_exempt(const Config& config) const;
  // Gives back a reservation of this transaction that is of no use any more.
  void give_back(const Held& held) const;
  void remember(const Config& config, const Admission& admission, Held::What what) const;
  // Closes what another handle of this process opened, if the environment names it.
  void release_unheld(const HostIdentity& host);
  void put_hint(SlotRef reservation) const;
  std::optional<SlotRef> hinted_reservation() const;
  void put_environment(const Admission& opened) const;
  void issue_tokens(Site& site) const;

  // One line of key=value fields in the auth log.
  void log(int priority, const char* event, const std::string& fields = {}) const;
  void debug(const char* event) const;

  pam_handle_t* pamh_;
  const PamArguments arguments_;
  Login login_;
  std::optional<unsigned> primary_group_;  // unset: no such user
};

// When there is no memory to decide anything: root is let through, on_error= of the line is obeyed.
int cannot_work_without_memory(pam_handle_t* pamh, const PamArguments& arguments,
                               int code_if_allowed) noexcept;

}  // namespace sessreg
