// The words after pam_sessreg.so on a line of a PAM stack.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace sessreg {

struct Arguments {
  std::string site = "default";
  std::optional<std::string> conf;  // none: the site's default path
  std::optional<OnError> on_error;
  bool debug = false;
  bool quiet = false;
  bool preauth = false;
  bool authfail = false;
  bool check_limit = false;
  bool observe = false;

  std::vector<std::string> ignored;  // unknown words, to be logged
};

Arguments parse_arguments(int argc, const char** argv);

}  // namespace sessreg
