// What a program can pass in wrongly, and what can be wrong on the host: an answer, with a text.
#include <locale.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <set>

#include "../support/child.h"
#include "site.h"

namespace {

// A later version's structure: with a member that this library does not know.
template <class T>
struct Later : T {
  std::uint64_t added[4] = {};
};

int open_code(const char* name, const char* conf_file, Told& told) {
  auto* site = reinterpret_cast<sessreg_site*>(1);
  const int code = sessreg_open(name, conf_file, &site, &told);
  CHECK((site != nullptr) == (code == SESSREG_OK));
  sessreg_site_free(site);
  return code;
}

std::string text(const Told& told) {
  return told.text;
}

}  // namespace

TEST_CASE("a site is opened by a possible name and an absolute path of a good file") {
  Gateway site;
  Told told;
  CHECK(open_code("lab", site.config_path().c_str(), told) == SESSREG_OK);
  for (const char* name : {"", "../x", ".x", "a b", "a\nb", "x/y"})
    CHECK(open_code(name, site.config_path().c_str(), told) == SESSREG_EINVAL);
  CHECK(open_code(std::string(65, 'x').c_str(), nullptr, told) == SESSREG_EINVAL);
  CHECK(text(told) == "name is too long: pass 64 bytes at most");
  for (const char* file : {"", "site.conf", "/a\nb"})
    CHECK(open_code(nullptr, file, told) == SESSREG_EINVAL);
  CHECK(open_code(nullptr, ("/" + std::string(9000, 'x')).c_str(), told) == SESSREG_EINVAL);
  CHECK(open_code(nullptr, (site.dir / "none.conf").c_str(), told) == SESSREG_ECONFIG);
  CHECK(text(told) ==
        (site.dir / "none.conf") + " does not exist; create it (an empty file means the defaults)");
  CHECK(open_code("no-such-site", nullptr, told) == SESSREG_ECONFIG);
  site.write_config("sessions_limit = ten\n");
  CHECK(open_code(nullptr, site.config_path().c_str(), told) == SESSREG_ECONFIG);
  chmod(site.config_path().c_str(), 0666);
  CHECK(open_code(nullptr, site.config_path().c_str(), told) == SESSREG_ECONFIG);
  CHECK(sessreg_open(nullptr, nullptr, nullptr, &told) == SESSREG_EINVAL);
  CHECK(text(told) == "ret_site is NULL: it must be given");
}

TEST_CASE("NULL is an answer, where something must be given, and never a crash") {
  Gateway site;
  const sessreg_login login = Gateway::login_of("daemon");
  const auto session = site.opened("daemon");
  sessreg_site* const at = site.handle.get();
  sessreg_session* made = nullptr;
  sessreg_list* list = nullptr;
  sessreg_keys* keys = nullptr;
  const std::string id(32, 'a');
  const int codes[] = {
      sessreg_admit(nullptr, &login, &made, nullptr),
      sessreg_admit(at, nullptr, &made, nullptr),
      sessreg_admit(at, &login, nullptr, nullptr),
      sessreg_bind(nullptr, nullptr, nullptr),
      sessreg_find(nullptr, id.c_str(), "gateway", &made, nullptr),
      sessreg_find(at, nullptr, "gateway", &made, nullptr),
      sessreg_find(at, id.c_str(), nullptr, &made, nullptr),
      sessreg_find(at, id.c_str(), "gateway", nullptr, nullptr),
      sessreg_touch(nullptr, nullptr),
      sessreg_touch_token(nullptr, "x", nullptr),
      sessreg_touch_token(at, nullptr, nullptr),
      sessreg_close(nullptr, nullptr),
      sessreg_list_new(nullptr, &list, nullptr),
      sessreg_list_new(at, nullptr, nullptr),
      sessreg_list_get(nullptr, 0, nullptr),
      sessreg_keys_read(nullptr, &keys, nullptr),
      sessreg_keys_read("/x", nullptr, nullptr),
      sessreg_keys_parse(nullptr, &keys, nullptr),
      sessreg_keys_parse("x", nullptr, nullptr),
      sessreg_verify(nullptr, nullptr, "x", nullptr, nullptr),
  };
  for (std::size_t i = 0; i < std::size(codes); ++i) {
    INFO("call " << i);
    CHECK(codes[i] == SESSREG_EINVAL);
  }
  sessreg_site_free(nullptr);
  sessreg_session_free(nullptr);
  sessreg_list_free(nullptr);
  sessreg_keys_free(nullptr);
  CHECK(std::string(sessreg_session_id(nullptr)).empty());
  CHECK(std::string(sessreg_session_token(nullptr)).empty());
  CHECK(sessreg_list_count(nullptr) == 0);
  CHECK(site.seats() == 1);
}

TEST_CASE("texts that are too long or could forge a log are refused, and nothing is taken") {
  Gateway site;
  struct {
    const char* sessreg_login::*member;
    std::string called;
    std::size_t most;
    bool required;
  } const texts[] = {{&sessreg_login::user, "login.user", 512, true},
                     {&sessreg_login::service, "login.service", 255, true},
                     {&sessreg_login::host, "login.host", 255, false},
                     {&sessreg_login::tty, "login.tty", 255, false}};
  for (const auto& [member, called, most, required] : texts) {
    INFO(called);
    sessreg_login login = Gateway::login_of("daemon");
    const auto admit = [&, field = member](const char* value) {
      login.*field = value;
      return site.admit(login);
    };
    CHECK(admit(nullptr) == (required ? SESSREG_EINVAL : SESSREG_OK));
    CHECK(admit("") == (required ? SESSREG_EINVAL : SESSREG_OK));
    if (required) CHECK(text(site.told) == called + " is empty: it must be given");
    CHECK(admit(std::string(most + 1, 'x').c_str()) == SESSREG_EINVAL);
    CHECK(text(site.told) ==
          called + " is too long: pass " + std::to_string(most) + " bytes at most");
    for (const char* forged : {"a\nb", "a\tb", "\x1b[2J", "\x7f", "a\xc2\x9bk", "\xe2\x80\xae"}) {
      CHECK(admit(forged) == SESSREG_EINVAL);
      CHECK(text(site.told).find(called + " has control characters: '") == 0);
    }
    site.write_config("sessions_limit = -1\n");
    CHECK(admit(std::string(most, 'x').c_str()) == SESSREG_OK);
    CHECK(admit("M\xfcller") == SESSREG_OK);  // Latin-1: shown as an escape
    CHECK(admit("Müller") == SESSREG_OK);
  }
}

TEST_CASE("ids, leaders and flags that cannot be are refused") {
  Gateway site;
  sessreg_session* found = nullptr;
  for (const std::string& id : {std::string(), std::string(31, 'a'), std::string(33, 'a'),
                                std::string(32, 'A'), std::string(31, 'a') + "g"})
    CHECK(sessreg_find(site.handle.get(), id.c_str(), "gateway", &found, nullptr) ==
          SESSREG_EINVAL);

  sessreg_login login = Gateway::login_of("daemon");
  login.flags = 4;
  CHECK(site.admit(login) == SESSREG_EUNSUPPORTED);
  REQUIRE(site.admit("daemon") == SESSREG_OK);
  Child gone([] { return 0; });
  const pid_t dead = gone.pid();
  gone.wait();
  for (const pid_t leader : {-1, 1, dead, 1 << 30}) {
    sessreg_binding binding = SESSREG_BINDING_INIT;
    binding.leader = leader;
    CHECK(sessreg_bind(site.session.get(), &binding, &site.told) == SESSREG_EINVAL);
    CHECK(text(site.told).find("binding.leader " + std::to_string(leader)) == 0);
  }
  CHECK(site.bind() == SESSREG_OK);  // it is none the worse
}

TEST_CASE("calls in the wrong order are told so") {
  Gateway site;
  REQUIRE(site.admit("daemon") == SESSREG_OK);
  CHECK(sessreg_touch(site.session.get(), &site.told) == SESSREG_ESTATE);
  REQUIRE(site.bind() == SESSREG_OK);
  CHECK(site.bind() == SESSREG_ESTATE);
  CHECK(site.seats() == 1);
  REQUIRE(sessreg_close(site.session.get(), nullptr) == SESSREG_OK);
  CHECK(site.bind() == SESSREG_ESTATE);
  CHECK(site.seats() == 0);
}

TEST_CASE("structures of a later version are taken as far as they are known") {
  Gateway site("sessions_limit = 1\n");
  Later<sessreg_login> login{Gateway::login_of("daemon"), {}};
  login.size = sizeof login;
  REQUIRE(site.admit(login) == SESSREG_OK);
  const auto session = std::move(site.session);
  login.added[3] = 1;
  CHECK(site.admit(login) == SESSREG_EUNSUPPORTED);
  CHECK(text(site.told).find("login asks for what this libsessreg does not know") == 0);

  Later<sessreg_binding> binding{SESSREG_BINDING_INIT, {0, 1}};
  binding.size = sizeof binding;
  CHECK(sessreg_bind(session.get(), &binding, nullptr) == SESSREG_EUNSUPPORTED);
  binding.added[1] = 0;
  CHECK(sessreg_bind(session.get(), &binding, nullptr) == SESSREG_OK);

  Later<sessreg_entry> entry{SESSREG_ENTRY_INIT, {7, 7, 7, 7}};
  entry.size = sizeof entry;
  const auto list = site.list();
  REQUIRE(sessreg_list_get(list.get(), 0, &entry) == SESSREG_OK);
  CHECK(entry.size == sizeof entry);
  CHECK(entry.leader == getpid());
  for (const std::uint64_t word : entry.added)
    CHECK(word == 0);

  Later<sessreg_error> told{SESSREG_ERROR_INIT, {7, 7, 7, 7}};
  told.size = sizeof told;
  sessreg_session* made = nullptr;
  const sessreg_login again = Gateway::login_of("daemon");
  CHECK(sessreg_admit(site.handle.get(), &again, &made, &told) == SESSREG_SITE_FULL);
  CHECK(told.code == SESSREG_SITE_FULL);
  CHECK(told.size == sizeof told);
  CHECK(told.added[3] == 0);
}

TEST_CASE("structures that were not initialized are refused and not written to") {
  Gateway site;
  sessreg_login login = Gateway::login_of("daemon");
  login.size = 0;
  CHECK(site.admit(login) == SESSREG_EINVAL);
  CHECK(text(site.told) == "login.size is none: begin with SESSREG_LOGIN_INIT");
  const auto session = site.opened("daemon");
  sessreg_binding binding{};
  CHECK(sessreg_bind(session.get(), &binding, nullptr) == SESSREG_EINVAL);
  sessreg_entry entry{};
  CHECK(sessreg_list_get(site.list().get(), 0, &entry) == SESSREG_EINVAL);
  sessreg_keys* keys = nullptr;
  REQUIRE(sessreg_keys_read(site.public_key_file().c_str(), &keys, nullptr) == SESSREG_OK);
  sessreg_claims claims{};
  CHECK(sessreg_verify(keys, nullptr, sessreg_session_token(session.get()), &claims, nullptr) ==
        SESSREG_EINVAL);
  CHECK(claims.id[0] == '\0');
  sessreg_keys_free(keys);
  sessreg_error error{};
  CHECK(sessreg_touch(session.get(), &error) == SESSREG_EINVAL);
  CHECK(error.code == 0);
}

TEST_CASE("an unusable registry is an error that says whether to let the login through") {
  Gateway site("on_error = allow\nexempt =\n");
  std::filesystem::create_directory(site.dir / "registry");
  site.dir.write("registry/site.reg", std::string(4096, 'x'));
  chmod(site.registry_path().c_str(), 0600);
  CHECK(site.admit("daemon") == SESSREG_EREGISTRY);
  CHECK(text(site.told) ==
        site.registry_path() + " is not a session registry: run 'sessreg purge --rebuild'");
  CHECK(site.told.let_through == 1);
  site.write_config("exempt =\n");
  CHECK(site.admit("daemon") == SESSREG_EREGISTRY);
  CHECK(site.told.let_through == 0);
  CHECK(site.admit("root") == SESSREG_EREGISTRY);
  CHECK(site.told.let_through == 1);
  sessreg_list* list = nullptr;
  CHECK(sessreg_list_new(site.handle.get(), &list, nullptr) == SESSREG_EREGISTRY);
  sessreg_session* found = nullptr;
  CHECK(sessreg_find(site.handle.get(), std::string(32, 'a').c_str(), "gateway", &found, nullptr) ==
        SESSREG_EREGISTRY);
  site.write_config("sessions_limit = ten\n");
  CHECK(site.admit("root") == SESSREG_ECONFIG);
  CHECK(site.told.let_through == 1);
}

TEST_CASE("who is not root is told that the registry may not be used", "[.root]") {
  if (geteuid() != 0) return;
  Gateway site;
  const auto session = site.opened("daemon");
  Child other([&] {
    if (setresgid(1, 1, 1) != 0 || setresuid(1, 1, 1) != 0) return 1;
    sessreg_site* opened = nullptr;
    if (sessreg_open(nullptr, site.config_path().c_str(), &opened, nullptr) != SESSREG_OK) return 2;
    const sessreg_login login = Gateway::login_of("root");
    sessreg_session* made = nullptr;
    site.write_config("");  // fails: not theirs
    Told told;
    if (sessreg_admit(opened, &login, &made, &told) != SESSREG_OK) return 3;  // exempt: asks nobody
    const sessreg_login counted = Gateway::login_of("bin");
    if (sessreg_admit(opened, &counted, &made, &told) != SESSREG_EPERMISSION) return 4;
    return told.let_through;
  });
  CHECK(other.wait() == 0);
}

TEST_CASE("every code has words of its own, and any number may be asked for") {
  std::set<std::string> texts;
  for (const int code :
       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 32, 33, 34, 35, 36, 37, 38, 64, 65, 66, 67})
    texts.insert(sessreg_strerror(code));
  CHECK(texts.size() == 23);
  CHECK(texts.count(sessreg_strerror(12)) == 0);
  CHECK(std::string(sessreg_strerror(12)) == sessreg_strerror(-1));
  CHECK(sessreg_version() == SESSREG_VERSION);
}

#ifndef SESSREG_SANITIZED
TEST_CASE("without memory there is an error, and no crash") {
  Gateway site;
  const auto session = site.opened("daemon");
  // In a child, as what is limited cannot be unlimited.
  Child child([&] {
    site.open();
    int failed = 0, done = 0;
    for (rlim_t room = 0; room < 400; ++room) {
      std::size_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const rlim_t own = pages * 4096;
      const rlimit limit{own + room * 16384, RLIM_INFINITY};
      if (setrlimit(RLIMIT_AS, &limit) != 0) return 100;
      Told told;
      sessreg_session* made = nullptr;
      const sessreg_login login = Gateway::login_of("bin");
      const int code = sessreg_admit(site.handle.get(), &login, &made, &told);
      int bound = SESSREG_OK;
      if (code == SESSREG_OK) bound = sessreg_bind(made, nullptr, &told);
      sessreg_list* list = nullptr;
      const int listed = sessreg_list_new(site.handle.get(), &list, &told);
      const int closed = code == SESSREG_OK ? sessreg_close(made, nullptr) : SESSREG_OK;
      const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
      setrlimit(RLIMIT_AS, &none);
      for (const int each : {code, bound, listed, closed}) {
        if (each != SESSREG_OK && each != SESSREG_ENOMEM && each != SESSREG_ESYSTEM &&
            each != SESSREG_ECONFIG)
          return 10 + each;
        (each == SESSREG_OK ? done : failed) += 1;
      }
      if (made != nullptr && sessreg_close(made, nullptr) != SESSREG_OK) return 101;
      sessreg_session_free(made);
      sessreg_list_free(list);
    }
    if (site.seats() != 1) return 102;
    return failed > 0 && done > 0 ? 0 : 103;
  });
  CHECK(child.wait() == 0);
}
#endif

TEST_CASE("the thread's and the process's state are as they were after each call") {
  setlocale(LC_ALL, "C.UTF-8");
  const mode_t mask = umask(077);
  errno = 4711;
  {
    Gateway site;
    errno = 4711;
    const auto session = site.admitted("nobody-of-that-name");
    CHECK(errno == 4711);
    CHECK(sessreg_bind(session.get(), nullptr, nullptr) == SESSREG_OK);
    CHECK(sessreg_touch_token(site.handle.get(), "x", nullptr) == SESSREG_BAD_TOKEN);
    CHECK(sessreg_close(session.get(), nullptr) == SESSREG_OK);
    CHECK(errno == 4711);
    CHECK(getenv("SESSREG_ID") == nullptr);
    struct stat st {};
    REQUIRE(stat((site.dir / "registry").c_str(), &st) == 0);
    CHECK((st.st_mode & 07777) == 0755);
  }
  CHECK(umask(mask) == 077);
  CHECK(std::string(setlocale(LC_ALL, nullptr)) == "C.UTF-8");
  setlocale(LC_ALL, "C");
}
