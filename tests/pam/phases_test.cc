#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <security/pam_modules.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <set>

#include "../support/catch.h"
#include "../support/child.h"
#include "../support/mappings.h"
#include "transaction.h"

namespace {

const std::string kFull2 = "There are more than 2 active user sessions. Please try again later.";

std::vector<std::string> broken_configs() {
  return {"no_such_key = 1\n",
          "sessions_limit = ten\n",
          "sessions_limit = 1\nsessions_limit = 2\n",
          "sessions_limit\n",
          "message_site_full = " + std::string(2000, 'x') + "\n",
          "sessions_limit = 9\ncapacity = 3\n",
          "token = perhaps\n"};
}

std::size_t open_descriptors() {
  std::size_t n = 0;
  for (int fd = 0; fd < 1024; ++fd)
    n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

}  // namespace

TEST_CASE("auth, setcred and chauthtok decide nothing") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.authenticate() == kIgnored);
  CHECK(t.setcred() == kIgnored);
  CHECK(t.chauthtok() == kIgnored);
  CHECK(site.seats() == 0);
}

TEST_CASE("authfail says that the authentication failed") {
  PamSite site("", "authfail");
  Transaction t(site, "daemon");
  CHECK(t.authenticate() == PAM_AUTH_ERR);
}

TEST_CASE("account reserves, open binds, close releases") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.env("SESSREG_ID").empty());
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.env("SESSREG_ID").size() == 32);
  CHECK(t.env("SESSREG_SITE") == "default");

  auto registry = site.registry();
  int sessions = 0;
  registry.for_each([&](const sessreg::Snapshot& s) {
    ++sessions;
    CHECK(sessreg::to_hex(s.record.id) == t.env("SESSREG_ID"));
    CHECK(s.record.kind == sessreg::RecordKind::session);
    CHECK(sessreg::text_of(s.record.user) == "daemon");
    CHECK(sessreg::text_of(s.record.service) == "sshd");
    CHECK(sessreg::text_of(s.record.host) == "192.0.2.7");
    CHECK(sessreg::text_of(s.record.tty) == "ssh");
    CHECK(s.record.leader_pid == static_cast<std::uint32_t>(getpid()));
  });
  CHECK(sessions == 1);

  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(t.texts().empty());
}

TEST_CASE("a refused user gets one line, and PAM_PERM_DENIED, in account and in open") {
  PamSite site;
  Transaction a(site, "daemon"), b(site, "daemon");
  REQUIRE(a.account() == PAM_SUCCESS);
  REQUIRE(b.account() == PAM_SUCCESS);
  Transaction third(site, "daemon");
  CHECK(third.account() == PAM_PERM_DENIED);
  CHECK(third.texts() == std::vector{kFull2});
  // In a process of its own: in this one it would bind what is reserved.
  Child open_alone([&] {
    Transaction t(site, "daemon");
    if (t.open_session() != PAM_PERM_DENIED) return 1;
    if (t.texts() != std::vector{kFull2}) return 2;
    return t.env("SESSREG_ID").empty() ? 0 : 3;
  });
  CHECK(open_alone.wait() == 0);
  CHECK(site.seats() == 2);
}

TEST_CASE("the text comes with PAM_SILENT too, and not with quiet") {
  PamSite site("sessions_limit = 0\n");
  Transaction silent(site, "daemon");
  CHECK(silent.account(PAM_SILENT) == PAM_PERM_DENIED);
  CHECK(silent.texts().size() == 1);
  PamSite quiet("sessions_limit = 0\n", "quiet");
  Transaction t(quiet, "daemon");
  CHECK(t.account() == PAM_PERM_DENIED);
  CHECK(t.open_session() == PAM_PERM_DENIED);
  CHECK(t.texts().empty());
}

TEST_CASE("placeholders of the message are filled in, a drained site has its own") {
  PamSite site("sessions_limit = 0\nmessage_drain = No {user} by {service} on {site} now.\n");
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_PERM_DENIED);
  CHECK(t.texts() == std::vector<std::string>{"No daemon by sshd on default now."});
}

TEST_CASE("open without account reserves and binds in one step") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE("account twice takes one seat, for another user the first is given back") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  pam_set_item(t.handle(), PAM_USER, "nobody");
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("a user who changes between account and open takes one seat, not two") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_SUCCESS);
  pam_set_item(t.handle(), PAM_USER, "nobody");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("open twice is one session") {
  PamSite site;
  Transaction t(site, "daemon");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
}

TEST_CASE("a transaction that ends after account leaves no reservation") {
  PamSite site("sessions_limit = 5\n");
  for (int i = 0; i < 500; ++i) {
    Transaction t(site, "daemon", "login");
    REQUIRE(t.account() == PAM_SUCCESS);
  }
  CHECK(site.seats() == 0);
}

TEST_CASE("the same in processes of their own") {
  PamSite site("sessions_limit = 5\n");
  for (int i = 0; i < 50; ++i) {
    Child child([&] {
      Transaction t(site, "daemon", "login");
      return t.account();
    });
    REQUIRE(child.wait() == PAM_SUCCESS);
  }
  CHECK(site.seats() == 0);
}

TEST_CASE("cleaning up in a forked child, or silently, keeps the parent's reservation") {
  PamSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  Child other([&] {
    t.end(PAM_SUCCESS);  // another process: not its reservation
    return 0;
  });
  other.wait();
  CHECK(site.seats() == 1);
  t.end(PAM_SUCCESS | PAM_DATA_SILENT);
  CHECK(site.seats() == 1);
}

TEST_CASE("a session stays when its transaction ends with success, as pkexec's does") {
  PamSite site;
  {
    Transaction t(site, "daemon");
    REQUIRE(t.account() == PAM_SUCCESS);
    REQUIRE(t.open_session() == PAM_SUCCESS);
  }
  CHECK(site.seats() == 1);
}

TEST_CASE("a session that another module refuses goes with its transaction, not with its process") {
  PamSite site;
  site.write_refusing_service("refusing");
  // More than there are seats, in a process that lives on.
  for (int i = 0; i < 5; ++i) {
    Transaction t(site, "daemon", "refusing");
    REQUIRE(t.account() == PAM_SUCCESS);
    const int refused = t.open_session();
    REQUIRE(refused == PAM_SESSION_ERR);
    CHECK(t.env("SESSREG_ID").size() == 32);
    CHECK(site.seats() == 1);
    t.end(refused);
    CHECK(site.seats() == 0);
  }
  SECTION("also that of an exempt user, which is listed only") {
    site.write_config("exempt = daemon\n");
    Transaction t(site, "daemon", "refusing");
    REQUIRE(t.open_session() == PAM_SESSION_ERR);
    t.end(PAM_SESSION_ERR);
    int listed = 0;
    site.registry().for_each([&](const sessreg::Snapshot&) { ++listed; });
    CHECK(listed == 0);
  }
}

TEST_CASE("a session goes only with an error that its own process ends the transaction with") {
  PamSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.open_session() == PAM_SUCCESS);
  SECTION("not with that of a forked child") {
    Child child([&] {
      t.end(PAM_SESSION_ERR);  // as systemd's (sd-pam) may
      return 0;
    });
    REQUIRE(child.wait() == 0);
    CHECK(site.seats() == 1);
    t.end(PAM_SESSION_ERR);
    CHECK(site.seats() == 0);
  }
  SECTION("not silently, as before an exec, nor where data is replaced") {
    t.end(PAM_SESSION_ERR | GENERATE(PAM_DATA_SILENT, PAM_DATA_REPLACE));
    CHECK(site.seats() == 1);
  }
  SECTION("not where a flag stands beside success") {
    t.end(PAM_SUCCESS | PAM_SILENT);
    CHECK(site.seats() == 1);
  }
  SECTION("not with what is no code of PAM's") {
    t.end(GENERATE(-1, _PAM_RETURN_VALUES, 0x1000));
    CHECK(site.seats() == 1);
  }
  SECTION("also where a flag stands beside the error") {
    t.end(PAM_ABORT | PAM_SILENT);
    CHECK(site.seats() == 0);
  }
}

TEST_CASE("an error at the end of a transaction whose session was closed ends no other session") {
  PamSite site;
  Transaction a(site, "daemon"), b(site, "daemon");
  REQUIRE(a.open_session() == PAM_SUCCESS);
  REQUIRE(a.close_session() == PAM_SUCCESS);
  REQUIRE(b.open_session() == PAM_SUCCESS);
  a.end(PAM_ABORT);  // as su's with a signal
  CHECK(site.seats() == 1);
}

TEST_CASE("a close through another handle ends the session whose id is in the environment") {
  PamSite site;
  std::string ids[2];
  for (std::string& id : ids) {
    Transaction t(site, "daemon");
    REQUIRE(t.open_session() == PAM_SUCCESS);
    id = t.env("SESSREG_ID");
  }
  const auto close = [&](const std::string& id) {
    Transaction t(site, "daemon");
    pam_putenv(t.handle(), ("SESSREG_ID=" + id).c_str());
    CHECK(t.close_session() == PAM_SUCCESS);
  };
  close("00000000000000000000000000000000");
  CHECK(site.seats() == 2);
  close(ids[0]);
  CHECK(site.seats() == 1);
  close(ids[0]);
  CHECK(site.seats() == 1);
  close(ids[1]);
  CHECK(site.seats() == 0);
}

TEST_CASE("a refusal is told in the way that the service shows") {
  const auto [service, style] = GENERATE(table<const char*, int>(
      {{"sshd", PAM_ERROR_MSG}, {"lightdm", PAM_TEXT_INFO}, {"lightdm-autologin", PAM_TEXT_INFO}}));
  CAPTURE(service);
  PamSite site("sessions_limit = 0\n");
  site.write_service(service, "");
  Transaction t(site, "daemon", service);
  CHECK(t.account() == PAM_PERM_DENIED);
  REQUIRE(t.texts().size() == 1);
  CHECK(t.style_of_last_text() == style);
}

TEST_CASE("a login for a desktop is told from others") {
  struct Way {
    int item;
    const char* value;
    const char* variable;
    bool has_display;
  };
  const Way way = GENERATE(Way{PAM_TTY, ":0", "", true}, Way{PAM_TTY, "tty7", "", false},
                           Way{PAM_XDISPLAY, ":0", "", true},
                           Way{PAM_TTY, "tty2", "XDG_SESSION_TYPE=x11", true},
                           Way{PAM_TTY, "tty2", "XDG_SESSION_TYPE=wayland", true},
                           Way{PAM_TTY, "tty2", "XDG_SESSION_TYPE=tty", false});
  CAPTURE(way.value, way.variable);
  PamSite site;
  Transaction t(site, "daemon", "sshd");
  pam_set_item(t.handle(), way.item, way.value);
  if (*way.variable != '\0') pam_putenv(t.handle(), way.variable);
  const bool has_account_line = GENERATE(true, false);
  if (has_account_line) CHECK(t.account() == PAM_SUCCESS);
  REQUIRE(t.open_session() == PAM_SUCCESS);
  site.registry().for_each([&](const sessreg::Snapshot& held) {
    CHECK(has(held.record.flags, sessreg::RecordFlags::has_display) == way.has_display);
  });
}

// smbd and JupyterHub start a new handle to close a session, and leave the environment empty.
TEST_CASE("a close through another handle ends the process's latest session of that user and tty") {
  PamSite site("sessions_limit = 9\nexempt = mail\n");
  site.write_service("smbd", "");
  const auto begin = [&](const char* user, const char* tty, const char* service) {
    auto t = std::make_unique<Transaction>(site, user, service);
    pam_set_item(t->handle(), PAM_TTY, tty);
    return t;
  };
  const auto open = [&](const char* user, const char* tty, const char* service = "smbd") {
    const auto t = begin(user, tty, service);
    REQUIRE(t->open_session() == PAM_SUCCESS);
    usleep(2'000);  // opened in one millisecond, neither is the latest
    return t->env("SESSREG_ID");
  };
  const auto close = [&](const char* user, const char* tty, const char* service = "smbd") {
    CHECK(begin(user, tty, service)->close_session() == PAM_SUCCESS);
  };
  const auto listed = [&] {
    std::set<std::string> ids;
    site.registry().for_each(
        [&](const sessreg::Snapshot& held) { ids.insert(sessreg::to_hex(held.record.id)); });
    return ids;
  };
  const std::string first = open("daemon", "smb/1");
  const std::string second = open("daemon", "smb/1");
  const std::string longer = open("daemon", "smb/a-name-of-more-than-16-bytes");
  const std::string exempt = open("mail", "smb/1");
  const auto reserved = begin("daemon", "smb/1", "smbd");
  REQUIRE(reserved->account() == PAM_SUCCESS);
  REQUIRE(listed().size() == 5);

  close("daemon", "smb/2");
  close("bin", "smb/1");
  close("daemon", "smb/1", "sshd");
  Child child([&] {
    close("daemon", "smb/1");
    return 0;
  });
  CHECK(child.wait() == 0);
  CHECK(listed().size() == 5);

  SECTION("or rather one that is to end") {
    auto registry = site.registry();
    registry.for_each([&](const sessreg::Snapshot& held) {
      if (sessreg::to_hex(held.record.id) == first) registry.mark_revoked(held.ref, "");
    });
    close("daemon", "smb/1");
    CHECK(listed().count(first) == 0);
    CHECK(listed().count(second) == 1);
    return;
  }
  close("daemon", "smb/1");
  CHECK(listed().count(second) == 0);
  CHECK(listed().size() == 4);
  close("daemon", "smb/1");
  CHECK(listed().count(first) == 0);
  CHECK(listed().size() == 3);
  close("daemon", "smb/1");  // the reservation is not a session
  CHECK(listed().size() == 3);
  close("daemon", "smb/a-name-of-more-than-16-bytes");
  CHECK(listed().count(longer) == 0);
  close("mail", "smb/1");
  CHECK(listed().count(exempt) == 0);
  CHECK(listed().size() == 1);
}

TEST_CASE("a handle that got no session closes nobody's") {
  PamSite site("sessions_limit = 1\n");
  Transaction inside(site, "daemon");
  REQUIRE(inside.open_session() == PAM_SUCCESS);
  int expected = PAM_SUCCESS;
  SECTION("as it was refused") {
    expected = PAM_PERM_DENIED;
  }
  SECTION("as it is only observed") {
    site.write_service("sshd", "observe");
  }
  SECTION("as its service was ignored at the time") {
    site.write_config("ignore_services = sshd\n");
  }
  Transaction other(site, "daemon");
  CHECK(other.open_session() == expected);
  site.write_config("sessions_limit = 1\n");
  other.close_session();
  CHECK(site.seats() == 1);
}

TEST_CASE("a second close of one handle does not end another handle's session") {
  PamSite site;
  Transaction a(site, "daemon"), b(site, "daemon");
  for (Transaction* t : {&a, &b}) {
    REQUIRE(t->account() == PAM_SUCCESS);
    REQUIRE(t->open_session() == PAM_SUCCESS);
  }
  CHECK(a.close_session() == PAM_SUCCESS);
  CHECK(a.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(b.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  // and one that was closed may open again
  REQUIRE(a.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  CHECK(a.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE("a registry that moves between account and open leaves nothing in the old one") {
  PamSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  CHECK(site.seats() == 1);
  site.dir.write("site.conf", "registry = " + (site.dir / "registry/other.reg") + "\n");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  CHECK(t.close_session() == PAM_SUCCESS);
}

TEST_CASE("a close after the registry was replaced leaves alone who stands in the same place now") {
  PamSite site;
  Transaction t(site, "daemon");
  const bool is_open = GENERATE(true, false);
  REQUIRE((is_open ? t.open_session() : t.account()) == PAM_SUCCESS);
  std::ifstream in(site.registry_path(), std::ios::binary);
  std::string file{std::istreambuf_iterator<char>(in), {}};
  site.registry().for_each([&](const sessreg::Snapshot& held) {
    const auto* id = reinterpret_cast<const char*>(held.record.id.data());
    const std::size_t at = file.find(std::string_view(id, held.record.id.size()));
    REQUIRE(at != std::string::npos);
    file[at] = static_cast<char>(file[at] ^ 1);
  });
  REQUIRE(unlink(site.registry_path().c_str()) == 0);
  site.dir.write("registry/site.reg", file);
  chmod(site.registry_path().c_str(), 0600);
  REQUIRE(site.seats() == 1);
  if (is_open) CHECK(t.close_session() == PAM_SUCCESS);
  t.end(PAM_ABORT);
  CHECK(site.seats() == 1);
}

TEST_CASE("a reservation of a user who has become exempt is given back") {
  PamSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.account() == PAM_SUCCESS);
  site.write_config("exempt = daemon\n");
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE("a seat that cannot be given back yet is given back by a later close") {
  PamSite site;
  Transaction t(site, "daemon");
  REQUIRE(t.open_session() == PAM_SUCCESS);
  chmod(site.registry_path().c_str(), 0644);
  CHECK(t.close_session() == PAM_SUCCESS);
  chmod(site.registry_path().c_str(), 0600);
  CHECK(site.seats() == 1);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
}

TEST_CASE("a relative conf= is refused, whatever lies in the working directory") {
  PamSite site("", "conf=site.conf");
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(site.dir.path());
  Transaction t(site, "daemon"), root(site, "root");
  CHECK(t.account() == PAM_SYSTEM_ERR);
  CHECK(root.account() == PAM_SUCCESS);
  std::filesystem::current_path(before);
}

TEST_CASE("exempt users are neither counted nor refused, but listed while their session lasts") {
  PamSite site("sessions_limit = 0\nexempt = daemon\n");
  Transaction t(site, "daemon");
  CHECK(t.account() == kIgnored);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(site.seats() == 0);
  int listed = 0;
  site.registry().for_each([&](const sessreg::Snapshot& s) {
    ++listed;
    CHECK(s.record.kind == sessreg::RecordKind::exempt);
  });
  CHECK(listed == 1);
  CHECK(t.env("SESSREG_ID").size() == 32);
  CHECK(t.close_session() == PAM_SUCCESS);
  site.registry().for_each([&](const sessreg::Snapshot&) { ++listed; });
  CHECK(listed == 1);
}

TEST_CASE("ignored services are not counted, refused or listed") {
  PamSite site("sessions_limit = 0\n");
  Transaction t(site, "daemon", "sudo");
  CHECK(t.account() == kIgnored);
  CHECK(t.open_session() == PAM_SUCCESS);
  CHECK(t.close_session() == PAM_SUCCESS);
  CHECK(t.env("SESSREG_ID").empty());
  site.write_config("sessions_limit = 0\nonly_services = login\n");
  Transaction other(site, "daemon", "sshd");
  CHECK(other.account() == kIgnored);
  site.write_config("sessions_limit = 0\nignore_services =\n");
  Transaction counted(site, "daemon", "sudo");
  CHECK(counted.account() == PAM_PERM_DENIED);
}

TEST_CASE("an edit takes effect at the next login, in both directions") {
  PamSite site("sessions_limit = 1\n");
  Transaction a(site, "daemon"), b(site, "daemon"), c(site, "daemon");
  CHECK(a.account() == PAM_SUCCESS);
  CHECK(b.account() == PAM_PERM_DENIED);
  site.write_config("sessions_limit = 2\n");
  CHECK(b.account() == PAM_SUCCESS);
  site.write_config("sessions_limit = 1\n");
  CHECK(c.account() == PAM_PERM_DENIED);
  CHECK(site.seats() == 2);
}

TEST_CASE("with a broken configuration root is let through and others are refused") {
  for (const std::string& text : broken_configs()) {
    INFO(text.substr(0, 60));
    PamSite site(text);
    Transaction root(site, "root"), other(site, "daemon"), unknown(site, "no-such-user");
    CHECK(root.account() == PAM_SUCCESS);
    CHECK(root.open_session() == PAM_SUCCESS);
    CHECK(root.close_session() == PAM_SUCCESS);
    CHECK(other.account() == PAM_SYSTEM_ERR);
    CHECK(other.texts().size() == 1);
    CHECK(other.open_session() == PAM_SYSTEM_ERR);
    // libpam answers a close with what open returned, so close through a handle that has not
    // opened.
    Transaction closing(site, "daemon");
    CHECK(closing.close_session() == PAM_SUCCESS);
    CHECK(unknown.account() == PAM_SYSTEM_ERR);
  }
}

TEST_CASE("on_error: the argument wins, then the file, then deny") {
  SECTION("the argument, with a file that cannot be read") {
    PamSite site("no_such_key = 1\n", "on_error=allow");
    Transaction t(site, "daemon");
    CHECK(t.account() == kIgnored);
    CHECK(t.open_session() == PAM_SUCCESS);
  }
  SECTION("the file, with a registry that cannot be used") {
    PamSite site("on_error = allow\n");
    mkdir((site.dir / "registry").c_str(), 0755);
    site.dir.write("registry/site.reg", "foreign");
    chmod(site.registry_path().c_str(), 0600);
    Transaction t(site, "daemon");
    CHECK(t.account() == kIgnored);
    CHECK(t.open_session() == PAM_SUCCESS);
    site.write_service("sshd", "on_error=deny");
    Transaction denied(site, "daemon");
    CHECK(denied.account() == PAM_SYSTEM_ERR);
    CHECK(denied.open_session() == PAM_SYSTEM_ERR);
    site.write_config("exempt =\n");
    Transaction root(site, "root");
    CHECK(root.account() == PAM_SUCCESS);
    CHECK(root.open_session() == PAM_SUCCESS);
  }
  SECTION("a configuration file that is named and missing") {
    PamSite site;
    unlink(site.config_path().c_str());
    Transaction t(site, "daemon"), root(site, "root");
    CHECK(t.account() == PAM_SYSTEM_ERR);
    CHECK(root.account() == PAM_SUCCESS);
  }
  SECTION("a site name that could leave the directory") {
    PamSite site("", "site=../../etc/passwd");
    Transaction t(site, "daemon"), root(site, "root");
    CHECK(t.account() == PAM_SYSTEM_ERR);
    CHECK(root.account() == PAM_SUCCESS);
  }
}

TEST_CASE("a full table is a refusal with its own text, never on_error") {
  PamSite site("capacity = 1\nmessage_table_full = no slot\n", "on_error=allow");
  Transaction a(site, "daemon"), b(site, "daemon");
  CHECK(a.account() == PAM_SUCCESS);
  CHECK(b.account() == PAM_PERM_DENIED);
  CHECK(b.texts() == std::vector<std::string>{"no slot"});
}

TEST_CASE("without rights and without being root every phase steps aside", "[.root]") {
  PamSite site;
  {
    Transaction t(site, "daemon");
    REQUIRE(t.account() == PAM_SUCCESS);
  }
  // Nobody may not be able to open the module where it is; loaded, it is found by its name.
  void* module = dlopen(module_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(module != nullptr);
  Child child([&] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 99;
    Transaction t(site, "daemon");
    if (t.account() != kIgnored) return 1;
    if (t.open_session() != kIgnored) return 2;
    Transaction closing(site, "daemon");
    if (closing.close_session() != PAM_SUCCESS) return 3;
    return 0;
  });
  CHECK(child.wait() == 0);
  dlclose(module);
}

TEST_CASE("an unknown argument is ignored") {
  PamSite site("sessions_limit = 2\n", "no_such_word debug");
  Transaction t(site, "daemon");
  CHECK(t.account() == PAM_SUCCESS);
}

TEST_CASE("nothing stays open or mapped after any phase") {
  PamSite site;
  Transaction t(site, "daemon");
  const std::size_t before = open_descriptors();
  for (const auto& phase : {&Transaction::account, &Transaction::open_session}) {
    CHECK((t.*phase)(0) == PAM_SUCCESS);
    CHECK(open_descriptors() == before);
    CHECK(mappings_of().find(site.dir.path()) == std::string::npos);
  }
  t.close_session();
  CHECK(open_descriptors() == before);
  CHECK(mappings_of().find(site.dir.path()) == std::string::npos);
}

TEST_CASE("hostile names are stored and shown without harm") {
  PamSite site("sessions_limit = 1\nmessage_site_full = Sorry {user}.\n");
  const std::string evil = std::string("\x1b]0;x\x07\n") + std::string(4000, 'u');
  Transaction t(site, evil.c_str());
  pam_set_item(t.handle(), PAM_RHOST, ("\x1b[2J" + std::string(4000, 'h')).c_str());
  pam_putenv(t.handle(), ("SSH_CONNECTION=" + std::string(4000, 'c')).c_str());
  CHECK(t.account() == PAM_SUCCESS);
  CHECK(t.open_session() == PAM_SUCCESS);
  Transaction refused(site, evil.c_str());
  CHECK(refused.account() == PAM_PERM_DENIED);
  REQUIRE(refused.texts().size() == 1);
  for (const char c : refused.texts()[0])
    CHECK(static_cast<unsigned char>(c) >= 0x20);
}
