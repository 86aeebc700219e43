// Two copies of the module on one site, as during an upgrade: in one process, and in many.
#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>

#include "../support/child.h"
#include "site.h"

using namespace faults;

namespace {

// Services sshd and sudo have the module each from a file of its own.
class TwinSite : public FaultSite {
 public:
  TwinSite() {
    const std::string copy = dir / "pam_sessreg_copy.so";
    std::filesystem::copy_file(module_path(), copy);
    std::ifstream from(dir / "sshd");
    std::string text((std::istreambuf_iterator<char>(from)), {});
    for (std::size_t at = 0; (at = text.find(module_path(), at)) != std::string::npos;)
      text.replace(at, module_path().size(), copy);
    dir.write("sudo", text);
    write_config("sessions_limit = 3\nexempt =\nignore_services =\n");
  }
};

}  // namespace

TEST_CASE("two copies of the module in one process share the seats of one site") {
  const TwinSite site;
  Transaction a(site, "daemon", "sshd"), b(site, "bin", "sudo"), c(site, "sys", "sshd"),
      d(site, "games", "sudo");
  // Two objects, each with its own data.
  void* const one = dlopen(module_path().c_str(), RTLD_NOW | RTLD_NOLOAD);
  void* const other = dlopen((site.dir / "pam_sessreg_copy.so").c_str(), RTLD_NOW | RTLD_NOLOAD);
  REQUIRE(one != nullptr);
  REQUIRE(other != nullptr);
  CHECK(dlsym(one, "pam_sm_open_session") != dlsym(other, "pam_sm_open_session"));
  CHECK(a.open_session() == PAM_SUCCESS);
  CHECK(b.account() == PAM_SUCCESS);
  CHECK(b.open_session() == PAM_SUCCESS);
  CHECK(c.open_session() == PAM_SUCCESS);
  CHECK(d.account() == PAM_PERM_DENIED);
  CHECK(d.open_session() == PAM_PERM_DENIED);
  CHECK(b.close_session() == PAM_SUCCESS);
  CHECK(d.account() == PAM_SUCCESS);
  CHECK(site.seats() == 3);
  for (Transaction* each : {&a, &c, &d}) {
    each->close_session();
    each->end(PAM_SUCCESS);
  }
  CHECK(site.slots_in_use() == 0);
  dlclose(one);
  dlclose(other);
}

TEST_CASE("24 processes with one copy or the other against a limit of 3: 3 get in, 10 times") {
  const TwinSite site;
  for (int round = 0; round < 10; ++round) {
    Pipe start, said, leave;
    std::vector<std::unique_ptr<Child>> holders;
    holders.reserve(24);
    for (int i = 0; i < 24; ++i)
      holders.push_back(std::make_unique<Child>([&] {
        start.close_write();
        leave.close_write();
        Transaction t(site, "daemon", i % 2 == 0 ? "sshd" : "sudo");
        start.get();
        const int account = t.account();
        const int code = account == PAM_SUCCESS ? t.open_session() : account;
        said.put(static_cast<char>(code));
        leave.get();
        return code == PAM_SUCCESS ? t.close_session() : PAM_SUCCESS;
      }));
    start.close_write();
    int admitted = 0, refused = 0;
    for (std::size_t i = 0; i < holders.size(); ++i) {
      const int code = said.get();
      admitted += code == PAM_SUCCESS;
      refused += code == PAM_PERM_DENIED;
    }
    CHECK(admitted == 3);
    CHECK(refused == 21);
    leave.close_write();
    for (auto& holder : holders)
      CHECK(holder->wait() == 0);
    CHECK(site.slots_in_use() == 0);
  }
}
