#include "config/pam_arguments.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../../support/catch.h"

using namespace sessreg;

namespace {

PamArguments parse(const std::vector<const char*>& words) {
  return parse_pam_arguments(words);
}

// "site=", "on_error=deny", "on_error=allow", "preauth", …
std::set<std::string> arguments_in_table() {
  std::set<std::string> found;
  for (const PamArgument& each : pam_arguments()) {
    if (each.values.empty()) found.emplace(each.name);
    for (const std::string_view value : each.values)
      found.insert(std::string(each.name).append(value));
  }
  return found;
}

// Those that the manual page names behind `macro` in that section, which are its words in bold
// (Cm) up to what stands for a value (Ns Ar NAME).
std::set<std::string> arguments_in_page(const std::string& section, const std::string& macro) {
  std::ifstream page(SESSREG_SOURCE_DIR "/pam_module/pam_sessreg.8");
  std::set<std::string> found;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with(".Sh ")) inside = line == ".Sh " + section;
    if (!inside || !line.starts_with(macro + " Cm ")) continue;
    std::istringstream words(line.substr(macro.size() + 4));
    for (std::string word; words >> word && word != "Ns";)
      if (word != "|" && word != ",") found.insert(word);
  }
  return found;
}

}  // namespace

TEST_CASE("the manual page names the module's arguments, each and no other") {
  CHECK(arguments_in_page("SYNOPSIS", ".Op") == arguments_in_table());
  CHECK(arguments_in_page("OPTIONS", ".It") == arguments_in_table());
}

TEST_CASE("a line without words is of the site default, and asks for nothing") {
  const PamArguments none = parse({});
  CHECK(none.site == "default");
  CHECK_FALSE(none.conf);
  CHECK_FALSE(none.on_error);
  CHECK_FALSE((none.debug || none.quiet || none.preauth || none.authfail || none.check_limit ||
               none.observe));
}

TEST_CASE("each argument sets what it names") {
  CHECK(parse({"site=web"}).site == "web");
  CHECK(parse({"conf=/etc/a=b"}).conf == "/etc/a=b");
  CHECK(parse({"on_error=deny"}).on_error == OnError::deny);
  CHECK(parse({"on_error=allow"}).on_error == OnError::allow);
  CHECK(parse({"debug"}).debug);
  CHECK(parse({"quiet"}).quiet);
  CHECK(parse({"preauth"}).preauth);
  CHECK(parse({"authfail"}).authfail);
  CHECK(parse({"check_limit"}).check_limit);
  CHECK(parse({"observe"}).observe);
}

TEST_CASE("the last of two counts, and what is unknown changes nothing") {
  CHECK(parse({"site=a", "site=b"}).site == "b");
  CHECK(parse({"on_error=deny", "on_error=allow"}).on_error == OnError::allow);
  CHECK(parse({"on_error=allow", "on_error=maybe"}).on_error == OnError::allow);
  CHECK(parse({"conf="}).conf == "");
  for (const char* word : {"", "=", "site", "Site=web", "on_error", "on_error=", "on_error=Allow",
                           "debug=", "quiet ", "preauthx"}) {
    INFO(word);
    CHECK_FALSE(is_pam_argument(word));
  }
  const PamArguments lax = parse({"DEBUG", "quiet=yes", "x"});
  CHECK_FALSE((lax.debug || lax.quiet));
}
