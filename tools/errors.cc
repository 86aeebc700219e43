#include "errors.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "output.h"
#include "text.h"
#include "tool_name.h"

namespace sessreg {
namespace {

const char* name_of(Errc code) {
  switch (code) {
    case Errc::invalid_config:
      return "invalid_config";
    case Errc::config_missing:
      return "config_missing";
    case Errc::not_found:
      return "not_found";
    case Errc::permission_denied:
      return "permission_denied";
    case Errc::insecure_file:
      return "insecure_file";
    case Errc::foreign_file:
      return "foreign_file";
    case Errc::other_layout:
      return "other_layout";
    case Errc::truncated:
      return "truncated";
    case Errc::corrupt:
      return "corrupt";
    case Errc::other_boot:
      return "other_boot";
    case Errc::other_pid_namespace:
      return "other_pid_namespace";
    case Errc::no_space:
      return "no_space";
    case Errc::unsupported_fs:
      return "unsupported_fs";
    case Errc::system:
      return "system";
  }
  return "unknown";
}

}  // namespace

Failure usage_failure(const std::string& what) {
  return {kExitUsage, "usage", what};
}

Failure failure_of(const Error& error) {
  // The library has escaped what it quotes; a path it was given may still hold anything.
  std::string what = one_line(error.what);
  if (error.code != Errc::permission_denied) return {kExitUnusable, name_of(error.code), what};
  if (geteuid() != 0) what += ": only root may do this";
  return {kExitPermission, name_of(error.code), what};
}

void report(const Failure& failure, bool json) {
  std::string line;
  if (json) {
    line = json_line({{"error", failure.name()}, {"message", failure.what()}});
  } else {
    line = std::string(kToolName) + ": " + failure.what() + "\n";
  }
  // There is nobody left to tell if this fails.
  static_cast<void>(write_all(STDERR_FILENO, line));
}

void remark(const std::string& text) {
  static_cast<void>(write_all(STDERR_FILENO, std::string(kToolName) + ": " + text + "\n"));
}

}  // namespace sessreg
