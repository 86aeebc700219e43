#include "common/errors.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/output.h"
#include "common/tool_name.h"

namespace sessreg {
namespace {

// In the order of Errc.
constexpr std::array kNames = {
    "invalid_config", "config_missing",      "not_found",    "permission_denied", "insecure_file",
    "foreign_file",   "other_layout",        "older_layout", "truncated",         "corrupt",
    "other_boot",     "other_pid_namespace", "no_space",     "unsupported_fs",    "bad_key",
    "already_exists", "bad_claims",          "system",
};
static_assert(kNames.size() == static_cast<std::size_t>(Errc::system) + 1);

const char* name_of(Errc code) {
  return kNames.at(static_cast<std::size_t>(code));
}

// The library knows the tool's name, but not how it has to be called for this site.
void name_the_site(std::string& what, const std::string& called) {
  const std::string hint = std::string("'") + kToolName + " purge";
  const std::size_t at = what.rfind(hint);
  if (at != std::string::npos) what.replace(at, hint.size(), "'" + called + " purge");
}

}  // namespace

Failure usage_failure(const std::string& what) {
  return {kExitUsage, "usage", what};
}

Failure failure_of(const Error& error, const std::string& called) {
  // The library has escaped what it quotes, but a path it was given may still hold anything.
  std::string what = one_line(error.what);
  name_the_site(what, called);
  if (error.code != Errc::permission_denied) return {kExitUnusable, name_of(error.code), what};
  if (geteuid() != 0) what += ": only root may do this";
  return {kExitPermission, name_of(error.code), what};
}

void report(const Failure& failure, bool json) {
  if (*failure.what() == '\0') return;
  std::string line;
  if (json) {
    line = json_line({{"error", failure.name()}, {"message", failure.what()}});
  } else {
    line = std::string(tool_name()) + ": " + failure.what() + "\n";
  }
  // There is nobody left to tell if this fails.
  static_cast<void>(write_all(STDERR_FILENO, line));
}

void remark(const std::string& text) {
  static_cast<void>(write_all(STDERR_FILENO, std::string(tool_name()) + ": " + text + "\n"));
}

}  // namespace sessreg
