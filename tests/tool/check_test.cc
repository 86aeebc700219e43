// sessreg check.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../support/catch.h"
#include "base/hash.h"
#include "check_host.h"
#include "registry/layout.h"
#include "registry/registry.h"

using namespace sessreg;

TEST_CASE("a good stack has no findings") {
  const Host host;
  host.stack("sshd", kGoodSshd);
  CHECK(host.findings() == "no findings\n");
  CHECK(host.check({"--json"}).code == 0);
  CHECK(host.check({"--json"}).json() == nlohmann::json::array());
}

TEST_CASE("a finding is a place, what is wrong, and the mend") {
  const Host host("sessions_limit = 9\n");
  host.stack("login", "account required pam_sessreg.so\n");
  CHECK(host.findings() ==
        "~/pam.d/login:1: an account line without a session line: the seat it reserves is given "
        "back, and the session is not counted; add 'session required pam_sessreg.so' with the same "
        "arguments\n");
  const ToolResult result = host.check({"--json"});
  CHECK(result.code == 1);
  REQUIRE(result.json().size() == 1);
  CHECK(result.json()[0]["place"] == host.pam_dir() + "/login:1");
  CHECK(result.json()[0]["mend"] ==
        "add 'session required pam_sessreg.so' with the same arguments");
}

TEST_CASE("each mistake in a stack is found") {
  struct Mistake {
    const char* stack;
    const char* findings;
  };
  const Mistake mistakes[] = {
      {"session required pam_sessreg.so\n",
       "~/pam.d/login:1: a session line without an account line: who is refused is refused late, "
       "and 'ssh -N' stays connected; add 'account required pam_sessreg.so' with the same "
       "arguments\n"},
      {"account required pam_sessreg.so\n"
       "session optional pam_systemd.so\n"
       "session required pam_sessreg.so\n",
       "~/pam.d/login:3: the session line stands behind pam_systemd.so, which has made a session "
       "by the time this one is refused; move it before ~/pam.d/login:2\n"},
      {"account required pam_sessreg.so\n"
       "-session optional pam_elogind.so\n"
       "session required pam_sessreg.so\n",
       "~/pam.d/login:3: the session line stands behind pam_elogind.so, which has made a session "
       "by the time this one is refused; move it before ~/pam.d/login:2\n"},
      // The lines of two sites are no pair.
      {"account required pam_sessreg.so\n"
       "session required pam_sessreg.so conf=~/test.conf\n",
       "~/pam.d/login:1: an account line without a session line: the seat it reserves is given "
       "back, and the session is not counted; add 'session required pam_sessreg.so' with the same "
       "arguments\n"
       "~/pam.d/login:2: a session line without an account line: who is refused is refused late, "
       "and 'ssh -N' stays connected; add 'account required pam_sessreg.so' with the same "
       "arguments\n"},
      {"account optional pam_sessreg.so\n"
       "session sufficient pam_sessreg.so\n",
       "~/pam.d/login:1: with the control 'optional' a refusal does not refuse the login; write "
       "required\n"
       "~/pam.d/login:2: with the control 'sufficient' a refusal does not refuse the login; write "
       "required\n"},
      {"account [success=ok default=ignore] pam_sessreg.so\n"
       "session [success=ok perm_denied=die default=ignore] pam_sessreg.so\n",
       "~/pam.d/login:1: with the control 'success=ok default=ignore' a refusal does not refuse "
       "the login; write required\n"},
      {"account requird pam_sessreg.so\n"
       "session required pam_sessreg.so\n",
       "~/pam.d/login:1: libpam cannot read the control 'requird', and lets every login fail; "
       "write required\n"},
      {"acount required pam_sessreg.so\n",
       "~/pam.d/login:1: 'acount' is no type of a PAM line, so libpam lets every login fail; write "
       "auth, account or session\n"},
      {"account required pam_sessreg.so onerror=allow quite ON-ERROR=deny nonsense\n"
       "session required pam_sessreg.so on_error=maybe preauth\n",
       "~/pam.d/login:1: unknown argument 'onerror=allow' is ignored; did you mean on_error=?\n"
       "~/pam.d/login:1: unknown argument 'quite' is ignored; did you mean quiet?\n"
       "~/pam.d/login:1: unknown argument 'ON-ERROR=deny' is ignored; did you mean on_error=?\n"
       "~/pam.d/login:1: unknown argument 'nonsense' is ignored; remove it; pam_sessreg(8) lists "
       "the arguments\n"
       "~/pam.d/login:2: 'on_error=maybe' is ignored; write on_error=deny or on_error=allow\n"
       "~/pam.d/login:2: preauth does nothing on a line of type session; move it to an auth "
       "line\n"},
      {"account required pam_sessreg.so conf=sessreg.conf\n"
       "session required pam_sessreg.so site=../x\n",
       "~/pam.d/login:1: 'conf=sessreg.conf' is not an absolute path; write the whole path\n"
       "~/pam.d/login:2: '../x' cannot be the name of a site; use 1 to 64 of A-Z a-z 0-9 _ . -, a "
       "letter, digit or _ first\n"},
      {"account required pam_sessreg.so conf=\n"
       "session required pam_sessreg.so conf=\n",
       "~/pam.d/login:1: 'conf=' is not an absolute path; write the whole path\n"
       "~/pam.d/login:2: 'conf=' is not an absolute path; write the whole path\n"},
      {"account required pam_sessreg.so conf=/none/x.conf\n"
       "session required pam_sessreg.so conf=/none/x.conf\n",
       "~/pam.d/login:1: /none/x.conf does not exist; create it (an empty file means the "
       "defaults)\n"
       "~/pam.d/login:2: /none/x.conf does not exist; create it (an empty file means the "
       "defaults)\n"},
      {"account required /none/pam_sessreg.so\n"
       "session required pam_sessreg.so\n",
       "~/pam.d/login:1: /none/pam_sessreg.so does not exist; install the module there, or name it "
       "without a directory\n"},
      {"auth requisite pam_sessreg.so preauth\n",
       "~/pam.d/login:1: preauth without authfail: no failed authentication is counted; add 'auth "
       "[default=die] pam_sessreg.so authfail' behind what authenticates\n"},
      {"auth sufficient pam_unix.so\n"
       "auth [default=die] pam_sessreg.so authfail\n",
       "~/pam.d/login:2: authfail without preauth: passwords of a blacklisted host are still "
       "tried; add 'auth requisite pam_sessreg.so preauth' before ~/pam.d/login:1\n"},
      {"auth sufficient pam_unix.so\n"
       "auth requisite pam_sessreg.so preauth\n"
       "auth [default=die] pam_sessreg.so authfail\n",
       "~/pam.d/login:2: preauth stands behind pam_unix.so, which has looked at the password by "
       "then; move it before ~/pam.d/login:1\n"},
      {"auth requisite pam_sessreg.so preauth\n"
       "auth [default=die] pam_sessreg.so authfail\n"
       "auth sufficient pam_sss.so\n",
       "~/pam.d/login:2: authfail stands before pam_sss.so, so that it counts logins that have not "
       "failed; move it behind ~/pam.d/login:3\n"},
      {"auth requisite pam_sessreg.so preauth\n"
       "auth required pam_unix.so\n"
       "auth [default=die] pam_sessreg.so authfail\n",
       "~/pam.d/login:3: a right password leads to authfail, as pam_unix.so does not skip it on "
       "success; add 'auth required pam_permit.so' behind ~/pam.d/login:3, and write '[success=1 "
       "default=ignore]' on ~/pam.d/login:2\n"},
      {"auth requisite pam_sessreg.so preauth\n"
       "auth [success=1 default=ignore] pam_unix.so\n"
       "auth [default=die] pam_sessreg.so authfail\n"
       "auth requisite pam_deny.so\n"
       "auth required pam_permit.so\n",
       "~/pam.d/login:3: a right password leads to pam_deny.so behind authfail, as pam_unix.so "
       "does not skip it on success; write '[success=2 default=ignore]' on ~/pam.d/login:2\n"},
      {"auth optional pam_sessreg.so preauth\n"
       "auth sufficient pam_unix.so\n"
       "auth [default=die] pam_sessreg.so authfail\n",
       "~/pam.d/login:1: with the control 'optional' a refusal does not refuse the login; write "
       "requisite\n"},
  };
  const Host host("");
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.stack);
    std::string stack = mistake.stack;
    if (const std::size_t at = stack.find('~'); at != std::string::npos)
      stack.replace(at, 1, host.pam_dir() + "/..");
    host.stack("login", stack);
    CHECK(host.findings() == mistake.findings);
  }
}

TEST_CASE("a control that refuses is no finding, however it is written") {
  const Host host("");
  host.stack("login",
             "ACCOUNT [success=ok new_authtok_reqd=ok ignore=ignore default=bad] pam_sessreg.so\n"
             "session Requisite \\\n"
             "   pam_sessreg.so \\\n"
             "   [conf=" +
                 host.sandbox().conf_path() +
                 "] # comment \\\n"
                 "account required pam_sessreg.so conf=" +
                 host.sandbox().conf_path() +
                 "\n"
                 "session required pam_sessreg.so\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a stack that has nothing of ours is none of our concern") {
  const Host host("");
  host.stack("sshd", kGoodSshd);
  // As Debian's xpra has it, which names a file of Fedora.
  const std::string others =
      "\xef\xbb\xbf"
      "account required pam_nologin.so\r\n"
      "account include system-auth\n"
      "session sufficient pam_systemd.so class=background type=x11\n"
      "session include\n"
      "session include xpra\n";
  host.stack("xpra", others);
  CHECK(host.findings() == "no findings\n");
  host.stack("xpra", others + "account required pam_sessreg.so\n");
  const std::string found = host.findings();
  CHECK_THAT(found, Catch::Contains("~/pam.d/xpra:1: begins with a byte order mark"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/xpra:1: ends with a carriage return"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/xpra:2: includes system-auth, which does not exist"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/xpra:4: an include names no file"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/xpra:5: files include each other"));
}

TEST_CASE("what an editor of another system leaves in a stack is found, and the lines are read") {
  const Host host("");
  host.stack("login",
             "\xef\xbb\xbf# by an editor\n"
             "account required pam_sessreg.so\n"
             "session required pam_sessreg.so\n");
  CHECK(host.findings() ==
        "~/pam.d/login:1: begins with a byte order mark, so that libpam does not know the type of "
        "the line, and lets every password login fail; save the file without one\n");
  host.stack("login",
             "account required pam_sessreg.so\n"
             "session \\\r\n"
             "required pam_sessreg.so quiet\r\n"
             "\r\n");
  CHECK(host.findings() ==
        "~/pam.d/login:2: ends with a carriage return, which libpam takes for part of the last "
        "module or argument, so that it finds neither; save the file with Unix line ends\n");
}

TEST_CASE("a host on which no stack names the module is a finding") {
  const Host host("");
  host.stack("sshd", "account required pam_unix.so # pam_sessreg.so\n");
  host.stack("sshd.dpkg-old", kGoodSshd);
  CHECK(host.findings() ==
        "~/pam.d: no stack names pam_sessreg.so, so no login is counted; add the account and "
        "session lines that pam_sessreg(8) shows\n");
}

TEST_CASE("includes are followed, and what is only included is no service") {
  const Host host("");
  host.stack("common-account", "account required pam_sessreg.so\n");
  host.stack("common-session", "session required pam_sessreg.so\n");
  host.stack("login", "@include common-account\n@include common-session\n");
  host.stack("ftp", "account include common-account\nsession substack common-session\n");
  CHECK(host.findings() == "no findings\n");
  host.stack("web", "@include common-account\n");
  // These count no sessions, whatever their stacks say.
  host.stack("cron", "@include common-account\n");
  CHECK(host.findings() ==
        "~/pam.d/common-account:1: an account line without a session line: the seat it reserves is "
        "given back, and the session is not counted (service web); add 'session required "
        "pam_sessreg.so' with the same arguments\n");
  host.stack("web",
             "account include " + host.pam_dir() + "/common-account\nsession include gone\n");
  CHECK_THAT(host.findings(), Catch::StartsWith("~/pam.d/web:2: includes gone, which does not "
                                                "exist; create it, or remove the line\n"));
}

TEST_CASE("the success of a substack comes back to the lines behind it") {
  const Host host("");
  host.stack("password", "auth sufficient pam_unix.so\nauth required pam_deny.so\n");
  host.stack("login",
             "auth requisite pam_sessreg.so preauth\n"
             "auth substack password\n"
             "auth [default=die] pam_sessreg.so authfail\n");
  CHECK_THAT(host.findings(), Catch::StartsWith("~/pam.d/login:3: a right password leads to "
                                                "authfail, as pam_unix.so does not skip it"));
  host.stack("login",
             "auth requisite pam_sessreg.so preauth\n"
             "auth include password\n"
             "auth [default=die] pam_sessreg.so authfail\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a line that another one's success skips is found") {
  const Host host("");
  const std::string unix_block =
      "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n"
      "account requisite pam_deny.so\n"
      "account required pam_permit.so\n";
  const std::string session = "session required pam_sessreg.so\n";
  // As pam-auth-update writes it where libpam-sss is installed.
  host.stack("common-account",
             unix_block + "account sufficient pam_localuser.so\naccount required pam_sessreg.so\n");
  host.stack("login", "@include common-account\n" + session);
  CHECK(
      host.findings() ==
      "~/pam.d/common-account:5: the success of pam_localuser.so (~/pam.d/common-account:4) skips "
      "this line: who is refused is refused late, and 'ssh -N' stays connected (service login); "
      "move it before ~/pam.d/common-account:4\n");
  host.stack("common-account", "account required pam_sessreg.so\n" + unix_block +
                                   "account sufficient pam_localuser.so\n");
  CHECK(host.findings() == "no findings\n");
  host.stack("common-account", unix_block);

  SECTION("behind an include, as on Red Hat, and not behind a substack") {
    host.stack("password-auth", "account sufficient pam_usertype.so issystem\n");
    host.stack("login",
               "account include password-auth\naccount required pam_sessreg.so\n" + session);
    CHECK_THAT(host.findings(), Catch::Contains("the success of pam_usertype.so"));
    host.stack("login",
               "account substack password-auth\naccount required pam_sessreg.so\n" + session);
    CHECK(host.findings() == "no findings\n");
  }
  SECTION("between a jump and its target") {
    host.stack("login",
               "account [success=1 default=ignore] pam_unix.so\n"
               "account required pam_sessreg.so\n"
               "account required pam_permit.so\n" +
                   session);
    CHECK_THAT(host.findings(), Catch::StartsWith("~/pam.d/login:2: the success of pam_unix.so "
                                                  "(~/pam.d/login:1) skips this line: who is "));
  }
  SECTION("in the session stack") {
    host.stack("login",
               "account required pam_sessreg.so\n"
               "session sufficient pam_unix.so\n" +
                   session);
    CHECK(host.findings() ==
          "~/pam.d/login:3: the success of pam_unix.so (~/pam.d/login:2) skips this line: the "
          "session is not counted; move it before ~/pam.d/login:2\n");
  }
  SECTION("unless the administrator says whom it does not concern") {
    host.stack("login",
               "account [success=1 default=ignore] pam_succeed_if.so user ingroup staff\n"
               "account required pam_sessreg.so\n"
               "session [success=1 default=ignore] pam_succeed_if.so user ingroup staff\n" +
                   session);
    CHECK(host.findings() == "no findings\n");
  }
  SECTION("and jumps that end before it are none of its concern") {
    host.stack("login", unix_block + "account required pam_sessreg.so\n" +
                            "session [default=1] pam_permit.so\n"
                            "session requisite pam_deny.so\n"
                            "session required pam_permit.so\n" +
                            session);
    CHECK(host.findings() == "no findings\n");
  }
}

TEST_CASE("hostile files are findings, or nothing, but never the end") {
  const Host host("");
  host.stack("login",
             "account required pam_sessreg.so \x1b[2J\xff\n"
             "session required pam_sessreg.so\n");
  host.stack("self", "account required pam_sessreg.so\n@include self\n");
  host.stack("wide", "@include wide\n@include wide\n@include wide\n");
  host.stack("binary", std::string("\0[\\]]\0 [ [ \\\n\\\n#\\\n\r\\", 20));
  host.stack("open", "account [ pam_sessreg");
  host.stack("large", std::string((1u << 20) + 1, ' '));
  host.stack("evil\x1b[2J", "account required pam_sessreg.so\n");
  REQUIRE(mkfifo((host.pam_dir() + "/fifo").c_str(), 0644) == 0);
  REQUIRE(symlink("/dev/zero", (host.pam_dir() + "/zero").c_str()) == 0);
  REQUIRE(symlink("loop", (host.pam_dir() + "/loop").c_str()) == 0);
  const std::string found = host.findings();
  CHECK_THAT(found, !Catch::Contains("\x1b"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/fifo: is not a regular file; "));
  CHECK_THAT(found, Catch::Contains("~/pam.d/zero: is not a regular file; "));
  CHECK_THAT(found, Catch::Contains("~/pam.d/large: is larger than 1048576 bytes; "));
  CHECK_THAT(found,
             Catch::Contains("~/pam.d/self:2: files include each other more than 16 deep; "));
  CHECK_THAT(found, Catch::Contains("the stack of wide has more lines than can be checked; "));
  CHECK_THAT(found,
             Catch::Contains("~/pam.d/login:1: unknown argument '\\x1b[2J\\xff' is ignored"));
  CHECK_THAT(found, Catch::Contains("~/pam.d/evil\\x1b[2J:1: an account line without"));
  CHECK(host.check({"--json"}).code == 1);
}

TEST_CASE("failures that no line counts are a finding") {
  const Host host;
  host.stack("login", "account required pam_sessreg.so\nsession required pam_sessreg.so\n");
  CHECK(host.findings() ==
        "~/test.conf: 'max_failed_auth_per_host' is 3, but no stack has an authfail line for the "
        "site, so nothing is counted; add the auth lines that pam_sessreg(8) shows\n");
}

TEST_CASE("where nothing begins an audit session nothing that is left can be counted") {
  const char* const lines = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";
  const Host host("[service login]\ncount_leftovers = any\n[service cron]\ncount_leftovers = no\n");
  host.stack("cron", lines);
  host.stack("vsftpd", lines);
  SECTION("not at all") {
    host.stack("login", lines);
  }
  SECTION("behind") {
    host.stack("login", std::string(lines) + "session required pam_loginuid.so\n");
  }
  SECTION("before") {
    host.stack("login", std::string("session required pam_loginuid.so\n") + lines);
    CHECK(host.findings() == "no findings\n");
    return;
  }
  CHECK(host.findings() ==
        "~/pam.d/login:2: no pam_loginuid.so before the session line begins an audit session, so "
        "that count_leftovers counts nothing; add 'session required pam_loginuid.so' before it\n");
}

TEST_CASE("a service that opens no sessions is not asked for a session line") {
  const Host host("ignore_services = cron su sudo systemd-user\n");
  for (const char* service : {"kermit", "imap", "polkit-1"})
    host.stack(service, "account required pam_sessreg.so\n");
  CHECK(host.findings() == "no findings\n");
  host.stack("imap4", "account required pam_sessreg.so\n");
  CHECK_THAT(host.findings(),
             Catch::StartsWith("~/pam.d/imap4:1: an account line without a session"));
}

TEST_CASE("services that lead back to an open session are told from those that do not") {
  const char* const lines = "account required pam_sessreg.so\nsession required pam_sessreg.so\n";
  const auto findings = [&](const char* configuration) {
    const Host host(configuration);
    for (const char* service : {"lightdm", "lightdm-autologin", "my-greeter", "login"})
      host.stack(service, lines);
    return host.findings();
  };
  CHECK(findings("sessions_limit = 3\n") == "no findings\n");
  CHECK(findings("reattach_services = lightdm my-greeter\n") == "no findings\n");
  CHECK(findings("reattach_services =\n") == "no findings\n");
  CHECK(findings("reattach_services = lightdm\nignore_services += login\n") == "no findings\n");
  CHECK(findings("reattach_services = my-greeter\n") ==
        "~/pam.d/lightdm:1: reattach_services does not name this service, so that at the limit "
        "nobody can come back by it to a session of their own; add it to reattach_services\n");
  CHECK(findings("reattach_services = lightdm login\n") ==
        "~/pam.d/login:1: reattach_services names this service, which leads back to no open "
        "session, so that who has a session is not refused before another one opens; remove it "
        "from reattach_services\n");
}

TEST_CASE("for the whole site, not every service needs to count what is left") {
  const Host host("count_leftovers = terminal\n");
  host.stack("vsftpd", "account required pam_sessreg.so\nsession required pam_sessreg.so\n");
  CHECK(host.findings() == "no findings\n");
}

TEST_CASE("a mistake in the configuration is found with its line") {
  Host host("sessions_limit = many\n");
  host.stack("login", "account required pam_sessreg.so\nsession required pam_sessreg.so\n");
  CHECK(host.findings() ==
        "~/test.conf:2: sessions_limit: 'many' is not a number; write -1 (unlimited), 0 (admit "
        "nobody new) or a count\n");
  host.sandbox().configure("sessions_limit = 5\r\n");
  CHECK(host.findings() ==
        "~/test.conf:2: line ends with a carriage return; save the file with Unix line ends\n");
  std::ofstream(host.sandbox().conf_path()) << "\ufeffsessions_limit = 5\n";
  CHECK(host.findings() ==
        "~/test.conf:1: file begins with a byte order mark; save it without one\n");
  host.sandbox().configure("sessions_limit = many\n");
  REQUIRE(chmod(host.sandbox().conf_path().c_str(), 0666) == 0);
  CHECK(host.findings() ==
        "~/test.conf: can be written by its group or by others; run chmod go-w on it\n");
  // A file that only a stack names is read, too.
  const std::string other = host.pam_dir() + "/../other.conf";
  host.write("other.conf", "nonsense\n");
  host.sandbox().configure("");
  host.stack("login", "account required pam_sessreg.so conf=" + other +
                          "\nsession required pam_sessreg.so conf=" + other + "\n");
  CHECK(host.findings() == "~/pam.d/../other.conf:1: 'nonsense' has no '='; write KEY = VALUE\n");
}

TEST_CASE("a configuration that was named and is missing is found") {
  const Host host("");
  host.stack("login", "account required pam_sessreg.so\nsession required pam_sessreg.so\n");
  std::filesystem::remove(host.sandbox().conf_path());
  CHECK_THAT(host.findings(), Catch::StartsWith("~/test.conf: does not exist; create it (an empty "
                                                "file means the defaults)\n"));
  CHECK(host.check({"--site", "../x"}).code == 2);
}

TEST_CASE("a registry that cannot be used is found, with the mend for its site") {
  Host host("");
  host.stack("login", "account required pam_sessreg.so\nsession required pam_sessreg.so\n");
  host.sandbox().registry();
  CHECK(host.findings() == "no findings\n");
  const std::string registry = host.sandbox().registry_path();
  const std::string mend = "; run 'sessreg --conf ~/test.conf purge --rebuild'\n";
  SECTION("readable by others") {
    REQUIRE(chmod(registry.c_str(), 0644) == 0);
    CHECK(host.findings() ==
          "~/test.reg: is not a file of mode 0600 that is root's alone, with one link" + mend);
  }
  SECTION("cut short") {
    REQUIRE(truncate(registry.c_str(), 4096) == 0);
    CHECK(host.findings() == "~/test.reg: is cut short" + mend);
  }
  SECTION("of another boot") {
    std::filesystem::remove(registry);
    HostIdentity then = *host_identity();
    then.boot_id[0] ^= 1;
    auto left = Registry::open_or_create(registry, then, 4096);
    REQUIRE(left);
    left->note_daemon(1, ~std::uint64_t{0} / 2);  // a time that is still to come
    CHECK(host.findings() ==
          "~/test.reg: is left over from before the last boot; the next login replaces it\n");
  }
  SECTION("in a directory of everybody") {
    REQUIRE(chmod(host.sandbox().directory().c_str(), 0777) == 0);
    CHECK(host.findings() ==
          "~/test.reg: ~ may be written by others; put the registry in a directory that only root "
          "can write, "
          "such as /run/sessreg\n");
  }
  SECTION("made for another capacity") {
    host.sandbox().configure("capacity = 100\n");
    CHECK(host.findings() ==
          "~/test.reg: was made with a capacity of 4096, 'capacity' is 100 by now; it is made anew "
          "at the "
          "next boot (or remove it while nobody is logged in)\n");
    host.sandbox().configure("capacity = 9000\nsessions_limit = 5000\n");
    CHECK_THAT(host.findings(), Catch::Contains("has a capacity of 4096 only, "
                                                "'sessions_limit' is 5000; "));
  }
  SECTION("full of groups") {
    for (std::size_t i = 0; i < kMaxGroups; ++i)
      REQUIRE(host.sandbox().registry().group_index(i == 7 ? "bin" : "g" + std::to_string(i), 5));
    host.sandbox().configure("[group bin]\nsessions_limit = 5\n");
    CHECK(host.findings() == "no findings\n");
    host.sandbox().configure("[group daemon]\nsessions_limit = 5\n");
    CHECK(host.findings() ==
          "~/test.reg: has room for 32 groups and services with a limit, and there are 33 with "
          "those of earlier configurations; give fewer of them a limit; those of earlier "
          "configurations are forgotten at the next boot\n");
  }
}

TEST_CASE("what only root may read is a finding for others") {
  if (geteuid() != 0) {
    WARN("skipped: only root can become somebody else");
    return;
  }
  Host host;
  host.stack("sshd", kGoodSshd);
  host.sandbox().registry();
  REQUIRE(chmod(host.sandbox().conf_path().c_str(), 0644) == 0);
  REQUIRE(chmod((host.sandbox().directory() + "/sshd_config").c_str(), 0600) == 0);
  host.stack("secret", "");
  REQUIRE(chmod((host.pam_dir() + "/secret").c_str(), 0600) == 0);
  const std::string tool = host.sandbox().directory() + "/tool";
  std::filesystem::copy_file(getenv("SESSREG_TOOL"), tool);
  ToolOptions options;
  options.before_exec = [&] {
    constexpr uid_t kNobody = 65534;
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
    const std::string sshd = host.sandbox().directory() + "/sshd_config";
    execl(tool.c_str(), tool.c_str(), "--conf", host.sandbox().conf_path().c_str(), "check",
          "--pam-dir", host.pam_dir().c_str(), "--module-dir", host.module_dir().c_str(),
          "--sshd-config", sshd.c_str(), nullptr);
    _exit(127);
  };
  const ToolResult result = host.check({}, options);
  CHECK(result.code == 1);
  const std::string& directory = host.sandbox().directory();
  CHECK(result.out == directory + "/test.reg: cannot be read; run as root\n" + directory +
                          "/pam.d/secret: cannot be read; run as root\n" + directory +
                          "/sshd_config: cannot be read; run as root\n");
}
