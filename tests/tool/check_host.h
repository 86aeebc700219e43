// A host of its own for `sessreg check`: PAM stacks, modules, sshd's configuration.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "../support/catch.h"
#include "support.h"

inline constexpr const char* kGoodSshd =
    "auth     requisite                   pam_sessreg.so preauth\n"
    "auth     [success=2 default=ignore]  pam_unix.so nullok\n"
    "auth     [default=die]               pam_sessreg.so authfail\n"
    "auth     requisite                   pam_deny.so\n"
    "auth     required                    pam_permit.so\n"
    "account  required                    pam_unix.so\n"
    "account  required                    pam_sessreg.so\n"
    "session  required                    pam_sessreg.so\n"
    "-session optional                    pam_systemd.so\n";

class Host {
 public:
  explicit Host(const std::string& configuration = "max_failed_auth_per_host = 3\n")
      : sandbox_(configuration) {
    std::filesystem::create_directory(pam_dir());
    std::filesystem::create_directory(module_dir());
    std::ofstream(module_dir() + "/pam_sessreg.so") << "module";
    write("sshd_config", "UsePAM yes\n");
  }

  Sandbox& sandbox() { return sandbox_; }
  const Sandbox& sandbox() const { return sandbox_; }
  std::string pam_dir() const { return sandbox_.directory() + "/pam.d"; }
  std::string module_dir() const { return sandbox_.directory() + "/security"; }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(sandbox_.directory() + "/" + name) << text;
  }
  void stack(const std::string& service, const std::string& text) const {
    write("pam.d/" + service, text);
  }

  ToolResult check(const std::vector<std::string>& more = {},
                   const ToolOptions& options = {}) const {
    std::vector<std::string> arguments = {"check",      "--pam-dir", pam_dir(), "--module-dir",
                                          module_dir(), "--root",    root()};
    if (!has_own_sshd_)
      arguments.insert(arguments.end(), {"--sshd-config", sandbox_.directory() + "/sshd_config"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return sandbox_.tool(arguments, options);
  }

  // From now on sshd's configuration is looked for below the root.
  void has_sshd_below_root() { has_own_sshd_ = true; }
  std::string root() const { return sandbox_.directory() + "/root"; }
  void write_below_root(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root() + name).parent_path());
    write("root" + name, text);
  }

  // What check() says, with "~" for the directory; and that its exit code fits. Without what it says of
  // the site as a whole, which check_effect_test.cc is about: most configurations here limit nobody.
  std::string findings(const ToolOptions& options = {}) const {
    const std::string all = everything(options);
    std::string text;
    for (std::size_t at = 0; at < all.size();) {
      const std::string line = all.substr(at, all.find('\n', at) + 1 - at);
      at += line.size();
      if (!line.starts_with("site ") && line.find("so that nobody is refused") == line.npos)
        text += line;
    }
    return text.empty() ? "no findings\n" : text;
  }
  std::string everything(const ToolOptions& options = {},
                         const std::vector<std::string>& more = {}) const {
    const ToolResult result = check(more, options);
    CHECK(result.err.empty());
    CHECK(result.code == (result.out.starts_with("no findings\n") ? 0 : 1));
    std::string text = result.out;
    for (std::size_t at; (at = text.find(sandbox_.directory())) != std::string::npos;)
      text.replace(at, sandbox_.directory().size(), "~");
    return text;
  }

 private:
  Sandbox sandbox_;
  bool has_own_sshd_ = false;
};
