#include "sessreg/lint/auth_modules.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace sessreg {
namespace {

constexpr std::string_view kPasswordModules[] = {"pam_unix.so", "pam_sss.so", "pam_ldap.so",
                                                 "pam_krb5.so", "pam_winbind.so"};

// They look at nothing that the user knows or has: they set things up, count, log, delay, ask who it
// is and where from, or always answer the same. Theirs is no authentication that could fail for a
// wrong password. Without "pam_" and ".so".
constexpr std::string_view kOthers =
    " abl access afs_session cap debug deny echo ecryptfs elogind env faildelay faillock "
    "filter fscrypt gdm geoip gnome_keyring group issue keyinit kwallet kwallet5 lastlog "
    "lastlog2 limits listfile localuser loginuid mail mkhomedir motd mount namespace "
    "nologin permit rootok securetty selinux selinux_permit sepermit sessreg setquota "
    "shells shield stress succeed_if systemd systemd_loadkey tally tally2 time timestamp "
    "tmpdir tty_audit umask usertype warn wheel xauth ";

bool is_other(const PamLine& line) {
  std::string_view name = line.module_name();
  if (!name.starts_with("pam_") || !name.ends_with(".so")) return false;
  name = name.substr(4, name.size() - 7);
  return kOthers.find(" " + std::string(name) + " ") != std::string_view::npos;
}

bool has_argument(const PamLine& line, std::string_view argument) {
  return std::find(line.arguments.begin(), line.arguments.end(), argument) != line.arguments.end();
}

}  // namespace

bool is_password_module(const PamLine& line) {
  return std::find(std::begin(kPasswordModules), std::end(kPasswordModules), line.module_name()) !=
         std::end(kPasswordModules);
}

bool can_authenticate(const PamLine& line) {
  using Kind = PamAction::Kind;
  if (is_password_module(line)) return true;
  if (line.is_substack() || is_other(line)) return false;
  // A program is told the password only if its line says so.
  if (line.module_name() == "pam_exec.so" && !has_argument(line, "expose_authtok")) return false;
  const Kind success = action_on(line.control, "success").kind;
  if (success == Kind::done || success == Kind::jump) return true;
  return success == Kind::ok && action_on(line.control, "auth_err").kind != Kind::ignore;
}

}  // namespace sessreg
