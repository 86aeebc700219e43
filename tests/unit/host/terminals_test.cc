#include "host/terminals.h"

#include <fcntl.h>
#include <linux/kd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/on_terminal.h"
#include "../../support/temp_dir.h"

using namespace sessreg;

namespace {

bool is_found(const OnTerminal& on, std::optional<std::uint32_t> uid) {
  const ProcessTable table = ProcessTable::read();
  const ProcessTable::Entry* process = table.find(on.pid());
  const auto terminal = process != nullptr ? ProcessTerminal::find(*process, uid) : std::nullopt;
  return terminal && terminal->path() == on.path();
}

bool has_own_mounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace

TEST_CASE("a terminal is believed only if it is the session's user's") {
  const OnTerminal process;
  REQUIRE(process.is_ready());
  CHECK(is_found(process, geteuid()));
  CHECK_FALSE(is_found(process, geteuid() + 1));
  CHECK_FALSE(is_found(process, std::nullopt));
}

TEST_CASE("of a session's terminals that counts on which was typed last") {
  Pipe name, ready;
  // Within the session, another process on a terminal of its own, as tmux has it.
  const OnTerminal process([&] {
    int master = -1;
    char path[64];
    const pid_t child = forkpty(&master, path, nullptr, nullptr);
    if (child == 0) {
      alarm(60);  // whatever becomes of the test
      ready.put('r');
      for (;;)
        pause();
    }
    for (const char* c = path; *c != '\0'; ++c)
      name.put(*c);
    return name.put('\n');
  });
  REQUIRE(process.is_ready());
  REQUIRE(ready.get() == 'r');
  std::string other;
  for (int c = 0; (c = name.get()) != '\n';) {
    REQUIRE(c > 0);
    other += static_cast<char>(c);
  }
  constexpr std::int64_t kEarlier_s = 1'000'000'000, kLater_s = kEarlier_s + 100;
  const auto type = [](const std::string& path, std::int64_t at_s) {
    const timespec times[2] = {{at_s, 0}, {0, UTIME_OMIT}};
    REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  };
  const bool is_first_later = GENERATE(true, false);
  type(process.path(), is_first_later ? kLater_s : kEarlier_s);
  type(other, is_first_later ? kEarlier_s : kLater_s);
  TerminalLook look{{process.pid(), read_process_stat(process.pid())->start_ticks}, geteuid()};
  look_at_terminals({&look, 1}, ProcessTable::read());
  CHECK(look.has_terminal);
  CHECK(look.typed_realtime_ms == kLater_s * 1000);
}

TEST_CASE("root's terminal is not that of another user's session", "[.root]") {
  const OnTerminal process;
  REQUIRE(process.is_ready());
  constexpr uid_t kAlice = 1000;
  CHECK_FALSE(is_found(process, kAlice));
  REQUIRE(chown(process.path().c_str(), kAlice, 0) == 0);
  CHECK(is_found(process, kAlice));
  CHECK_FALSE(is_found(process, 0));
}

TEST_CASE("a virtual console with a display on it does not tell when its session is used",
          "[.root]") {
  const char* const path = "/dev/tty63";  // which nobody looks at
  Pipe ready;
  Child process([&]() -> int {
    setsid();
    const int console = open(path, O_RDWR | O_NONBLOCK);
    ready.put(console >= 0 && ioctl(console, TIOCSCTTY, 0) == 0 ? 'r' : 'n');
    for (;;)
      pause();
  });
  if (ready.get() != 'r') {
    WARN("skipped: no virtual consoles here");
    return;
  }
  const int console = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  for (const int mode : {KD_GRAPHICS, KD_TEXT}) {
    CAPTURE(mode);
    CHECK(ioctl(console, KDSETMODE, mode) == 0);
    TerminalLook look{{process.pid(), read_process_stat(process.pid())->start_ticks}, geteuid()};
    look_at_terminals({&look, 1}, ProcessTable::read());
    CHECK(look.has_terminal);
    CHECK(look.has_display == (mode == KD_GRAPHICS));
    CHECK(look.tells_use() == (mode == KD_TEXT));
  }
  close(console);
}

TEST_CASE("mounts of a process's own hide its terminal only if they leave out ours", "[.root]") {
  SECTION("a copy, as pam_namespace makes it") {
    const OnTerminal process(has_own_mounts);
    REQUIRE(process.is_ready());
    CHECK(is_found(process, 0));
  }
  SECTION("a container, whose terminals are others") {
    const OnTerminal process([] {
      return has_own_mounts() && umount2("/dev/pts", MNT_DETACH) == 0 &&
             mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0;
    });
    REQUIRE(process.is_ready());
    CHECK_FALSE(is_found(process, 0));
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
    return is_found(process, 0) ? 0 : 1;
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
      is_found(process, 0);
      answered.put('a');
      return 0;
    });
    CHECK(answered.get() == 'a');
    close(server);
  }
}
