// The prompt hooks, sourced by real interactive shells on a terminal.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../support/catch.h"
#include "support.h"

namespace {

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t lines_in(const std::string& path) {
  const std::string text = content_of(path);
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// A shell on a terminal that has sourced the hook, which calls a stand-in for the tool: one that
// writes down how it was called, and says and does what the test wants.
class Shell {
 public:
  Shell(const std::string& name, const std::string& token) : name_(name) {
    answer("exit 0");
    const char* snippets = getenv("SESSREG_SNIPPETS");
    REQUIRE(snippets != nullptr);
    std::string hook = content_of(std::string(snippets) + "/sessreg." + name);
    for (std::size_t at = 0; (at = hook.find("@tool@")) != std::string::npos;)
      hook.replace(at, 6, tool_path());
    std::ofstream(hook_path()) << hook;
    terminal_pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    REQUIRE(terminal_pid_ >= 0);
    if (terminal_pid_ == 0) {
      setenv("SESSREG_TOKEN", token.c_str(), 1);
      setenv("XDG_RUNTIME_DIR", sandbox_.directory().c_str(), 1);
      setenv("TERM", "dumb", 1);
      if (name == "bash")
        execlp("bash", "bash", "--norc", "--noprofile", "--noediting", "-i", nullptr);
      else
        execlp("zsh", "zsh", "-f", "-i", "+Z", nullptr);
      _exit(127);
    }
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
    run("PS1='> '; PS2=''; setopt no_prompt_sp no_prompt_cr 2>/dev/null; "
        "stty -echo");
    run(". " + hook_path());
  }
  ~Shell() {
    kill(terminal_pid_, SIGKILL);
    close(terminal_);
    waitpid(terminal_pid_, nullptr, 0);
  }

  // What the stand-in does, a line of shell.
  void answer(const std::string& what) {
    const std::string next = tool_path() + ".next";
    std::ofstream(next) << "#!/bin/sh\necho \"$* token=$SESSREG_TOKEN\" >>" << log_path() << "\n"
                        << what << "\n";
    std::filesystem::permissions(next, std::filesystem::perms{0755});
    std::filesystem::rename(next, tool_path());
  }

  // Runs a line, and gives what was shown until it was over and the next line was read.
  std::string run(const std::string& line) {
    const std::string end = "done-" + std::to_string(++lines_);
    // Cut in two, so that an echo of the line is not taken for its output.
    const std::string text = line + "\necho do''ne-" + std::to_string(lines_) + "\n";
    CHECK(write(terminal_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    std::string shown;
    while (shown.find(end) == std::string::npos) {
      pollfd wait{terminal_, POLLIN, 0};
      char buffer[4096];
      if (poll(&wait, 1, 20'000) != 1) FAIL("the shell is stuck: " + shown);
      const ssize_t got = read(terminal_, buffer, sizeof buffer);
      if (got <= 0) FAIL("the shell has gone: " + shown);
      shown.append(buffer, static_cast<std::size_t>(got));
    }
    std::erase(shown, '\r');
    return shown;
  }
  // As if a minute had passed.
  std::string run_later(const std::string& line) { return run("__sessreg_at=1; " + line); }

  std::size_t calls() const { return lines_in(log_path()); }
  bool wait_for_calls(std::size_t number) const {
    return wait_until([&] { return calls() >= number; });
  }
  // Goes on until the shell knows the refusal, which has that many bytes, or that there is none any
  // more. What was shown.
  std::string run_until_refused(std::size_t bytes) {
    const std::string known = "refused-" + std::to_string(bytes) + "-bytes";
    std::string shown;
    REQUIRE(wait_until([&] {
      shown += run("echo ref''used-${#__sessreg_refused}-bytes");
      return shown.find(known) != std::string::npos;
    }));
    return shown;
  }
  std::string log() const { return content_of(log_path()); }
  pid_t pid() const { return terminal_pid_; }
  void remove_tool() const { unlink(tool_path().c_str()); }

 private:
  std::string tool_path() const { return sandbox_.directory() + "/tool"; }
  std::string hook_path() const { return sandbox_.directory() + "/hook"; }
  std::string log_path() const { return sandbox_.directory() + "/calls"; }

  Sandbox sandbox_;
  std::string name_;
  int terminal_ = -1;
  pid_t terminal_pid_ = -1;
  int lines_ = 0;
};

bool has(const std::string& shell) {
  for (const char* directory : {"/bin/", "/usr/bin/", "/usr/local/bin/"})
    if (access((directory + shell).c_str(), X_OK) == 0) return true;
  WARN("skipped: there is no " + shell + " here (tools/install-deps test)");
  return false;
}

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t number = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
    ++number;
  return number;
}

}  // namespace

TEST_CASE("a prompt hook marks the session, once a minute, with the token in the environment") {
  const std::string name = GENERATE("bash", "zsh");
  INFO(name);
  if (!has(name)) return;
  Shell shell(name, "v4.secret-token");
  REQUIRE(shell.wait_for_calls(1));
  CHECK(shell.log() == "touch token=v4.secret-token\n");
  for (int i = 0; i < 5; ++i)
    shell.run("true");
  shell.run_later("true");
  REQUIRE(shell.wait_for_calls(2));
  shell.run("true");
  CHECK(shell.calls() == 2);
}

TEST_CASE("a prompt hook neither delays nor shows anything, and leaves the shell as it was") {
  const std::string name = GENERATE("bash", "zsh");
  INFO(name);
  if (!has(name)) return;
  Shell shell(name, "v4.token");
  REQUIRE(shell.wait_for_calls(1));
  shell.answer("echo noise; echo noise >&2; sleep 30; exit 1");
  std::string shown = shell.run_later("sleep 50 & mine=$!");
  REQUIRE(shell.wait_for_calls(2));
  shown += shell.run("[ $mine = $! ] && echo sa''me-job");
  CHECK_THAT(shown, Catch::Contains("same-job"));
  shown += shell.run_later("(exit 3)\necho code-$?");
  REQUIRE(shell.wait_for_calls(3));
  CHECK_THAT(shown, Catch::Contains("code-3"));
  shown += shell.run("kill $mine; wait; true");
  shell.run("true");
  CHECK_THAT(shell.run("jobs; echo end-of''-jobs"), !Catch::Contains("sessreg"));
  CHECK_THAT(shown, !Catch::Contains("noise"));
  // No child is left, dead or alive.
  CHECK(wait_until([&] {
    return content_of("/proc/" + std::to_string(shell.pid()) + "/task/" +
                      std::to_string(shell.pid()) + "/children")
        .empty();
  }));
}

TEST_CASE("a refusal is shown once, and again after a mark") {
  const std::string name = GENERATE("bash", "zsh");
  INFO(name);
  if (!has(name)) return;
  Shell shell(name, "v4.token");
  REQUIRE(shell.wait_for_calls(1));
  const std::string full = "the site is full";
  shell.answer("echo '" + full + "' >&2; exit 6");
  std::string shown = shell.run_later("true");
  shown += shell.run_until_refused(full.size());
  shown += shell.run("true");
  CHECK(occurrences(shown, full) == 1);
  shown = shell.run_later("true");
  REQUIRE(shell.wait_for_calls(3));
  shell.run("sleep 0.3");
  shown += shell.run("true");
  CHECK(occurrences(shown, full) == 0);

  shell.answer("exit 0");
  shown = shell.run_later("true");
  shown += shell.run_until_refused(0);
  shell.answer("echo '" + full + "' >&2; exit 6");
  shown += shell.run_later("true");
  shown += shell.run_until_refused(full.size());
  shown += shell.run("true");
  CHECK(occurrences(shown, full) == 1);
}

TEST_CASE("other failures are not shown") {
  const std::string name = GENERATE("bash", "zsh");
  INFO(name);
  if (!has(name)) return;
  Shell shell(name, "v4.token");
  REQUIRE(shell.wait_for_calls(1));
  shell.answer("echo 'no daemon' >&2; exit 4");
  std::string shown = shell.run_later("true");
  REQUIRE(shell.wait_for_calls(2));
  shown += shell.run("sleep 0.3");
  shown += shell.run("true");
  CHECK(occurrences(shown, "no daemon") == 0);
}

TEST_CASE("without a token, or without the tool, a prompt hook does nothing") {
  const std::string name = GENERATE("bash", "zsh");
  INFO(name);
  if (!has(name)) return;
  Shell without(name, "");
  without.run_later("true");
  without.run("sleep 0.3");
  CHECK(without.calls() == 0);

  Shell shell(name, "v4.token");
  REQUIRE(shell.wait_for_calls(1));
  shell.remove_tool();
  std::string shown = shell.run_later("true");
  shown += shell.run("sleep 0.3");
  CHECK(shell.calls() == 1);
  CHECK_THAT(shown, !Catch::Contains("tool"));
}
