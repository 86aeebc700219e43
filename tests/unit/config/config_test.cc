// The configuration's syntax: lines, comments, sections, and the exact text of each refusal.

#include "config/config.h"

#include <string>

#include "../../support/catch.h"

using namespace sessreg;

namespace {

Result<Config> parse(std::string_view text) {
  return parse_config(text, "FILE", "default");
}

Result<Config> parse_all(std::string_view text) {
  return parse_config(text, "FILE", "default");
}

std::string why(const Result<Config>& result) {
  if (result) return "accepted";
  CHECK(result.error().code == Errc::invalid_config);
  return result.error().what;
}

std::string fault(std::string_view text) {
  return why(parse(text));
}
std::string fault_all(std::string_view text) {
  return why(parse_all(text));
}

}  // namespace

TEST_CASE("an empty file means the defaults") {
  const auto config = parse("");
  REQUIRE(config);
  CHECK(config->site == "default");
  CHECK(config->sessions_limit == -1);
  CHECK(config->dangling_after == Seconds{345600});
  CHECK(config->exempt.users == std::vector<std::string>{"root"});
  CHECK(config->exempt.groups.empty());
  CHECK(config->only_services.empty());
  CHECK(config->ignore_services.size() == 69);
  CHECK(config->ignore_services.front() == "cron");
  CHECK(config->ignore_services.back() == "partimaged");
  CHECK(config->reservation_time == Seconds{130});
  CHECK(config->capacity == 4096);
  CHECK(config->on_error == OnError::deny);
  CHECK(config->token);
  CHECK(config->message_site_full ==
        "There are more than {limit} active user sessions. Please try again later.");
  CHECK(config->sections.empty());
  REQUIRE(config->blacklist_exempt.size() == 2);
  CHECK(config->blacklist_exempt[0].prefix_bits == 104);
  CHECK(config->blacklist_exempt[1].prefix_bits == 128);
}

TEST_CASE("the default files bear the site's name") {
  const auto config = parse_config("", "FILE", "lab-1");
  REQUIRE(config);
  CHECK(config->site == "lab-1");
  CHECK(config->registry == "/run/sessreg/lab-1.reg");
  CHECK(config->key_file == "/var/lib/sessreg/lab-1.key");
}

TEST_CASE("a bad site name is refused before it becomes part of a path") {
  const auto config = parse_config("", "FILE", "../x");
  REQUIRE_FALSE(config);
  CHECK(config.error().what ==
        "site name '../x' is not valid; use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin "
        "with a letter, a digit or _");
}

TEST_CASE("white space around keys and values does not matter") {
  for (const char* text : {"sessions_limit=7", "sessions_limit = 7\n", " \tsessions_limit\t=\t7 \n",
                           "\n\nsessions_limit = 7", "sessions_limit = 7 # seven",
                           "sessions_limit = 7\t#seven", "# a\n  # b = c\nsessions_limit = 7\n#"}) {
    CAPTURE(text);
    const auto config = parse(text);
    REQUIRE(config);
    CHECK(config->sessions_limit == 7);
  }
}

TEST_CASE("a '#' begins a comment only after white space") {
  CHECK(fault("sessions_limit = 7# seven") ==
        "FILE:1: sessions_limit: '7# seven' is not a number; write -1 (unlimited), 0 (admit nobody "
        "new) or a count");
  CHECK(parse("registry = /run/a#b.reg")->registry == "/run/a#b.reg");
  CHECK(parse("exempt = # nobody")->exempt.users.empty());
  CHECK(fault("exempt =#nobody") ==
        "FILE:1: exempt: '#nobody' is not a name; put a space before the '#' of a comment");
  CHECK(fault("capacity # = 5") == "FILE:1: 'capacity' has no '='; write KEY = VALUE");
}

TEST_CASE("a message runs to the end of the line") {
  CHECK(parse("message_drain = Call #4711 # now = then ")->message_drain ==
        "Call #4711 # now = then");
}

TEST_CASE("a line that is no text is refused") {
  CHECK(fault("# a\nsessions_limit = 1\r\n") ==
        "FILE:2: line ends with a carriage return; save the file with Unix line ends");
  CHECK(fault("# a\rb") == R"(FILE:1: control character \x0d is not allowed; remove it)");
  CHECK(fault(std::string_view("# a\0b", 5)) ==
        R"(FILE:1: control character \x00 is not allowed; remove it)");
  CHECK(fault("\n# \x1b[31m") == R"(FILE:2: control character \x1b is not allowed; remove it)");
  CHECK(fault("# \xc2\x9b") == R"(FILE:1: control character \xc2\x9b is not allowed; remove it)");
  CHECK(fault("# \u202e") == R"(FILE:1: control character \xe2\x80\xae is not allowed; remove it)");
  CHECK(fault("# \xff") == R"(FILE:1: byte \xff is not valid UTF-8; save the file as UTF-8)");
  CHECK(fault("# \xe2\x82") == R"(FILE:1: byte \xe2 is not valid UTF-8; save the file as UTF-8)");
  CHECK(fault("\ufeff# a") == "FILE:1: file begins with a byte order mark; save it without one");
  CHECK(fault("# Zoë 日本\t🙂") == "accepted");
}

TEST_CASE("a line has at most 1024 bytes") {
  CHECK(fault("#" + std::string(1023, 'x') + "\n") == "accepted");
  CHECK(fault("\n#" + std::string(1024, 'x') + "\n") ==
        "FILE:2: line is longer than 1024 bytes; shorten it");
  CHECK(fault("#" + std::string(1024, 'x')) ==
        "FILE:1: line is longer than 1024 bytes; shorten it");
}

TEST_CASE("a file has at most a mebibyte") {
  std::string text;
  while (text.size() < (1U << 20))
    text += "#" + std::string(1022, 'x') + "\n";
  REQUIRE(text.size() == 1U << 20);
  CHECK(fault(text) == "accepted");
  CHECK(fault(text + "\n") ==
        "FILE: file is larger than 1048576 bytes; is this the configuration file?");
}

TEST_CASE("an unknown key is refused, with the key that was likely meant") {
  CHECK(fault("# x\n\nsesions_limit = 3") ==
        "FILE:3: unknown key 'sesions_limit'; did you mean sessions_limit?");
  CHECK(fault("Sessions_Limit = 3") ==
        "FILE:1: unknown key 'Sessions_Limit'; did you mean sessions_limit?");
  CHECK(fault("colour = red") == "FILE:1: unknown key 'colour'; sessreg.conf(5) lists the keys");
  CHECK(fault("x = red") == "FILE:1: unknown key 'x'; sessreg.conf(5) lists the keys");
  CHECK(fault("sessions limit = 3") ==
        "FILE:1: unknown key 'sessions limit'; did you mean sessions_limit?");
}

TEST_CASE("a line without a key or a value is refused") {
  CHECK(fault("sessions_limit 10") == "FILE:1: 'sessions_limit 10' has no '='; write KEY = VALUE");
  CHECK(fault(" = 10") == "FILE:1: no key before the '='; write KEY = VALUE");
  CHECK(fault("sessions_limit =") ==
        "FILE:1: sessions_limit has no value; write one, or remove the line to have the default");
  CHECK(fault("sessions_limit = # none") ==
        "FILE:1: sessions_limit has no value; write one, or remove the line to have the default");
  CHECK(fault("message_drain = ") ==
        "FILE:1: message_drain has no value; write one, or remove the line to have the default");
}

TEST_CASE("what is quoted from the file is escaped and shortened") {
  CHECK(fault("a\tb = 1") == R"(FILE:1: unknown key 'a\x09b'; sessreg.conf(5) lists the keys)");
  CHECK(fault("a\\b = 1") == R"(FILE:1: unknown key 'a\b'; sessreg.conf(5) lists the keys)");
  CHECK(fault(std::string(100, 'k') + " = 1") ==
        "FILE:1: unknown key '" + std::string(60, 'k') + "...'; sessreg.conf(5) lists the keys");
  CHECK(parse_config("x = 1", "/tmp/\x1b[m\n", "default")
            .error()
            .what.rfind(R"(/tmp/\x1b[m\x0a:1: unknown key)", 0) == 0);
}

TEST_CASE("a key set twice is refused with both lines") {
  CHECK(fault("\n\nsessions_limit = 1\n\n\n\nsessions_limit = 1") ==
        "FILE:7: sessions_limit was already set on line 3");
  CHECK(fault_all("[user a]\nuser_lock = 1\nuser_lock = 2") ==
        "FILE:3: user_lock was already set on line 2");
}

TEST_CASE("the same key in two places is set in both") {
  const auto config = parse_all(
      "user_lock = 1\n[user a]\nuser_lock = 2\n[user b]\nuser_lock = 3\n[group a]\nuser_lock = 4");
  REQUIRE(config);
  CHECK(config->user_lock == Seconds{1});
  REQUIRE(config->sections.size() == 3);
  CHECK(config->sections[0].settings.user_lock == Seconds{2});
  CHECK(config->sections[1].settings.user_lock == Seconds{3});
  CHECK(config->sections[2].settings.user_lock == Seconds{4});
  CHECK_FALSE(config->sections[2].settings.idle_after);
}

TEST_CASE("sections are kept in the order of the file") {
  const auto config = parse("[user alice]\n[ group\tstaff ] # all\n[service sshd]\n[user sshd]");
  REQUIRE(config);
  REQUIRE(config->sections.size() == 4);
  CHECK(config->sections[0].kind == SectionKind::user);
  CHECK(config->sections[0].name == "alice");
  CHECK(config->sections[1].kind == SectionKind::group);
  CHECK(config->sections[1].name == "staff");
  CHECK(config->sections[2].kind == SectionKind::service);
  CHECK(config->sections[2].name == "sshd");
  CHECK(config->sections[3].kind == SectionKind::user);
}

TEST_CASE("a bad section header is refused") {
  const std::string mend = "; write [user NAME], [group NAME] or [service NAME]";
  CHECK(fault("[users alice]") == "FILE:1: '[users alice]' is not a known section" + mend);
  CHECK(fault("[User alice]") == "FILE:1: '[User alice]' is not a known section" + mend);
  CHECK(fault("[]") == "FILE:1: '[]' is not a known section" + mend);
  CHECK(fault("[") == "FILE:1: '[' has no ']' at its end" + mend);
  CHECK(fault("[user alice") == "FILE:1: '[user alice' has no ']' at its end" + mend);
  CHECK(fault("[user alice] x") == "FILE:1: '[user alice] x' has no ']' at its end" + mend);
  CHECK(fault("[user]") == "FILE:1: section has no name; write [user NAME]");
  CHECK(fault("[group ]") == "FILE:1: section has no name; write [group NAME]");
  CHECK(fault("[user a b]") ==
        "FILE:1: 'a b' is not a name; put a name with white space in double quotes");
  CHECK(fault("[user a:b]") == "FILE:1: 'a:b' is not a name; a name has no ':' and no '/'");
  CHECK(fault("[group a,b]") ==
        "FILE:1: 'a,b' is not a name; separate names by spaces, not by commas");
  CHECK(fault("[group @staff]") ==
        "FILE:1: '@staff' is not a name; write it without the '@' (a group: [group NAME])");
  CHECK(fault("[user a]]") ==
        "FILE:1: 'a]' is not a name; a section's name has '[' and ']' in double quotes only");
}

TEST_CASE("the name of a section may be in double quotes") {
  const auto config = parse(R"([group "domain admins"] # all
[user "a]b"])");
  REQUIRE(config);
  REQUIRE(config->sections.size() == 2);
  CHECK(config->sections[0].name == "domain admins");
  CHECK(config->sections[1].name == "a]b");
  CHECK(fault("[group \"domain admins]") ==
        "FILE:1: '\"domain admins' has no closing quote; end the name with '\"'");
  CHECK(fault("[user \"a\" b]") ==
        "FILE:1: '\"a\" b' is not a name; put the whole name in "
        "double quotes, and nothing else");
  CHECK(fault("[user \"a b\"]\n[user a]\n[user \"a\"]") ==
        "FILE:3: section [user a] was already begun on line 2; put its keys together");
  CHECK(fault("[user \"a b\"]\n[user \"a b\"]") ==
        "FILE:2: section [user \"a b\"] was already begun on line 1; put its keys together");
}

TEST_CASE("a section that comes twice is refused with both lines") {
  CHECK(fault("[user a]\n[group a]\n[user b]\n[user  a]") ==
        "FILE:4: section [user a] was already begun on line 1; put its keys together");
}

TEST_CASE("a key in a section that does not take it is refused with its place") {
  CHECK(fault("[user a]\ncapacity = 5") ==
        "FILE:2: capacity cannot be set in a [user NAME] section; move it above the first section");
  CHECK(fault("[user alice]\nsessions_limit = 5") ==
        "FILE:2: sessions_limit cannot be set in a [user NAME] section; move it above the first "
        "section or into a [group NAME] section or into a [service NAME] section");
  CHECK(fault("clients = www-data") ==
        "FILE:1: clients cannot be set for the whole site; move it into a [service NAME] section");
  CHECK(fault("[group a]\nclients = www-data") ==
        "FILE:2: clients cannot be set in a [group NAME] section; move it into a [service NAME] "
        "section");
}

TEST_CASE("a capacity below the sessions limit is refused with the later line") {
  CHECK(fault("sessions_limit = 20\n\ncapacity = 10") ==
        "FILE:3: capacity 10 (line 3) is less than sessions_limit 20 (line 1); raise capacity or "
        "lower sessions_limit");
  CHECK(fault("capacity = 10\nsessions_limit = 11\n\n") ==
        "FILE:2: capacity 10 (line 1) is less than sessions_limit 11 (line 2); raise capacity or "
        "lower sessions_limit");
  CHECK(fault("sessions_limit = 4097") ==
        "FILE:1: capacity 4096 (the default) is less than sessions_limit 4097 (line 1); raise "
        "capacity or lower sessions_limit");
  CHECK(fault("sessions_limit = 4096") == "accepted");
  CHECK(fault("capacity = 1") == "accepted");
}

TEST_CASE("more reserved sessions than there are seats is refused, unless the site is closed") {
  CHECK(fault_all("reserved_sessions = 3\nsessions_limit = 2") ==
        "FILE:2: reserved_sessions 3 (line 1) is more than sessions_limit 2 (line 2); lower "
        "reserved_sessions");
  CHECK(fault_all("reserved_sessions = 2\nsessions_limit = 2") == "accepted");
  CHECK(fault_all("reserved_sessions = 3\nsessions_limit = 0") == "accepted");
  CHECK(fault_all("reserved_sessions = 3") == "accepted");
}

TEST_CASE("the first fault refuses the whole text") {
  CHECK(fault("sessions_limit = 5\nx = 1\ny = 2").rfind("FILE:2: ", 0) == 0);
  CHECK(fault("sessions_limit = 5\n[user a]\n\xff").rfind("FILE:3: ", 0) == 0);
}

TEST_CASE("equal texts have equal identities, wherever they lie") {
  const auto here = parse_config("capacity = 10", "/a", "default");
  const auto there = parse_config("capacity = 10", "/b", "other");
  const auto changed = parse_config("capacity = 11", "/a", "default");
  REQUIRE((here && there && changed));
  CHECK(here->identity == there->identity);
  CHECK(here->identity != changed->identity);
  CHECK(here->identity != 0);
  CHECK(here->identity <= 0x7fffffff);
}

TEST_CASE("a file of nothing but sections is read in reasonable time") {
  std::string text;
  for (int i = 0; i < 60'000; ++i)
    text += "[user " + std::to_string(i) + "]\n";
  const auto config = parse(text);
  REQUIRE(config);
  CHECK(config->sections.size() == 60'000);
}

TEST_CASE("the lines of the top of the file are known, also where that is the default") {
  const auto config = parse("user_lock = 300\nmessage_locked = x # y\n[user a]\nidle_after = 1h\n");
  REQUIRE(config);
  CHECK(line_at_top(*config, "user_lock") == 1);
  CHECK(line_at_top(*config, "message_locked") == 2);
  CHECK(line_at_top(*config, "idle_after") == 0);
  CHECK(line_at_top(*config, "capacity") == 0);
  CHECK(line_at_top(*config, "no_such_key") == 0);
  CHECK(config->sections[0].line == 3);
}
