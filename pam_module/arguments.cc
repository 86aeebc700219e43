#include "arguments.h"

#include <string_view>

namespace sessreg {

Arguments parse_arguments(int argc, const char** argv) {
  Arguments result;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with("site=")) {
      result.site = word.substr(5);
    } else if (word.starts_with("conf=")) {
      result.conf = word.substr(5);
    } else if (word == "on_error=deny") {
      result.on_error = OnError::deny;
    } else if (word == "on_error=allow") {
      result.on_error = OnError::allow;
    } else if (word == "debug") {
      result.debug = true;
    } else if (word == "quiet") {
      result.quiet = true;
    } else if (word == "preauth") {
      result.preauth = true;
    } else if (word == "authfail") {
      result.authfail = true;
    } else if (word == "check_limit") {
      result.check_limit = true;
    } else if (word == "observe") {
      result.observe = true;
    } else {
      result.ignored.emplace_back(word);
    }
  }
  return result;
}

}  // namespace sessreg
