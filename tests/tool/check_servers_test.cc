// sessreg check: login servers that let in whom PAM refuses.
#include <sys/stat.h>

#include "../support/catch.h"
#include "check_host.h"

namespace {

constexpr const char* kLines = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";

}  // namespace

TEST_CASE("proftpd has PAM's no as the last word") {
  Host host("");
  host.stack("proftpd", kLines);
  CHECK(host.findings() == "no findings\n");  // none is installed
  const std::string mend = "; write 'AuthOrder mod_auth_pam.c* mod_auth_unix.c'\n";
  const std::string not_set =
      "~/root/etc/proftpd/proftpd.conf: AuthOrder is not set, so mod_auth_unix lets in whom PAM "
      "has "
      "refused" +
      mend;
  const auto bad = [&](const std::string& place) {
    return "~/root/etc/proftpd/" + place +
           ": with this AuthOrder mod_auth_unix lets in whom PAM has refused" + mend;
  };
  const auto write = [&](const std::string& text) {
    host.write_below_root("/etc/proftpd/proftpd.conf", text);
  };
  write("# AuthOrder mod_auth_pam.c* mod_auth_unix.c\nServerName x\n");
  CHECK(host.findings() == not_set);
  for (const char* good : {"AuthOrder mod_auth_pam.c* mod_auth_unix.c", "AuthOrder mod_auth_pam.c",
                           "authorder mod_sql.c mod_auth_pam.c* \\\n  mod_auth_unix.c",
                           "<Global>\n  AuthOrder mod_auth_pam.c*\n</Global>"}) {
    write(std::string(good) + "\n");
    CHECK(host.findings() == "no findings\n");
  }
  write("ServerName x\n\nAuthOrder mod_auth_pam.c mod_auth_unix.c\n");
  CHECK(host.findings() == bad("proftpd.conf:3"));
  write("AuthOrder mod_auth_unix.c mod_auth_pam.c*\n");
  CHECK(host.findings() == bad("proftpd.conf:1"));

  // In a file that is included; a virtual host has its own.
  write("<VirtualHost 192.0.2.1>\nAuthOrder mod_auth_pam.c*\n</VirtualHost>\n");
  CHECK(host.findings() == not_set);
  write(
      "Include /etc/proftpd/conf.d/\n<VirtualHost x>\nAuthOrder mod_auth_unix.c\n</VirtualHost>\n");
  host.write_below_root("/etc/proftpd/conf.d/PAM.conf", "AuthOrder mod_auth_pam.c*\n");
  CHECK(host.findings() == bad("proftpd.conf:3"));
  write("Include /etc/proftpd/conf.d/P*.conf\nInclude /etc/proftpd/proftpd.conf\n");
  CHECK(host.findings() == "no findings\n");

  // Where its sessions are not counted, it does not matter.
  write("\n");
  host.sandbox().configure("ignore_services += proftpd\n");
  CHECK(host.findings() == "no findings\n");
  host.sandbox().configure("");
  REQUIRE(mkfifo((host.root() + "/etc/proftpd/conf.d/fifo").c_str(), 0644) == 0);
  write("Include /etc/proftpd/conf.d\n");
  CHECK(host.findings() ==
        "~/root/etc/proftpd/conf.d/fifo: is not a regular file; put a text file there\n");
}

TEST_CASE("smbd asks for account and session") {
  const Host host("");
  host.stack("samba", kLines);
  CHECK(host.findings() == "no findings\n");
  const std::string tail =
      ", so smbd asks for no account and no session; write 'obey pam restrictions = yes' in "
      "[global]\n";
  const auto write = [&](const std::string& text) {
    host.write_below_root("/etc/samba/smb.conf", text);
  };
  const std::string not_set =
      "~/root/etc/samba/smb.conf: 'obey pam restrictions' is not set, and its default is no" + tail;
  write("[global]\n# obey pam restrictions = yes\n; obey pam restrictions = yes\n");
  CHECK(host.findings() == not_set);
  write("[global]\n[homes]\nobey pam restrictions = yes\n");
  CHECK(host.findings() == not_set);
  write("obey pam restrictions = yes\n");
  CHECK(host.findings() == "no findings\n");
  write("[ Global ]\nObey PAM \\\n Restrictions=True\n");
  CHECK(host.findings() == "no findings\n");
  write("[global]\nobey pam restrictions = yes\nobeypamrestrictions = no\n");
  CHECK(host.findings() == "~/root/etc/samba/smb.conf:3: 'obey pam restrictions' is off" + tail);
  write("[global]\ninclude = /etc/samba/%m.conf\ninclude = /etc/samba/more.conf\n");
  CHECK(host.findings() == not_set);
  host.write_below_root("/etc/samba/more.conf", "obey pam restrictions = on\n");
  CHECK(host.findings() == "no findings\n");
  std::filesystem::rename(host.pam_dir() + "/samba", host.pam_dir() + "/login");
  write("\n");
  CHECK(host.findings() == "no findings\n");
}
