// sessreg check: what a service whose sessions have no process needs.
#include <sys/stat.h>

#include "../support/catch.h"
#include "check_host.h"
#include "daemon_process.h"

namespace {

constexpr const char* kAccount = "account required pam_sessreg.so\n";
constexpr const char* kBoth = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";

// "[service web]" is on line 2.
std::string of_web(const std::string& what, const std::string& mend) {
  return "~/test.conf:2: [service web]: " + what + "; " + mend + "\n";
}

}  // namespace

TEST_CASE("keep needs a stack, and a user whose workers may ask") {
  Host host("[service web]\nkeep = 1h\n");
  host.stack("login", kBoth);
  CHECK(host.findings() ==
        of_web("'keep' does nothing, as no stack of that service names the site",
               "add the account line to ~/pam.d/web") +
            of_web("'keep' is set without 'clients', so that who is not root is refused",
                   "name the user of the service's workers, or write 'clients = root'"));
  host.stack("web", kAccount);
  host.sandbox().configure("[service web]\nkeep = 1h\nclients = root\n");
  CHECK(host.findings() == "no findings\n");
  // It is known to ask as root.
  std::filesystem::remove(host.pam_dir() + "/web");
  host.stack("dovecot", kBoth);
  host.sandbox().configure("[service dovecot]\nkeep = 1h\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a service that is kept needs no session line, but the account line") {
  Host host("[service web]\nkeep = 1h\nclients = root\n");
  host.stack("web", "session required pam_sessreg.so\n");
  CHECK(host.findings() ==
        "~/pam.d/web:1: a session line without an account line: 'keep' has the account phase take "
        "the seat, so nobody is counted; add 'account required pam_sessreg.so' with the same "
        "arguments\n");
}

TEST_CASE("clients need the daemon, and to be able to read the configuration") {
  Host host("[service web]\nkeep = 1h\nclients = daemon\n");
  host.stack("web", kAccount);
  const ToolOptions nowhere{
      .environment = {"SESSREG_SOCKET=" + host.sandbox().directory() + "/no"}};
  const std::string none = of_web("'keep' needs sessregd, and nobody listens on ~/no",
                                  "run 'systemctl enable --now sessregd'");
  CHECK(host.findings(nowhere) == none);
  const std::string conf = host.sandbox().directory() + "/test.conf";
  chmod(conf.c_str(), 0640);
  CHECK(host.findings(nowhere) ==
        none +
            of_web("'keep' does nothing for workers that are not root, who cannot read this file",
                   "run 'chmod o+r ~/test.conf', and 'chmod o+x' on its folder"));
  // An application needs no stack, and does not read it.
  host.stack("web", kBoth);
  host.sandbox().configure("[service web]\nclients = daemon\n");
  chmod(conf.c_str(), 0640);
  CHECK(host.findings(nowhere) == of_web("'clients' needs sessregd, and nobody listens on ~/no",
                                         "run 'systemctl enable --now sessregd'"));
}

TEST_CASE("the line of a service that is kept stands last") {
  Host host("[service web]\nkeep = 1h\nclients = root\n");
  host.stack("web",
             "account required pam_sessreg.so\n"
             "account [success=1 default=ignore] pam_unix.so\n"
             "account requisite pam_deny.so\n"
             "account required pam_permit.so\n");
  CHECK(host.findings() ==
        "~/pam.d/web:1: behind this line pam_deny.so (~/pam.d/web:3) may refuse, and by then "
        "'keep' has "
        "taken a seat; move the line behind all other account lines\n");
  host.stack("web",
             "account required pam_access.so\naccount required pam_sessreg.so\n"
             "account required pam_permit.so\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("what is no matter for keep, and what lacks it, is said") {
  Host host("[service login]\nkeep = 1h\n");
  host.stack("login", kBoth);
  CHECK(host.findings() ==
        "~/test.conf:2: [service login]: 'keep' is for services that open no session around "
        "the user's time, and this one does; remove 'keep'\n");
  host.sandbox().configure("[service web]\nclients = root\n");
  host.stack("web", kAccount);
  CHECK(host.findings() ==
        "~/pam.d/web:1: 'clients' without 'keep' is for applications that log in over the socket, "
        "and this "
        "line gives its seat back at once; set 'keep' for the service, or remove the line\n");
}

TEST_CASE("the daemon that workers ask has to serve the site") {
  Host host("[service web]\nkeep = 1h\nclients = daemon\n");
  const DaemonProcess daemon(host.sandbox());
  host.stack("web", "account required pam_sessreg.so socket=" + daemon.path() + "\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a service that is ignored is not kept") {
  Host host("ignore_services += web\n[service web]\nkeep = 1h\nclients = root\n");
  host.stack("web", kAccount);
  CHECK(host.findings() ==
        "~/test.conf:3: [service web]: 'keep' does nothing, as the service is ignored; "
        "take web out of ignore_services, or add it to only_services\n");
  host.sandbox().configure("only_services = login\n[service web]\nclients = root\n");
  CHECK_THAT(host.findings(), Catch::Contains("'clients' does nothing, as the service is ignored"));
  std::filesystem::remove(host.pam_dir() + "/web");
  // Those that are ignored because most are not counted are not, once they are described.
  host.stack("imap", kAccount);
  host.sandbox().configure("[service imap]\nkeep = 1h\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("clients that the host does not know are found") {
  Host host("[service web]\nclients = no-such-user 12345 @no-such-group @54321\n");
  host.stack("login", kBoth);
  const std::string text =
      host.findings({.environment = {"SESSREG_SOCKET=" + host.sandbox().directory() + "/no"}});
  CHECK_THAT(text, Catch::Contains(
                       "2: 'clients' of the section names the user no-such-user, and this host "
                       "knows none of that name"));
  CHECK_THAT(text, Catch::Contains("names the group no-such-group"));
  CHECK(text.find("12345") == std::string::npos);
  CHECK(text.find("54321") == std::string::npos);
}
