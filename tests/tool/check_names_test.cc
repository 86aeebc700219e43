// sessreg check: names of the configuration that the host does not know, or by another spelling.
#include "../support/catch.h"
#include "check_host.h"

namespace {

constexpr const char* kLines = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";

}  // namespace

TEST_CASE("names that the host does not know are found, with one that may have been meant") {
  Host host;
  host.stack("login", kLines);
  host.write_below_root("/etc/passwd",
                        "root:x:0:0::/root:/bin/sh\nwebmaster:x:5:5::/:/bin/sh\nbroken\n");
  host.write_below_root("/etc/group", "root:x:0:\nteachers:x:7:root\n");
  host.sandbox().configure(
      "exempt = root nobody-like-this \"two words\" @no-such-group\n"
      "reserved_for = webmastr @teacher unreachable @unreachable alice @STAFFERS\n"
      "[user root]\n"
      "[user gone]\n"
      "[group staffers]\n"
      "[group gone]\n"
      "[user unreachable]\n"
      "[service gone]\n");
  const std::string place = "~/test.conf:";
  const std::string none = ", and this host knows none of that name; ";
  CHECK(host.findings(with_own_names()) == place + "3: 'reserved_for' names the user webmastr" +
                                               none + "did you mean webmaster?\n" +  //
                                               place + "3: 'reserved_for' names the group teacher" +
                                               none + "did you mean teachers?\n" +  //
                                               place +
                                               "2: 'exempt' names the user nobody-like-this" +
                                               none + "add that user, or remove the name\n" +  //
                                               place + "2: 'exempt' names the user \"two words\"" +
                                               none + "add that user, or remove the name\n" +  //
                                               place + "2: 'exempt' names the group no-such-group" +
                                               none + "add that group, or remove the name\n" +  //
                                               place + "5: the section names the user gone" + none +
                                               "add that user, or remove the name\n" +  //
                                               place + "7: the section names the group gone" +
                                               none + "add that group, or remove the name\n" +  //
                                               place +
                                               "3: 'reserved_for' does nothing without "
                                               "'reserved_sessions'; set 'reserved_sessions', or "
                                               "remove the line\n");
  // The defaults name groups that only some hosts have.
  host.sandbox().configure("");
  CHECK(host.findings(with_own_names()) == "no findings\n");
}

TEST_CASE("users are named as a login names them") {
  Host host("exempt = ALICE\n[user \"CORP\\\\alice\"]\n[group \"CORP\\\\staffers\"]\n");
  host.stack("login", kLines);
  CHECK(host.findings(with_own_names()) ==
        "~/test.conf:2: 'exempt' names the user ALICE, who is called alice at a login; write "
        "alice\n"
        "~/test.conf:3: the section names the user CORP\\alice, who is called alice at a login; "
        "write alice\n");
  host.sandbox().configure("exempt = alice\n[user alice]\n");
  CHECK(host.findings(with_own_names()) == "no findings\n");
}
