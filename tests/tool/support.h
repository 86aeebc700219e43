// What the tests of the tool share: a private registry, sessions with real processes, and the tool
// run through pipes or on a terminal. Everything that is started is ended again, and every wait has
// an end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../support/catch.h"
#include "registry/registry.h"

// Orphans of the processes that a test starts become children of the test program, so that
// end_everything_started() finds them all.
void become_subreaper();
void end_everything_started();

struct ToolResult {
  int code = -1;  // -1: ended by a signal, or had to be
  std::string out;
  std::string err;

  nlohmann::json json() const;
};

// Parsed and printed in one file: each that does so itself compiles for seconds longer.
nlohmann::json parse_json(std::string_view text);
template <>
struct Catch::StringMaker<nlohmann::json> {
  static std::string convert(const nlohmann::json& value);
};

struct ToolOptions {
  std::string input;
  std::vector<std::string> environment;  // NAME=value
  std::function<void()> before_exec;     // in the child
  std::string called_as;                 // argv[0]; empty: its path
};

std::string tool_path();
// So that names are looked up in names_preload.cc.
ToolOptions with_own_names();
ToolResult run_tool(std::vector<std::string> arguments, const ToolOptions& options = {});

// Standard input, output and error are a terminal of that width; carriage returns are dropped.
ToolResult run_tool_on_terminal(std::vector<std::string> arguments, unsigned short columns,
                                const ToolOptions& options = {});

bool wait_until(const std::function<bool()>& condition,
                std::chrono::milliseconds most = std::chrono::seconds(20));

// A process that a test started, in a terminal session of its own, doing what `body` does; killed
// with all its descendants at the end of the test.
class Process {
 public:
  // `body` calls ready() when it can be signalled. On a terminal if `terminal` is not null, which
  // gets the descriptor of the other side.
  using Body = std::function<void(const std::function<void()>& ready)>;
  explicit Process(const Body& body, int* terminal = nullptr);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  sessreg::ProcessId id() const;
  bool is_running() const;
  // Reads what the terminal was sent so far.
  std::string terminal_output() const;

 private:
  pid_t pid_ = -1;
  int terminal_ = -1;
};

// Bodies.
void sleeps(const std::function<void()>& ready);
void ignores(std::initializer_list<int> signals);
[[noreturn]] void sleep_for_ever();
// Starts a child of the calling process and waits until it is ready; returns its pid.
pid_t start_child(const Process::Body& body);

bool is_running(pid_t pid);

// A directory of its own with a configuration and, once it is asked for, a registry.
class Sandbox {
 public:
  explicit Sandbox(const std::string& configuration = "sessions_limit = 7\n");
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  void configure(const std::string& configuration);
  const std::string& directory() const { return directory_; }
  std::string registry_path() const { return directory_ + "/test.reg"; }
  std::string key_path() const { return directory_ + "/test.key"; }
  std::string conf_path() const { return directory_ + "/test.conf"; }

  sessreg::Registry& registry();
  // The site's limit as it is configured, and no other rule.
  sessreg::Terms terms();
  sessreg::Admission admit(const sessreg::Login& login) { return admit(login, terms()); }
  sessreg::Admission admit(const sessreg::Login& login, const sessreg::Terms& terms);
  sessreg::Admission reserve(const sessreg::Login& login);

  ToolResult tool(std::vector<std::string> arguments, const ToolOptions& options = {}) const;
  ToolResult tool_on_terminal(unsigned short columns, std::vector<std::string> arguments,
                              const ToolOptions& options = {}) const;

 private:
  std::vector<std::string> with_conf(std::vector<std::string> arguments) const;

  std::string directory_;
  std::optional<sessreg::Registry> registry_;
};

sessreg::Login login_of(const std::string& user, const Process& process,
                        const std::string& service = "sshd", const std::string& host = "192.0.2.7",
                        const std::string& tty = "ssh");
std::string id_of(const sessreg::Admission& admission);
