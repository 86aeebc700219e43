#include "sessreg/lint/auth_modules.h"

#include <algorithm>
#include <span>
#include <string_view>

namespace sessreg {
namespace {

constexpr std::string_view kPasswordModules[] = {"pam_unix.so", "pam_sss.so", "pam_ldap.so",
                                                 "pam_krb5.so", "pam_winbind.so"};

// They look at nothing that the user knows or has: they set things up, count, log, delay, ask who it
// is and where from, or always answer the same. Theirs is no authentication that could fail for a
// wrong password.
constexpr std::string_view kOthers[] = {"pam_abl.so",
                                        "pam_access.so",
                                        "pam_afs_session.so",
                                        "pam_cap.so",
                                        "pam_debug.so",
                                        "pam_deny.so",
                                        "pam_echo.so",
                                        "pam_ecryptfs.so",
                                        "pam_env.so",
                                        "pam_faildelay.so",
                                        "pam_faillock.so",
                                        "pam_filter.so",
                                        "pam_fscrypt.so",
                                        "pam_gdm.so",
                                        "pam_geoip.so",
                                        "pam_gnome_keyring.so",
                                        "pam_group.so",
                                        "pam_issue.so",
                                        "pam_keyinit.so",
                                        "pam_kwallet.so",
                                        "pam_kwallet5.so",
                                        "pam_lastlog.so",
                                        "pam_lastlog2.so",
                                        "pam_limits.so",
                                        "pam_listfile.so",
                                        "pam_localuser.so",
                                        "pam_loginuid.so",
                                        "pam_mail.so",
                                        "pam_mkhomedir.so",
                                        "pam_motd.so",
                                        "pam_mount.so",
                                        "pam_namespace.so",
                                        "pam_nologin.so",
                                        "pam_permit.so",
                                        "pam_rootok.so",
                                        "pam_securetty.so",
                                        "pam_selinux.so",
                                        "pam_selinux_permit.so",
                                        "pam_sepermit.so",
                                        "pam_sessreg.so",
                                        "pam_setquota.so",
                                        "pam_shells.so",
                                        "pam_shield.so",
                                        "pam_stress.so",
                                        "pam_succeed_if.so",
                                        "pam_systemd.so",
                                        "pam_systemd_loadkey.so",
                                        "pam_tally.so",
                                        "pam_tally2.so",
                                        "pam_time.so",
                                        "pam_timestamp.so",
                                        "pam_tmpdir.so",
                                        "pam_tty_audit.so",
                                        "pam_umask.so",
                                        "pam_usertype.so",
                                        "pam_warn.so",
                                        "pam_wheel.so",
                                        "pam_xauth.so"};

bool is_one_of(std::span<const std::string_view> names, const PamLine& line) {
  return std::find(names.begin(), names.end(), line.module_name()) != names.end();
}

bool has_argument(const PamLine& line, std::string_view argument) {
  return std::find(line.arguments.begin(), line.arguments.end(), argument) != line.arguments.end();
}

}  // namespace

bool is_password_module(const PamLine& line) {
  return is_one_of(kPasswordModules, line);
}

bool can_authenticate(const PamLine& line) {
  using Kind = PamAction::Kind;
  if (is_password_module(line)) return true;
  if (line.is_substack() || is_one_of(kOthers, line)) return false;
  // A program is told the password only if its line says so.
  if (line.module_name() == "pam_exec.so" && !has_argument(line, "expose_authtok")) return false;
  const Kind success = action_on(line.control, "success").kind;
  if (success == Kind::done || success == Kind::jump) return true;
  return success == Kind::ok && action_on(line.control, "auth_err").kind != Kind::ignore;
}

}  // namespace sessreg
