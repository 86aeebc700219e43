// sessreg list --watch: on a terminal, which it leaves as it was whatever ends it, and in a pipe.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <regex>
#include <sstream>

#include "../support/catch.h"
#include "support.h"

using namespace sessreg;

namespace {

constexpr const char* kTaken = "\033[?1049h";
constexpr const char* kGivenBack = "\033[?1049l";

// The tool on a terminal, in the foreground of a shell with job control.
class OnTerminal {
 public:
  OnTerminal(const Sandbox& sandbox, std::vector<std::string> arguments,
             const std::vector<std::string>& environment = {"NO_COLOR=1"}, unsigned short rows = 24,
             unsigned short columns = 100) {
    winsize size{};
    size.ws_row = rows;
    size.ws_col = columns;
    int pids[2];
    REQUIRE(pipe2(pids, O_CLOEXEC) == 0);
    shell_ = forkpty(&terminal_, nullptr, nullptr, &size);
    REQUIRE(shell_ >= 0);
    if (shell_ == 0) be_shell(sandbox, std::move(arguments), environment, pids[1]);
    close(pids[1]);
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
    const bool told = read(pids[0], &tool_, sizeof tool_) == sizeof tool_;
    close(pids[0]);
    REQUIRE(told);
  }
  ~OnTerminal() {
    kill(tool_, SIGKILL);
    kill(shell_, SIGKILL);
    waitpid(shell_, nullptr, 0);
    close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  pid_t tool() const { return tool_; }
  void type(const std::string& keys) const {
    REQUIRE(write(terminal_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  }
  void resize(unsigned short rows, unsigned short columns) const {
    winsize size{};
    size.ws_row = rows;
    size.ws_col = columns;
    REQUIRE(ioctl(terminal_, TIOCSWINSZ, &size) == 0);
  }
  termios settings() const {
    termios settings{};
    REQUIRE(tcgetattr(terminal_, &settings) == 0);
    return settings;
  }
  bool is_cooked() const { return (settings().c_lflag & (ICANON | ECHO)) == (ICANON | ECHO); }

  // All that was written so far.
  const std::string& output() {
    char buffer[65536];
    for (ssize_t n = 0; (n = read(terminal_, buffer, sizeof buffer)) > 0;)
      output_.append(buffer, static_cast<std::size_t>(n));
    return output_;
  }
  // What stands on the screen: the last frame that was begun.
  std::string screen() {
    std::string text = output();
    const std::size_t home = text.rfind("\033[H");
    if (home != std::string::npos) text.erase(0, home);
    text = std::regex_replace(text, std::regex("\033\\[[0-9;?]*[A-Za-z]"), "");
    std::erase(text, '\r');
    return text;
  }
  bool shows(const std::string& what) {
    return wait_until([&] { return screen().find(what) != std::string::npos; });
  }
  bool has_written(const std::string& what) {
    return wait_until([&] { return output().find(what) != std::string::npos; });
  }

 private:
  // Tells in words what becomes of the tool, and waits to be asked to go on.
  [[noreturn]] static void be_shell(const Sandbox& sandbox, std::vector<std::string> arguments,
                                    const std::vector<std::string>& environment, int pids) {
    signal(SIGTTOU, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    const pid_t tool = fork();
    if (tool == 0) {
      setpgid(0, 0);
      tcsetpgrp(0, getpid());
      signal(SIGTTOU, SIG_DFL);
      signal(SIGHUP, SIG_DFL);
      setenv("TERM", "xterm", 1);
      setenv("LC_ALL", "C.UTF-8", 1);
      unsetenv("NO_COLOR");
      for (const std::string& variable : environment)
        putenv(strdup(variable.c_str()));
      arguments.insert(arguments.begin(), {tool_path(), "--conf", sandbox.conf_path()});
      std::vector<char*> argv;
      for (std::string& argument : arguments)
        argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    setpgid(tool, tool);
    if (write(pids, &tool, sizeof tool) != sizeof tool) _exit(1);
    for (int status = 0; waitpid(tool, &status, WUNTRACED) == tool;) {
      tcsetpgrp(0, getpid());
      if (WIFSTOPPED(status)) {
        dprintf(1, "STOPPED ");
        char line[64];
        if (read(0, line, sizeof line) <= 0) _exit(1);
        tcsetpgrp(0, tool);
        kill(-tool, SIGCONT);
        continue;
      }
      if (WIFSIGNALED(status))
        dprintf(1, "SIGNAL %d.", WTERMSIG(status));
      else
        dprintf(1, "EXIT %d.", WEXITSTATUS(status));
      pause();
    }
    _exit(1);
  }

  pid_t shell_ = -1;
  pid_t tool_ = -1;
  int terminal_ = -1;
  std::string output_;
};

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
    ++n;
  return n;
}

bool is_same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::equal(std::begin(a.c_cc), std::end(a.c_cc), b.c_cc);
}

// The tool with its output in a pipe.
class InPipe {
 public:
  InPipe(const Sandbox& sandbox, std::vector<std::string> arguments)
      : InPipe(with_conf(sandbox, std::move(arguments)), [] {}) {}
  InPipe(std::vector<std::string> arguments, const std::function<void()>& before_exec) {
    int out[2];
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      dup2(out[1], 1);
      before_exec();
      arguments.insert(arguments.begin(), tool_path());
      std::vector<char*> argv;
      for (std::string& argument : arguments)
        argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(out[1]);
    out_ = out[0];
    fcntl(out_, F_SETFL, O_NONBLOCK);
  }
  ~InPipe() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    stop_reading();
  }
  InPipe(const InPipe&) = delete;
  InPipe& operator=(const InPipe&) = delete;

  void stop_reading() {
    if (out_ >= 0) close(out_);
    out_ = -1;
  }
  bool ends() {
    return wait_until([&] {
      if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
      return pid_ < 0;
    });
  }
  const std::string& output() {
    char buffer[65536];
    for (ssize_t n = 0; (n = read(out_, buffer, sizeof buffer)) > 0;)
      output_.append(buffer, static_cast<std::size_t>(n));
    return output_;
  }
  bool has_lines(std::size_t n) {
    return wait_until([&] { return count(output(), "\n") >= n; });
  }

 private:
  static std::vector<std::string> with_conf(const Sandbox& sandbox,
                                            std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--conf", sandbox.conf_path()});
    return arguments;
  }

  pid_t pid_ = -1;
  int out_ = -1;
  std::string output_;
};

// More than two looks take.
constexpr useconds_t kSomeLooks_us = 2'500'000;

}  // namespace

TEST_CASE("logins and ends are shown as they happen") {
  Sandbox sandbox;
  const Process anna(sleeps);
  sandbox.admit(login_of("anna", anna));
  OnTerminal watch(sandbox, {"list", "--watch"});
  CHECK(watch.shows("1 of 7 seats"));
  CHECK(watch.shows("anna"));
  {
    const Process ben(sleeps);
    const Admission session = sandbox.admit(login_of("ben", ben, "login", ""));
    CHECK(watch.shows("2 of 7 seats"));
    CHECK(watch.shows(" opened ben, login"));
    sandbox.registry().mark_revoked(session.ref, "");
    CHECK(watch.shows(" ending ben, login: was active"));
  }
  CHECK(watch.shows("1 of 7 seats"));
  CHECK(watch.shows(" closed ben, login"));
  const Process carl(sleeps);
  sandbox.reserve(login_of("carl", carl));
  CHECK(watch.shows(" reserved carl, sshd from 192.0.2.7"));
}

TEST_CASE("a frame is written over the one before, and nothing is cleared first") {
  Sandbox sandbox;
  const Process anna(sleeps);
  sandbox.admit(login_of("anna", anna));
  OnTerminal watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.shows("q quits"));
  watch.type("  ");
  REQUIRE(wait_until([&] { return count(watch.output(), "\033[H") >= 4; }));
  // Once, when the screen is taken.
  CHECK(count(watch.output(), "\033[2J") == 1);
  CHECK(count(watch.output(), kTaken) == 1);
}

TEST_CASE("q, an interrupt and every ending signal leave the terminal as it was") {
  Sandbox sandbox;
  OnTerminal watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.shows("0 of 7 seats"));
  CHECK_FALSE(watch.is_cooked());
  std::string ending = "EXIT 0.";
  SECTION("q") {
    watch.type("q");
  }
  SECTION("Ctrl-C") {
    watch.type("\x03");
  }
  SECTION("SIGTERM") {
    kill(watch.tool(), SIGTERM);
    ending = "SIGNAL 15.";
  }
  SECTION("SIGHUP") {
    kill(watch.tool(), SIGHUP);
    ending = "SIGNAL 1.";
  }
  SECTION("SIGQUIT") {
    watch.type("\x1c");
    ending = "SIGNAL 3.";
  }
  REQUIRE(watch.has_written(ending));
  CHECK(watch.is_cooked());
  CHECK(count(watch.output(), kTaken) == count(watch.output(), kGivenBack));
  CHECK(watch.output().rfind("\033[?25h") > watch.output().rfind("\033[?25l"));
  CHECK(watch.output().rfind("\033[?7h") > watch.output().rfind("\033[?7l"));
  CHECK_THAT(watch.output(), Catch::EndsWith(std::string(kGivenBack) + ending));
}

TEST_CASE("the terminal's settings are the same bit by bit afterwards") {
  Sandbox sandbox;
  int terminal = -1;
  const Process shell(sleeps, &terminal);  // only for its terminal's fresh settings
  termios fresh{};
  REQUIRE(tcgetattr(terminal, &fresh) == 0);
  OnTerminal watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.shows("q quits"));
  CHECK_FALSE(is_same(watch.settings(), fresh));
  watch.type("q");
  REQUIRE(watch.has_written("EXIT 0."));
  CHECK(is_same(watch.settings(), fresh));
}

TEST_CASE("stopped it gives the terminal to the shell, and continued it takes it again") {
  Sandbox sandbox;
  const Process anna(sleeps);
  OnTerminal watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.shows("0 of 7 seats"));
  watch.type("\x1a");
  REQUIRE(watch.has_written("STOPPED "));
  CHECK(watch.is_cooked());
  CHECK_THAT(watch.output(), Catch::EndsWith(std::string(kGivenBack) + "STOPPED "));
  sandbox.admit(login_of("anna", anna));
  watch.type("fg\n");
  CHECK(watch.shows("1 of 7 seats"));
  CHECK_FALSE(watch.is_cooked());
  watch.type("q");
  REQUIRE(watch.has_written("EXIT 0."));
  CHECK(watch.is_cooked());
  CHECK_THAT(watch.output(), Catch::EndsWith(std::string(kGivenBack) + "EXIT 0."));
}

TEST_CASE("what does not fit the screen is summed up, and a larger screen shows it") {
  Sandbox sandbox("sessions_limit = 100\n");
  const Process process(sleeps);
  for (int i = 0; i < 30; ++i)
    sandbox.admit(login_of("user" + std::to_string(i), process));
  OnTerminal watch(sandbox, {"list", "--watch"}, {"NO_COLOR=1", "LC_ALL=C"}, 12, 80);
  REQUIRE(watch.shows("30 of 100 seats"));
  CHECK(watch.shows("and 22 more"));
  const auto lines = [&] {
    const std::string screen = watch.screen();
    return count(screen, "\n") + 1;
  };
  CHECK(lines() == 12);
  watch.resize(40, 80);
  CHECK(wait_until([&] { return count(watch.screen(), "192.0.2.7") == 30; }));
  watch.resize(12, 40);
  CHECK(wait_until([&] {
    std::istringstream screen(watch.screen());
    std::size_t longest = 0, n = 0;
    for (std::string line; std::getline(screen, line); ++n)
      longest = std::max(longest, line.size());
    return n == 12 && longest <= 40 && longest > 20;
  }));
}

TEST_CASE("new sessions have a colour for a while, where colour is wanted") {
  Sandbox sandbox;
  const Process anna(sleeps);
  OnTerminal watch(sandbox, {"list", "--watch"}, {"NO_COLOR="});
  REQUIRE(watch.shows("0 of 7 seats"));
  const std::string id = id_of(sandbox.admit(login_of("anna", anna))).substr(0, 8);
  CHECK(watch.has_written("\033[32m" + id + "\033[0m"));
  OnTerminal plain(sandbox, {"list", "--watch"}, {"NO_COLOR=1"});
  REQUIRE(plain.shows("1 of 7 seats"));
  CHECK_THAT(plain.output(), !Catch::Contains("\033[3"));
}

TEST_CASE("a configuration that is broken meanwhile is told, and the list goes on") {
  Sandbox sandbox;
  const Process anna(sleeps);
  sandbox.admit(login_of("anna", anna));
  OnTerminal watch(sandbox, {"list", "--watch", "--by-user"});
  REQUIRE(watch.shows("anna"));
  sandbox.configure("sessions_limit = many\n");
  CHECK(watch.shows("test.conf:2: "));
  CHECK(watch.shows("anna"));
  sandbox.configure("sessions_limit = 9\n");
  CHECK(wait_until([&] { return watch.screen().find("test.conf") == std::string::npos; }));
}

TEST_CASE("what is wrong from the start is told before the screen is taken") {
  Sandbox sandbox("sessions_limit = many\n");
  OnTerminal watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.has_written("EXIT 5."));
  CHECK_THAT(watch.output(), !Catch::Contains(kTaken));
  CHECK_THAT(watch.output(), Catch::Contains("test.conf:2: "));
}

TEST_CASE("in a pipe each change is a line, beginning with what is there") {
  Sandbox sandbox;
  const Process anna(sleeps);
  const std::string anna_id = id_of(sandbox.admit(login_of("anna", anna)));
  InPipe watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.has_lines(1));
  CHECK_THAT(watch.output(), Catch::Matches(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  listed  )" +
                                            anna_id + "  anna  sshd  192.0.2.7  active\n"));
  std::string ben_id;
  {
    const Process ben(sleeps);
    ben_id = id_of(sandbox.admit(login_of("ben", ben, "login", "")));
    REQUIRE(watch.has_lines(2));
    CHECK_THAT(watch.output(),
               Catch::EndsWith("  opened  " + ben_id + "  ben  login  -  active\n"));
  }
  REQUIRE(watch.has_lines(3));
  CHECK_THAT(watch.output(), Catch::EndsWith("  closed  " + ben_id + "  ben  login  -  active\n"));
}

TEST_CASE("in a pipe, too, a configuration that is broken meanwhile ends nothing") {
  Sandbox sandbox;
  const Process anna(sleeps);
  sandbox.admit(login_of("anna", anna));
  InPipe watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.has_lines(1));
  sandbox.configure("sessions_limit = many\n");
  usleep(kSomeLooks_us);
  sandbox.configure("sessions_limit = 9\n");
  const Process ben(sleeps);
  sandbox.admit(login_of("ben", ben));
  REQUIRE(watch.has_lines(2));
  CHECK(count(watch.output(), "\n") == 2);
  CHECK_THAT(watch.output(), Catch::Contains("  opened  "));
}

TEST_CASE("of all sites, one that cannot be read for a while loses no session") {
  Sandbox sandbox;
  const std::string etc = sandbox.directory() + "/etc";
  REQUIRE(mkdir(etc.c_str(), 0755) == 0);
  REQUIRE(mkdir((etc + "/sessreg.d").c_str(), 0755) == 0);
  const auto configure = [&](const std::string& text) {
    std::ofstream(etc + "/sessreg.conf") << "registry = " << sandbox.registry_path() << "\n"
                                         << text;
  };
  configure("");
  std::ofstream(etc + "/sessreg.d/lab.conf") << "registry = " << etc << "/lab.reg\n";
  const Process anna(sleeps);
  sandbox.admit(login_of("anna", anna));
  InPipe watch({"list", "--watch", "--all-sites"}, [&] {
    if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(etc.c_str(), "/etc/security", nullptr, MS_BIND, nullptr) != 0)
      _exit(77);
  });
  if (!watch.has_lines(1)) {
    WARN("skipped: no mount namespace to be had");
    return;
  }
  configure("sessions_limit = many\n");
  usleep(kSomeLooks_us);
  configure("");
  const Process ben(sleeps);
  sandbox.admit(login_of("ben", ben));
  REQUIRE(watch.has_lines(2));
  CHECK(count(watch.output(), "\n") == 2);
  CHECK_THAT(watch.output(), Catch::Contains("  opened  "));
}

TEST_CASE("with --json each change is an object on a line of its own") {
  Sandbox sandbox;
  const Process anna(sleeps);
  const Admission session = sandbox.admit(login_of("anna", anna));
  InPipe watch(sandbox, {"list", "--watch", "--json"});
  REQUIRE(watch.has_lines(1));
  sandbox.registry().mark_revoked(session.ref, "lunch");
  REQUIRE(watch.has_lines(2));
  std::istringstream lines(watch.output());
  std::string line;
  std::getline(lines, line);
  const auto listed = parse_json(line);
  CHECK(listed["event"] == "listed");
  CHECK(listed["before"].is_null());
  CHECK(listed["session"]["user"] == "anna");
  std::getline(lines, line);
  const auto ending = parse_json(line);
  CHECK(ending.size() == 4);
  CHECK_THAT(ending["time"].get<std::string>(),
             Catch::Matches(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"));
  CHECK(ending["event"] == "ending");
  CHECK(ending["before"] == "active");
  CHECK(ending["session"]["state"] == "ending");
  CHECK(ending["session"]["id"] == id_of(session));
  CHECK(ending["session"]["reason"] == "lunch");
}

TEST_CASE("a change of state is called after the new state") {
  Sandbox sandbox;
  const Process anna([](const auto& ready) {
    start_child(sleeps);
    ready();
    sleep_for_ever();
  });
  const Admission session = sandbox.admit(login_of("anna", anna));
  InPipe watch(sandbox, {"list", "--watch"});
  REQUIRE(watch.has_lines(1));
  kill(anna.pid(), SIGKILL);
  REQUIRE(watch.has_lines(2));
  const std::string who = "  " + id_of(session) + "  anna  sshd  192.0.2.7  ";
  CHECK_THAT(watch.output(), Catch::EndsWith("  orphaned" + who + "orphaned\n"));
  sandbox.registry().mark_revoked(session.ref, "");
  REQUIRE(watch.has_lines(3));
  CHECK_THAT(watch.output(), Catch::EndsWith("  ending" + who + "ending\n"));
  end_everything_started();
}

TEST_CASE("a filter tells who comes to fit it from who logs in") {
  Sandbox sandbox;
  const Process anna(sleeps);
  const Admission session = sandbox.admit(login_of("anna", anna));
  InPipe active(sandbox, {"list", "--watch", "--state", "active"});
  InPipe ending(sandbox, {"list", "--watch", "--state", "ending"});
  REQUIRE(active.has_lines(1));
  usleep(300'000);  // for the other's first look
  sandbox.registry().mark_revoked(session.ref, "");
  REQUIRE(active.has_lines(2));
  CHECK_THAT(active.output(), Catch::Contains("  hidden  " + id_of(session)));
  REQUIRE(ending.has_lines(1));
  CHECK_THAT(ending.output(), Catch::Contains("  shown  " + id_of(session)));
}

TEST_CASE("it ends when nobody reads any more") {
  Sandbox sandbox;
  InPipe watch(sandbox, {"list", "--watch"});
  watch.stop_reading();
  CHECK(watch.ends());
}

TEST_CASE("forms that make no sense for a watch are wrong usage") {
  const Sandbox sandbox;
  for (const auto& more : std::vector<std::vector<std::string>>{
           {"--csv"}, {"--tsv"}, {"--by-user"}, {"--by-user", "--json"}}) {
    auto arguments = more;
    arguments.insert(arguments.begin(), {"list", "--watch"});
    CHECK(sandbox.tool(arguments).code == 2);
  }
}
