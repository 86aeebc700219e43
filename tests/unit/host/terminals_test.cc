#include "host/terminals.h"

#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "../../support/child.h"
#include "../../support/temp_dir.h"

using namespace sessreg;

namespace {

// A process with a terminal of its own, after `prepare`; ended by the destructor.
class OnTerminal {
 public:
  explicit OnTerminal(const std::function<bool()>& prepare = [] { return true; }) {
    char name[64];
    pid_ = forkpty(&terminal_, name, nullptr, nullptr);
    if (pid_ == 0) {
      alarm(60);
      ready_.put(prepare() ? 'r' : 'n');
      for (;;)
        pause();
    }
    path_ = name;
    is_ready_ = ready_.get() == 'r';
  }
  ~OnTerminal() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  // False: the machine does not allow what `prepare` does.
  bool is_ready() const { return is_ready_; }
  const std::string& path() const { return path_; }
  bool is_found(std::optional<std::uint32_t> uid) const {
    const ProcessTable table = ProcessTable::read();
    const ProcessTable::Entry* process = table.find(pid_);
    const auto terminal = process != nullptr ? ProcessTerminal::find(*process, uid) : std::nullopt;
    return terminal && terminal->path() == path_;
  }

 private:
  int terminal_ = -1;
  Pipe ready_;
  pid_t pid_ = -1;
  std::string path_;
  bool is_ready_ = false;
};

bool has_own_mounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace

TEST_CASE("a terminal is believed only if it is the session's user's") {
  const OnTerminal process;
  REQUIRE(process.is_ready());
  CHECK(process.is_found(geteuid()));
  CHECK_FALSE(process.is_found(geteuid() + 1));
  CHECK_FALSE(process.is_found(std::nullopt));
}

TEST_CASE("root's terminal is not that of another user's session", "[.root]") {
  const OnTerminal process;
  REQUIRE(process.is_ready());
  constexpr uid_t kAlice = 1000;
  CHECK_FALSE(process.is_found(kAlice));
  REQUIRE(chown(process.path().c_str(), kAlice, 0) == 0);
  CHECK(process.is_found(kAlice));
  CHECK_FALSE(process.is_found(0));
}

TEST_CASE("mounts of a process's own hide its terminal only if they leave out ours", "[.root]") {
  SECTION("a copy, as pam_namespace makes it") {
    const OnTerminal process(has_own_mounts);
    REQUIRE(process.is_ready());
    CHECK(process.is_found(0));
  }
  SECTION("a container, whose terminals are others") {
    const OnTerminal process([] {
      return has_own_mounts() && umount2("/dev/pts", MNT_DETACH) == 0 &&
             mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0;
    });
    REQUIRE(process.is_ready());
    CHECK_FALSE(process.is_found(0));
  }
}

TEST_CASE("whoever looks for a terminal has mounts of its own, as under PrivateMounts=",
          "[.root]") {
  const OnTerminal process([] {  // which it need not have open
    const int null = open("/dev/null", O_RDWR);
    return dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2;
  });
  REQUIRE(process.is_ready());
  Child service([&] {
    if (!has_own_mounts()) return 2;
    return process.is_found(0) ? 0 : 1;
  });
  CHECK(service.wait() == 0);
}

TEST_CASE("a process's files are not asked for, as they may never answer", "[.root]") {
  // A file system whose server does not even answer the greeting; whoever asks it waits until the
  // server has gone.
  const int server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (server < 0) {
    WARN("skipped: no /dev/fuse here");
    return;
  }
  const TempDir place;
  const std::string directory = place / "never";
  REQUIRE(mkdir(directory.c_str(), 0755) == 0);
  {
    const OnTerminal process([&] {
      const std::string options =
          "fd=" + std::to_string(server) + ",rootmode=40000,user_id=0,group_id=0";
      if (!has_own_mounts() ||
          mount("never", directory.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
        return false;
      const int file = open(directory.c_str(), O_PATH);
      for (int fd = 0; fd <= 2; ++fd)
        if (dup2(file, fd) != fd) return false;
      return file >= 0;
    });
    REQUIRE(process.is_ready());
    Pipe answered;
    Child looks([&] {
      process.is_found(0);
      answered.put('a');
      return 0;
    });
    CHECK(answered.get() == 'a');
    close(server);
  }
}
