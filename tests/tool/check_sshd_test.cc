// sessreg check: what sshd is told about PAM.
#include <filesystem>

#include "../support/catch.h"
#include "check_host.h"

TEST_CASE(
    "sshd asks for keyboard-interactive last, as it has gone through the account phase then") {
  const Host host;
  host.stack("sshd", kGoodSshd);
  const auto finding = [](const std::string& place, const std::string& list,
                          const std::string& mended) {
    return "~/" + place + ": '" + list +
           "' asks for more behind keyboard-interactive, which takes a seat without that; write "
           "'" +
           mended + "'\n";
  };
  const auto findings_of = [&](const std::string& methods) {
    host.write("sshd_config", "UsePAM yes\nAuthenticationMethods " + methods + "\n");
    return host.findings();
  };
  const auto expect = [&](const std::string& list, const std::string& mended) {
    return finding("sshd_config:2", list, mended);
  };
  CHECK(findings_of("keyboard-interactive,publickey") ==
        expect("keyboard-interactive,publickey", "publickey,keyboard-interactive"));
  CHECK(findings_of("\"keyboard-interactive:pam,publickey\"") ==
        expect("keyboard-interactive:pam,publickey", "publickey,keyboard-interactive:pam"));
  CHECK(findings_of("publickey,keyboard-interactive,keyboard-interactive,password # none") ==
        expect("publickey,keyboard-interactive,keyboard-interactive,password",
               "publickey,password,keyboard-interactive"));
  for (const char* good :
       {"any", "publickey", "keyboard-interactive", "publickey,keyboard-interactive",
        "publickey,keyboard-interactive:pam", "keyboard-interactive,keyboard-interactive",
        // The account phase waits for the last method behind these.
        "password,publickey", "hostbased,publickey", "keyboard-interactive:bsdauth,publickey"})
    CHECK(findings_of(good) == "no findings\n");

  // Each list lets in by itself.
  CHECK(findings_of("publickey,password keyboard-interactive,publickey") ==
        expect("keyboard-interactive,publickey", "publickey,keyboard-interactive"));
  CHECK(findings_of("keyboard-interactive,publickey keyboard-interactive,hostbased") ==
        expect("keyboard-interactive,publickey", "publickey,keyboard-interactive") +
            expect("keyboard-interactive,hostbased", "hostbased,keyboard-interactive"));
  CHECK(findings_of("keyboard-interactive keyboard-interactive,publickey") == "no findings\n");
  CHECK(findings_of("publickey keyboard-interactive,publickey") ==
        expect("keyboard-interactive,publickey", "publickey,keyboard-interactive"));

  // The first line counts, and in each Match block the first.
  host.write("sshd_config",
             "UsePAM yes\n"
             "AuthenticationMethods publickey\n"
             "AuthenticationMethods keyboard-interactive,password\n"
             "Match User alice\n"
             "  AuthenticationMethods keyboard-interactive,publickey\n"
             "  AuthenticationMethods keyboard-interactive,hostbased\n"
             "Match Group staff\n"
             "  AuthenticationMethods=keyboard-interactive,hostbased\n");
  const std::string of_blocks =
      finding("sshd_config:5", "keyboard-interactive,publickey", "publickey,keyboard-interactive") +
      finding("sshd_config:8", "keyboard-interactive,hostbased", "hostbased,keyboard-interactive");
  CHECK(host.findings() == of_blocks);

  // A Match block ends with its file, and goes on behind what it includes.
  host.write("block.conf", "authenticationmethods Keyboard-Interactive,publickey\nMatch all\n");
  host.write("sshd_config", "UsePAM yes\nMatch User alice\nInclude block.conf\nUsePAM no\n");
  CHECK(host.findings() == finding("block.conf:1", "keyboard-interactive,publickey",
                                   "publickey,keyboard-interactive"));
  host.write("sshd_config",
             "UsePAM yes\nInclude block.conf\nAuthenticationMethods publickey,password\n");
  CHECK(host.findings() == finding("block.conf:1", "keyboard-interactive,publickey",
                                   "publickey,keyboard-interactive"));

  // PAM is not asked, or not this module.
  host.write("sshd_config", "UsePAM no\nAuthenticationMethods keyboard-interactive,publickey\n");
  CHECK(host.findings() ==
        "~/sshd_config:1: UsePAM is 'no', so sshd asks no PAM stack; write 'UsePAM yes'\n");
  std::filesystem::rename(host.pam_dir() + "/sshd", host.pam_dir() + "/login");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("sshd has to ask PAM, and not to trust reverse DNS") {
  const Host host;
  host.stack("sshd", kGoodSshd);
  const std::string not_set =
      "~/sshd_config: UsePAM is not set, and its default is no, so sshd asks no PAM stack; write "
      "'UsePAM yes'\n";
  host.write("sshd_config", "#UsePAM yes\n");
  CHECK(host.findings() == not_set);
  host.write("sshd_config", "Match User alice\nUsePAM yes\n");
  CHECK(host.findings() == not_set);
  host.write("sshd_config", "Port 22\n usepam=\"No\" # comment\nUsePAM yes\n");
  CHECK(host.findings() ==
        "~/sshd_config:2: UsePAM is 'no', so sshd asks no PAM stack; write 'UsePAM yes'\n");

  // The first line that sets it counts, and a file that is included is read where it is named.
  std::filesystem::create_directory(host.pam_dir() + "/../sshd_config.d");
  host.write("sshd_config.d/a.conf", "Match User alice\n");
  host.write("sshd_config.d/b.conf", "UsePAM yes\nUseDNS yes\n");
  host.write("sshd_config", "Include sshd_config.d/*.conf\nUsePAM no\nUseDNS no\n");
  CHECK(host.findings() ==
        "~/sshd_config.d/b.conf:2: UseDNS is yes, so failed authentications are counted by host "
        "name, and whoever controls the reverse DNS of an address can change it at will; write "
        "'UseDNS no'\n");
  host.write("sshd_config.d/b.conf", "Include sshd_config.d/*.conf\nUsePAM yes\n");
  CHECK(host.findings() == "no findings\n");

  // Without an sshd, or without the module in its stack, it does not matter.
  std::filesystem::remove(host.pam_dir() + "/../sshd_config");
  CHECK(host.findings() == "no findings\n");
  host.write("sshd_config", "UsePAM no\n");
  std::filesystem::rename(host.pam_dir() + "/sshd", host.pam_dir() + "/login");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("sshd may ask another PAM service, and have its configuration elsewhere") {
  Host host;
  host.stack("sshd", kGoodSshd);
  const auto finding = [](const std::string& place, const std::string& service) {
    return place + ": sshd asks the PAM service " + service +
           ", whose stack does not name pam_sessreg.so, so that these logins are not counted; add "
           "the account and session lines to ~/pam.d/" +
           service + "\n";
  };
  host.write("sshd_config", "pamservicename ssh-In\nPAMServiceName sshd\nUsePAM no\n");
  CHECK(host.findings() == finding("~/sshd_config:1", "ssh-In"));
  host.stack("ssh-In", kGoodSshd);
  CHECK(host.findings() ==
        "~/sshd_config:3: UsePAM is 'no', so sshd asks no PAM stack; write 'UsePAM yes'\n");
  // It is that service's stack that counts.
  std::filesystem::remove(host.pam_dir() + "/sshd");
  CHECK_THAT(host.findings(), Catch::Contains("UsePAM is 'no'"));
  host.write("sshd_config", "UsePAM no\n");
  CHECK(host.findings() == "no findings\n");

  // A Match block may have one of its own.
  host.write("sshd_config",
             "UsePAM yes\n"
             "PAMServiceName ssh-In\n"
             "Match Group sftp\n"
             "  PAMServiceName sftp\n"
             "  PAMServiceName other-again\n");
  CHECK(host.findings() == finding("~/sshd_config:4", "sftp"));
  host.write("sshd_config", "UsePAM yes\nMatch Group in\nPAMServiceName ssh-In\n");
  CHECK(host.findings() == finding("~/sshd_config", "sshd"));

  // A distribution may keep its file out of /etc, and files that both include in /etc.
  host.has_sshd_below_root();
  host.stack("sshd", kGoodSshd);
  CHECK(host.findings() == "no findings\n");
  host.write_below_root("/usr/etc/ssh/sshd_config", "Include more.conf\nUsePAM no\n");
  CHECK(host.findings() ==
        "~/root/usr/etc/ssh/sshd_config:2: UsePAM is 'no', so sshd asks no PAM stack; write "
        "'UsePAM yes'\n");
  host.write_below_root("/etc/ssh/more.conf", "PAMServiceName gone\n");
  CHECK(host.findings() == finding("~/root/etc/ssh/more.conf:1", "gone"));
  host.write_below_root("/etc/ssh/sshd_config", "UsePAM yes\n");
  CHECK(host.findings() == "no findings\n");
}
