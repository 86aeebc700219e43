#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "../support/catch.h"
#include "config/config.h"
#include "host/process.h"

using namespace sessreg;

namespace {

constexpr std::chrono::seconds kLongestRun{60};

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const pid_t pid : all_pids().value_or(std::vector<pid_t>())) {
    const auto stat = read_process_stat(pid);
    if (stat && stat->ppid == parent) children.push_back(pid);
  }
  return children;
}

// Kills descendants first, so that none is left to a parent that is not ours.
void kill_tree(pid_t pid) {
  for (const pid_t child : children_of(pid))
    kill_tree(child);
  kill(pid, SIGKILL);
}

[[noreturn]] void exec_tool(std::vector<std::string> arguments, const ToolOptions& options) {
  for (const std::string& variable : options.environment) {
    const std::size_t equals = variable.find('=');
    setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  std::string program = tool_path();
  arguments.insert(arguments.begin(), options.called_as.empty() ? program : options.called_as);
  std::vector<char*> argv;
  for (std::string& argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (options.before_exec) options.before_exec();
  execv(program.c_str(), argv.data());
  _exit(127);
}

// Reads until all are at their end; kills the tool when it takes too long.
void collect(pid_t pid, std::vector<std::pair<int, std::string*>> sources) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestRun;
  while (!sources.empty()) {
    std::vector<pollfd> polls;
    for (const auto& [fd, text] : sources)
      polls.push_back({fd, POLLIN, 0});
    if (std::chrono::steady_clock::now() > deadline) kill(pid, SIGKILL);
    poll(polls.data(), polls.size(), 100);
    for (std::size_t i = polls.size(); i-- > 0;) {
      if (polls[i].revents == 0) continue;
      char buffer[65536];
      const ssize_t n = read(polls[i].fd, buffer, sizeof buffer);
      if (n > 0) {
        sources[i].second->append(buffer, static_cast<std::size_t>(n));
        continue;
      }
      close(polls[i].fd);
      sources.erase(sources.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

int exit_code_of(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

void become_subreaper() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGPIPE, SIG_IGN);
}

void end_everything_started() {
  for (int turn = 0; turn < 100; ++turn) {
    const auto children = children_of(getpid());
    if (children.empty()) return;
    for (const pid_t child : children)
      kill_tree(child);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

namespace {

std::string from_environment(const char* name) {
  const char* value = getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

}  // namespace

std::string tool_path() {
  return from_environment("SESSREG_TOOL");
}

ToolOptions with_own_names() {
  ToolOptions options;
  options.environment = {"LD_PRELOAD=" + from_environment("SESSREG_NAMES")};
  return options;
}

nlohmann::json ToolResult::json() const {
  return parse_json(out);
}

nlohmann::json parse_json(std::string_view text) {
  return nlohmann::json::parse(text);
}

std::string Catch::StringMaker<nlohmann::json>::convert(const nlohmann::json& value) {
  return value.dump();
}

ToolResult run_tool(std::vector<std::string> arguments, const ToolOptions& options) {
  int in[2], out[2], err[2];
  REQUIRE(pipe2(in, O_CLOEXEC) == 0);
  REQUIRE(pipe2(out, O_CLOEXEC) == 0);
  REQUIRE(pipe2(err, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    signal(SIGPIPE, SIG_DFL);
    exec_tool(std::move(arguments), options);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  if (!options.input.empty())
    CHECK(write(in[1], options.input.data(), options.input.size()) ==
          static_cast<ssize_t>(options.input.size()));
  close(in[1]);
  ToolResult result;
  collect(pid, {{out[0], &result.out}, {err[0], &result.err}});
  result.code = exit_code_of(pid);
  return result;
}

ToolResult run_tool_on_terminal(std::vector<std::string> arguments, unsigned short columns,
                                const ToolOptions& options) {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = columns;
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  REQUIRE(pid >= 0);
  if (pid == 0) exec_tool(std::move(arguments), options);
  fcntl(terminal, F_SETFD, FD_CLOEXEC);
  if (!options.input.empty())
    CHECK(write(terminal, options.input.data(), options.input.size()) ==
          static_cast<ssize_t>(options.input.size()));
  ToolResult result;
  collect(pid, {{terminal, &result.out}});
  std::erase(result.out, '\r');
  result.code = exit_code_of(pid);
  return result;
}

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds most) {
  const auto deadline = std::chrono::steady_clock::now() + most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

// --- Processes ---

void sleep_for_ever() {
  for (;;)
    pause();
}

void sleeps(const std::function<void()>& ready) {
  ready();
  sleep_for_ever();
}

void ignores(std::initializer_list<int> signals) {
  for (const int signal_number : signals)
    signal(signal_number, SIG_IGN);
}

pid_t start_child(const Process::Body& body) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) _exit(126);
  const pid_t pid = fork();
  if (pid == 0) {
    close(ready[0]);
    body([&] {
      if (write(ready[1], "r", 1) != 1) _exit(126);
    });
    _exit(0);
  }
  close(ready[1]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) _exit(126);
  close(ready[0]);
  return pid;
}

bool is_running(pid_t pid) {
  const auto stat = read_process_stat(pid);
  return stat && !stat->is_dead_zombie();
}

Process::Process(const Body& body, int* terminal) {
  int ready[2];
  REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
  pid_ = terminal != nullptr ? forkpty(&terminal_, nullptr, nullptr, nullptr) : fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    if (terminal == nullptr) setsid();
    // Catch2's handlers are not for this process.
    for (const int signal_number : {SIGTERM, SIGINT, SIGSEGV, SIGABRT, SIGFPE, SIGILL})
      signal(signal_number, SIG_DFL);
    body([&] {
      if (write(ready[1], "r", 1) != 1) _exit(126);
    });
    _exit(0);
  }
  close(ready[1]);
  if (terminal != nullptr) {
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
    *terminal = terminal_;
  }
  pollfd wait{ready[0], POLLIN, 0};
  char byte = 0;
  const bool is_ready = poll(&wait, 1, 20'000) == 1 && read(ready[0], &byte, 1) == 1;
  close(ready[0]);
  REQUIRE(is_ready);
}

Process::~Process() {
  kill_tree(pid_);
  if (terminal_ >= 0) close(terminal_);
  waitpid(pid_, nullptr, 0);
}

ProcessId Process::id() const {
  const auto stat = read_process_stat(pid_);
  return {pid_, stat ? stat->start_ticks : 0};
}

bool Process::is_running() const {
  return ::is_running(pid_);
}

std::string Process::terminal_output() const {
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(terminal_, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  return text;
}

// --- Sandbox ---

Sandbox::Sandbox(const std::string& configuration) {
  const char* base = getenv("TMPDIR");
  std::string name = std::string(base != nullptr ? base : "/tmp") + "/sessreg-tool-XXXXXX";
  REQUIRE(mkdtemp(name.data()) != nullptr);
  directory_ = name;
  // Other users may look in, as in /run/sessreg.
  std::filesystem::permissions(directory_, std::filesystem::perms{0755});
  configure(configuration);
}

Sandbox::~Sandbox() {
  registry_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Sandbox::configure(const std::string& configuration) {
  std::ofstream conf(conf_path());
  conf << "registry = " << registry_path() << "\n" << configuration;
  // Behind it, so that its lines keep their numbers.
  const bool at_top = configuration.find('[') == std::string::npos;
  if (at_top && configuration.find("key_file") == std::string::npos)
    conf << "key_file = " << key_path() << "\n";
  std::filesystem::permissions(conf_path(), std::filesystem::perms{0644});
}

Registry& Sandbox::registry() {
  if (!registry_) {
    auto opened = Registry::open_or_create(registry_path(), *host_identity(), 4096);
    if (!opened) FAIL(opened.error().what);
    registry_.emplace(std::move(*opened));
  }
  return *registry_;
}

namespace {

ConfiguredLimit limit_of(const Sandbox& sandbox) {
  const auto config = load_config("default", sandbox.conf_path());
  if (!config) FAIL(config.error().what);
  return {config->identity, config->sessions_limit};
}

}  // namespace

Terms Sandbox::terms() {
  return limit_of(*this);
}

Admission Sandbox::admit(const Login& login, const Terms& terms) {
  registry().publish_limit(registry().published_limit(), terms.site);
  Admission admission = registry().admit(login, terms, SystemProcesses());
  REQUIRE(admission.admitted());
  return admission;
}

Admission Sandbox::reserve(const Login& login) {
  registry().publish_limit(registry().published_limit(), limit_of(*this));
  Admission admission =
      registry().reserve(login, limit_of(*this), SystemProcesses(), now().boottime_ms + 600'000);
  REQUIRE(admission.admitted());
  return admission;
}

std::vector<std::string> Sandbox::with_conf(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"--conf", conf_path()});
  return arguments;
}

ToolResult Sandbox::tool(std::vector<std::string> arguments, const ToolOptions& options) const {
  return run_tool(with_conf(std::move(arguments)), options);
}

ToolResult Sandbox::tool_on_terminal(unsigned short columns, std::vector<std::string> arguments,
                                     const ToolOptions& options) const {
  return run_tool_on_terminal(with_conf(std::move(arguments)), columns, options);
}

Login login_of(const std::string& user, const Process& process, const std::string& service,
               const std::string& host, const std::string& tty) {
  Login login;
  login.user = user;
  login.uid = 1000;
  login.service = service;
  login.host = host;
  login.tty = tty;
  login.self = process.id();
  login.parent = self_id();
  return login;
}

std::string id_of(const Admission& admission) {
  return to_hex(admission.id);
}
