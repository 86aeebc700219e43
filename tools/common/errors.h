// How a command fails: one exception, one line, one exit code.
//
// A command throws Failure; main() alone catches it. Everything in `what` that came from outside
// must already be escaped for the terminal.
#pragma once

#include <exception>
#include <string>

#include "base/result.h"

namespace sessreg {

enum ExitCode : int {
  kExitDone = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitNoSuchSession = 3,
  kExitPermission = 4,
  kExitUnusable = 5,  // the registry or the configuration
  kExitRefused = 6,
};

class Failure : public std::exception {
 public:
  // `name` is what --json gives as `error`: lower case with underscores.
  Failure(ExitCode code, std::string name, std::string what)
      : code_(code), name_(std::move(name)), what_(std::move(what)) {}

  ExitCode code() const { return code_; }
  const std::string& name() const { return name_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  ExitCode code_;
  std::string name_;
  std::string what_;
};

// A wrong command line: exit code 2.
Failure usage_failure(const std::string& what);

// An error of the library as the tool reports it. If its mend is a command of the tool, the command
// is shown as it must be called: `called` is the tool's name with the options that choose the site.
Failure failure_of(const Error& error, const std::string& called);

// Prints the line on standard error; with `json`, an object on one line.
void report(const Failure& failure, bool json);

// Prints a remark on standard error that is not a failure.
void remark(const std::string& text);

}  // namespace sessreg
