// sessreg check: preauth and authfail around whatever authenticates.
#include "../support/catch.h"
#include "check_host.h"

namespace {

// Such a stack around `module`, as on Debian.
std::string stack_around(const std::string& module) {
  return "auth requisite pam_sessreg.so preauth\n"
         "auth [success=2 default=ignore] " +
         module +
         "\n"
         "auth [default=die] pam_sessreg.so authfail\n"
         "auth requisite pam_deny.so\n"
         "auth required pam_permit.so\n";
}

}  // namespace

TEST_CASE("preauth and authfail are checked around every module that can authenticate") {
  const Host host("");
  for (const std::string module :
       {"pam_unix.so", "pam_sss.so", "pam_krb5.so", "pam_winbind.so", "pam_ldap.so",
        "pam_google_authenticator.so", "pam_u2f.so", "pam_radius_auth.so", "pam_oath.so",
        "pam_nobody_knows_it.so", "/opt/lib/pam_own.so", "pam_exec.so expose_authtok /opt/ask"}) {
    CAPTURE(module);
    const std::string name = module.substr(module.rfind("pam_"), module.find(".so") + 3);
    const std::string shown = name.substr(0, name.find(' '));
    host.stack("login", stack_around(module));
    CHECK(host.findings() == "no findings\n");
    host.stack("login", "auth sufficient " + module +
                            "\n"
                            "auth requisite pam_sessreg.so preauth\n"
                            "auth [default=die] pam_sessreg.so authfail\n");
    CHECK_THAT(host.findings(),
               Catch::StartsWith("~/pam.d/login:2: preauth stands behind " + shown + ", which "));
    host.stack("login",
               "auth requisite pam_sessreg.so preauth\n"
               "auth [default=die] pam_sessreg.so authfail\n"
               "auth sufficient " +
                   module + "\n");
    CHECK_THAT(host.findings(),
               Catch::StartsWith("~/pam.d/login:2: authfail stands before " + shown +
                                 ", so that "
                                 "it counts logins that have not failed; "));
    host.stack("login",
               "auth requisite pam_sessreg.so preauth\n"
               "auth required " +
                   module +
                   "\n"
                   "auth [default=die] pam_sessreg.so authfail\n");
    CHECK_THAT(host.findings(), Catch::StartsWith("~/pam.d/login:3: a right password leads to "
                                                  "authfail, as " +
                                                  shown + " does not skip it"));
  }
}

TEST_CASE("what authenticates nobody may stand anywhere around preauth and authfail") {
  const Host host("");
  host.stack("login",
             "auth required pam_env.so\n"
             "auth required pam_faildelay.so delay=3000000\n"
             "auth required pam_faillock.so preauth\n"
             "auth requisite pam_nologin.so\n"
             "auth sufficient pam_rootok.so\n"
             "auth required pam_exec.so /opt/log\n"
             "auth [success=ok default=ignore] pam_unheard_of.so\n" +
                 stack_around("pam_unix.so") +
                 "auth [default=die] pam_faillock.so authfail\n"
                 "auth sufficient pam_faillock.so authsucc\n"
                 "auth required pam_group.so\n"
                 "-auth optional pam_gnome_keyring.so\n"
                 "auth optional pam_unheard_of.so\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a second factor behind authfail has an authfail line of its own") {
  const Host host("");
  const std::string first = stack_around("pam_unix.so");
  host.stack("common-auth", first);
  host.stack("login", "@include common-auth\nauth required pam_google_authenticator.so nullok\n");
  CHECK(host.findings() ==
        "~/pam.d/common-auth:3: authfail stands before pam_google_authenticator.so, so that what "
        "fails there is not counted (service login); add 'auth [default=die] pam_sessreg.so "
        "authfail' behind ~/pam.d/login:2, add 'auth required pam_permit.so' behind it, and write "
        "'[success=1 ignore=1 default=ignore]' on ~/pam.d/login:2\n");
  host.stack("login",
             "@include common-auth\n"
             "auth [success=1 ignore=1 default=ignore] pam_google_authenticator.so nullok\n"
             "auth [default=die] pam_sessreg.so authfail\n"
             "auth required pam_permit.so\n");
  CHECK(host.findings() == "no findings\n");
  // The second is looked at as the first is.
  host.stack("login",
             "@include common-auth\n"
             "auth required pam_google_authenticator.so nullok\n"
             "auth [default=die] pam_sessreg.so authfail\n");
  CHECK_THAT(host.findings(),
             Catch::StartsWith("~/pam.d/login:3: a right password leads to authfail, as "));
}
