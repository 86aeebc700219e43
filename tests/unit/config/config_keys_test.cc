// Each key's good, boundary and bad values.

#include "config/config_keys.h"

#include <string>
#include <vector>

#include "../../support/catch.h"

using namespace sessreg;

namespace {

using Names = std::vector<std::string>;

Config value(const std::string& line) {
  const auto config = parse_config(line, "FILE", "default");
  INFO(line << ": " << (config ? "" : config.error().what));
  REQUIRE(config);
  return *config;
}

SectionSettings in_section(const std::string& kind, const std::string& line) {
  return value("[" + kind + " x]\n" + line).sections.at(0).settings;
}

// Without "FILE:1: ".
std::string fault(const std::string& line) {
  const auto config = parse_config(line, "FILE", "default");
  return config ? "accepted" : config.error().what.substr(8);
}

std::string bytes(const Cidr& block) {
  std::string out;
  for (const auto byte : block.address)
    out += std::to_string(byte) + " ";
  return out + "/" + std::to_string(block.prefix_bits);
}

const std::string kDurationMend =
    " is not a duration; write a whole number of s, m, h, d or w, such as 90s or 4d, at most 100 "
    "years";

}  // namespace

TEST_CASE("every key is found by its name") {
  for (const Key& key : config_keys())
    CHECK(find_key(key.name) == &key);
  CHECK(config_keys().size() == 37);
}

TEST_CASE("a service's clients are users and groups") {
  const auto clients = in_section("service", "clients = www-data 1005 @web @\"web team\"").clients;
  REQUIRE(clients);
  CHECK(clients->users == Names{"www-data", "1005"});
  CHECK(clients->groups == Names{"web", "web team"});
  CHECK(in_section("service", "clients =").clients->users.empty());
}

TEST_CASE("values are taken as they are shown") {
  const auto file = [](const std::string& text) { return *parse_config(text, "f", "default"); };
  CHECK(file("sessions_limit = unlimited\n").sessions_limit == -1);
  CHECK(file("user_sessions_limit = unlimited\n").user_sessions_limit == -1);
  CHECK(file("max_failed_auth_per_host = off\n").max_failed_auth_per_host == 0);
  CHECK(file("session_ttl = 0\n").session_ttl == Seconds(0));
  for (const char* word : {"never", "unlimited", "none", "off"}) {
    const std::string none = word;
    CHECK(file("session_ttl = " + none + "\n").session_ttl == Seconds(0));
    CHECK(file("session_lifetime = " + none + "\n").session_lifetime == Seconds(0));
    CHECK(file("idle_after = " + none + "\n").idle_after == Seconds(0));
    CHECK(file("user_lock = " + none + "\n").user_lock == Seconds(0));
    CHECK_FALSE(parse_config("blacklist_time = " + none + "\n", "f", "default"));
    CHECK_FALSE(parse_config("capacity = " + none + "\n", "f", "default"));
  }
}

TEST_CASE("lists can be added to") {
  const auto file = [](const std::string& text) { return *parse_config(text, "f", "default"); };
  const std::vector<std::string> defaults = default_config("default").ignore_services;
  std::vector<std::string> more = defaults;
  more.insert(more.end(), {"backup", "sync"});
  CHECK(file("ignore_services += backup sync\n").ignore_services == more);
  CHECK(file("ignore_services+=backup sync\n").ignore_services == more);
  CHECK(file("ignore_services +=\n").ignore_services == defaults);
  CHECK(file("exempt += @staff\n").exempt.users == Names{"root"});
  CHECK(file("exempt += @staff\n").exempt.groups == Names{"staff"});
  CHECK(file("blacklist_exempt += 10.0.0.0/8\n").blacklist_exempt.size() == 3);
  CHECK(file("[service web]\nclients += www-data\n").sections[0].settings.clients->users ==
        Names{"www-data"});
  for (const char* line :
       {"sessions_limit += 1", "token += yes", "message_drain += a", "registry += /a"}) {
    const auto refused = parse_config(std::string(line) + "\n", "f", "default");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().what, Catch::Contains("is no list that could be added to; write "));
  }
  CHECK_FALSE(parse_config("exempt = a\nexempt += b\n", "f", "default"));
}

TEST_CASE("a service may be kept, and its clients may name accounts") {
  CHECK(in_section("service", "keep = 90m").keep == Seconds(5400));
  CHECK(in_section("service", "keep = 0").keep == Seconds(0));
  CHECK(in_section("service", "accounts = yes").accounts == true);
  CHECK(in_section("service", "accounts = no").accounts == false);
  for (const char* line : {"keep = -1", "keep = soon", "keep =", "keep = unlimited", "keep = never",
                           "accounts = maybe", "accounts ="})
    CHECK_FALSE(parse_config(std::string("[service web]\n") + line + "\n", "f", "default"));
  for (const char* line : {"keep = 1h\n", "[user a]\nkeep = 1h\n", "[group a]\naccounts = yes\n"}) {
    const auto refused = parse_config(line, "f", "default");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().what, Catch::Contains("move it into a [service NAME] section"));
  }
}

TEST_CASE("limits are -1, 0 or a count") {
  CHECK(value("sessions_limit = -1").sessions_limit == -1);
  CHECK(value("sessions_limit = 0").sessions_limit == 0);
  CHECK(value("sessions_limit = 007").sessions_limit == 7);
  CHECK(value("sessions_limit = 1048576\ncapacity = 1048576").sessions_limit == 1048576);
  CHECK(value("user_sessions_limit = 3").user_sessions_limit == 3);
  CHECK(in_section("user", "user_sessions_limit = -1").user_sessions_limit == -1);
  CHECK(in_section("group", "sessions_limit = 9").sessions_limit == 9);
  CHECK(in_section("service", "sessions_limit = 9").sessions_limit == 9);

  const std::string mend = "; write -1 (unlimited), 0 (admit nobody new) or a count";
  for (const char* bad : {"ten", "1.5", "+1", "0x10", "1 2", "--1", "-", "1e3", "٣"}) {
    CHECK(fault(std::string("sessions_limit = ") + bad) ==
          "sessions_limit: '" + std::string(bad) + "' is not a number" + mend);
  }
  for (const char* bad : {"-2", "1048577", "4294967296", "99999999999999999999", "-0", "-01"}) {
    CHECK(fault(std::string("user_sessions_limit = ") + bad) ==
          "user_sessions_limit: '" + std::string(bad) + "' is not between -1 and 1048576" + mend);
  }
}

TEST_CASE("counts have no minus") {
  CHECK(value("capacity = 1").capacity == 1);
  CHECK(value("capacity = 1048576").capacity == kMaxCapacity);
  CHECK(fault("capacity = 0") == "capacity: '0' is not between 1 and 1048576; write a count");
  CHECK(fault("capacity = -1") == "capacity: '-1' is not between 1 and 1048576; write a count");
  CHECK(fault("capacity = 1048577") ==
        "capacity: '1048577' is not between 1 and 1048576; write a count");
  CHECK(fault("capacity = many") == "capacity: 'many' is not a number; write a count");
  CHECK(value("reserved_sessions = 0").reserved_sessions == 0);
  CHECK(value("reserved_sessions = 2").reserved_sessions == 2);
  CHECK(fault("reserved_sessions = -1") ==
        "reserved_sessions: '-1' is not between 0 and 1048576; write a count");
  CHECK(value("max_failed_auth_per_host = 5").max_failed_auth_per_host == 5);
  CHECK(fault("max_failed_auth_per_host = 1000001") ==
        "max_failed_auth_per_host: '1000001' is not between 0 and 1000000; write 0 (off) or a "
        "count");
}

TEST_CASE("durations take a unit") {
  CHECK(parse_duration("90") == Seconds{90});
  CHECK(parse_duration("90s") == Seconds{90});
  CHECK(parse_duration("5m") == Seconds{300});
  CHECK(parse_duration("2h") == Seconds{7200});
  CHECK(parse_duration("4d") == Seconds{345600});
  CHECK(parse_duration("2w") == Seconds{1209600});
  CHECK(parse_duration("0") == Seconds{0});
  CHECK(parse_duration("0w") == Seconds{0});
  CHECK(parse_duration("36525d") == Seconds{3155760000});
  CHECK(parse_duration("3155760000") == Seconds{3155760000});
  for (const char* bad :
       {"", "s", "-1", "+1", "1.5h", "1 h", " 1", "1 ", "1H", "1y", "1hh", "1h30m", "36526d",
        "3155760001", "18446744073709551616", "99999999999999999999w", "0x1"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_duration(bad));
  }
  CHECK_FALSE(parse_duration(std::string_view("1\0s", 3)));
}

TEST_CASE("what is left of a session counts by one of three words, everywhere") {
  CHECK(value("count_leftovers = no").count_leftovers == CountLeftovers::no);
  CHECK(value("count_leftovers = terminal").count_leftovers == CountLeftovers::terminal);
  CHECK(in_section("user", "count_leftovers = any").count_leftovers == CountLeftovers::any);
  CHECK(in_section("group", "count_leftovers = no").count_leftovers == CountLeftovers::no);
  CHECK(in_section("service", "count_leftovers = terminal").count_leftovers ==
        CountLeftovers::terminal);
  CHECK(fault("count_leftovers = all") ==
        "count_leftovers: 'all' is not known; write no or terminal or any");
}

TEST_CASE("each duration has its key and its shortest value") {
  CHECK(value("user_lock = 0").user_lock == Seconds{0});
  CHECK(value("session_lifetime = 8h").session_lifetime == Seconds{28800});
  CHECK(value("session_ttl = 1w").session_ttl == Seconds{604800});
  CHECK(value("idle_after = 10m").idle_after == Seconds{600});
  CHECK(value("dangling_after = 1").dangling_after == Seconds{1});
  CHECK(value("blacklist_time = 2m").blacklist_time == Seconds{120});
  CHECK(value("reservation_time = 1d").reservation_time == Seconds{86400});
  CHECK(in_section("user", "user_lock = 1").user_lock == Seconds{1});
  CHECK(in_section("group", "session_lifetime = 2").session_lifetime == Seconds{2});
  CHECK(in_section("service", "session_ttl = 3").session_ttl == Seconds{3});
  CHECK(in_section("user", "idle_after = 4").idle_after == Seconds{4});

  CHECK(fault("idle_after = soon") == "idle_after: 'soon'" + kDurationMend);
  CHECK(fault("user_lock = -1") == "user_lock: '-1'" + kDurationMend);
  for (const std::string key : {"dangling_after", "blacklist_time", "reservation_time"}) {
    CHECK(fault(key + " = 0") == key + ": '0' is too short; write at least 1s");
  }
  CHECK(fault("reservation_time = 25h") == "reservation_time: '25h' is too long; write at most 1d");
}

TEST_CASE("a choice is one of its words exactly") {
  CHECK(value("user_limit_policy = deny").user_limit_policy == UserLimitPolicy::deny);
  CHECK(value("user_limit_policy = evict").user_limit_policy == UserLimitPolicy::evict);
  CHECK(in_section("group", "user_limit_policy = lock_then_evict").user_limit_policy ==
        UserLimitPolicy::lock_then_evict);
  CHECK(fault("user_limit_policy = kill") ==
        "user_limit_policy: 'kill' is not known; write deny or evict or lock_then_evict");
  CHECK(value("on_return = refuse").on_return == OnReturn::refuse);
  CHECK(value("on_return = end").on_return == OnReturn::end);
  CHECK(value("on_return = admit").on_return == OnReturn::admit);
  CHECK(fault("on_return = Admit") ==
        "on_return: 'Admit' is not known; write refuse or end or admit");
  CHECK(value("on_error = deny").on_error == OnError::deny);
  CHECK(value("on_error = allow").on_error == OnError::allow);
  CHECK(fault("on_error = deny allow") ==
        "on_error: 'deny allow' is not known; write deny or allow");
  CHECK(value("token = yes").token);
  CHECK_FALSE(value("token = no").token);
  CHECK(fault("token = true") == "token: 'true' is not known; write yes or no");
}

TEST_CASE("lists of users hold groups after an @") {
  const Config config = value("exempt = root  @sudo\tCORP\\bob svc$ a@b.example @dom.users -x");
  CHECK(config.exempt.users == Names{"root", "CORP\\bob", "svc$", "a@b.example", "-x"});
  CHECK(config.exempt.groups == Names{"sudo", "dom.users"});
  CHECK(value("exempt =").exempt.users.empty());
  CHECK(value("reserved_for =").reserved_for.groups.empty());
  CHECK(value("reserved_for = @wheel").reserved_for.users.empty());
  CHECK(value("exempt = zoë").exempt.users == Names{"zoë"});

  CHECK(fault("exempt = root @") == "exempt: '@' has no group after it; write @GROUP");
  CHECK(fault("exempt = @@x") ==
        "exempt: '@x' is not a name; '@' comes once, before a group in a list of users");
  CHECK(fault("reserved_for = root, alice") ==
        "reserved_for: 'root,' is not a name; separate names by spaces, not by commas");
  CHECK(fault("exempt = a:b") == "exempt: 'a:b' is not a name; a name has no ':' and no '/'");
  CHECK(fault("exempt = a/b") == "exempt: 'a/b' is not a name; a name has no ':' and no '/'");
}

TEST_CASE("a name in double quotes may have spaces, quotes and backslashes") {
  const Config config = value(
      R"x(exempt = "Jane Doe" @"domain admins" root "CORP\\al" "a\"b" @"x # y" "(z)" # "no")x");
  CHECK(config.exempt.users == Names{"Jane Doe", "root", "CORP\\al", "a\"b", "(z)"});
  CHECK(config.exempt.groups == Names{"domain admins", "x # y"});
  CHECK(value(R"(exempt = "root" # "alice")").exempt.users == Names{"root"});
  CHECK(value(R"(exempt = "a\\" # b)").exempt.users == Names{"a\\"});
  CHECK(value(R"(ignore_services = "my service" cron)").ignore_services ==
        Names{"my service", "cron"});

  CHECK(fault("exempt = \"root") ==
        "exempt: '\"root' has no closing quote; end the name with '\"'");
  CHECK(fault(R"(exempt = "a\)") == R"(exempt: '"a\' has no closing quote; end the name with '"')");
  CHECK(fault(R"(exempt = "CORP\al")") ==
        R"(exempt: '"CORP\al"' has a lone backslash in quotes; write \\ for one)");
  const std::string whole = " is not a name; put the whole name in double quotes, and nothing else";
  for (const char* bad : {R"("a"b)", R"(a"b")", R"(a")", R"("a""b")", R"("@x"y)"})
    CHECK(fault(std::string("exempt = ") + bad).starts_with("exempt: '"));
  CHECK(fault(R"(exempt = a"b")") == R"(exempt: 'a"b"')" + whole);
  CHECK(fault(R"(exempt = "a"b c)") == R"(exempt: '"a"b c')" + whole);
  CHECK(fault(R"(exempt = "")") == "exempt: a name is missing");
  CHECK(fault(R"(exempt = @"")") == "exempt: a name is missing");
  CHECK(fault(R"(exempt = " a")") ==
        "exempt: ' a' is not a name; a name has spaces only inside, and no tabs");
  CHECK(fault(R"(exempt = "a:b")") == "exempt: 'a:b' is not a name; a name has no ':' and no '/'");
  CHECK(fault(R"(exempt = "@wheel")") ==
        "exempt: '@wheel' is not a name; '@' comes once, before a group in a list of users");
}

TEST_CASE("what is a mistake rather than a name is refused without quotes") {
  CHECK(fault("exempt = %wheel") == "exempt: '%wheel' is not a name; write @GROUP for a group");
  CHECK(fault("exempt = (wheel)") ==
        "exempt: '(wheel)' is not a name; put one with brackets or quotes in double quotes");
  CHECK(fault("exempt = 'root'") ==
        "exempt: ''root'' is not a name; put one with brackets or quotes in double quotes");
}

TEST_CASE("a name is written so that the file takes it as that name") {
  for (const char* name : {"root", "Jane Doe", "a\"b\\c d", "(z)", "#x", "%y", "a,b", "it's"}) {
    const std::string line = "exempt = @" + in_file(name) + " " + in_file(name);
    CAPTURE(line);
    CHECK(value(line).exempt.users == Names{name});
    CHECK(value(line).exempt.groups == Names{name});
  }
  CHECK(in_file("root") == "root");
  CHECK(in_file("CORP\\al") == "CORP\\al");
}

TEST_CASE("lists of services hold no groups") {
  CHECK(value("only_services = sshd  login").only_services == Names{"sshd", "login"});
  CHECK(value("only_services =").only_services.empty());
  CHECK(value("ignore_services =").ignore_services.empty());
  CHECK(value("reattach_services =").reattach_services.empty());
  CHECK(value("reattach_services = lightdm xrdp").reattach_services == Names{"lightdm", "xrdp"});
  CHECK(value("ignore_services = cron").ignore_services == Names{"cron"});
  CHECK(fault("only_services = @sshd") ==
        "only_services: '@sshd' is not a name; '@' comes once, before a group in a list of users");
  CHECK(fault("ignore_services = /etc/pam.d/cron") ==
        "ignore_services: '/etc/pam.d/cron' is not a name; a name has no ':' and no '/'");
}

TEST_CASE("address blocks are kept in 128 bits, without the bits beyond the prefix") {
  const auto blocks =
      value(
          "blacklist_exempt = 127.0.0.0/8 ::1 10.1.2.3/15 0.0.0.0/0 2001:db8:ffff::/33 ::/0 "
          "192.0.2.7")
          .blacklist_exempt;
  REQUIRE(blocks.size() == 7);
  CHECK(bytes(blocks[0]) == "0 0 0 0 0 0 0 0 0 0 255 255 127 0 0 0 /104");
  CHECK(bytes(blocks[1]) == "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 /128");
  CHECK(bytes(blocks[2]) == "0 0 0 0 0 0 0 0 0 0 255 255 10 0 0 0 /111");
  CHECK(bytes(blocks[3]) == "0 0 0 0 0 0 0 0 0 0 255 255 0 0 0 0 /96");
  CHECK(bytes(blocks[4]) == "32 1 13 184 128 0 0 0 0 0 0 0 0 0 0 0 /33");
  CHECK(bytes(blocks[5]) == "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 /0");
  CHECK(bytes(blocks[6]) == "0 0 0 0 0 0 0 0 0 0 255 255 192 0 2 7 /128");
  CHECK(value("blacklist_exempt =").blacklist_exempt.empty());
  CHECK(bytes(value("blacklist_exempt = 127.0.0.0/8").blacklist_exempt[0]) ==
        bytes(default_config("x").blacklist_exempt[0]));
  CHECK(bytes(value("blacklist_exempt = ::1").blacklist_exempt[0]) ==
        bytes(default_config("x").blacklist_exempt[1]));
  for (const char* bad : {"10.0.0.0/33", "::1/129", "10.0.0/8", "host.example", "10.0.0.0/", "/8",
                          "10.0.0.0/-1", "10.0.0.0/8/8", "::1%lo", "1.2.3.4,", "10.0.0.0/ 8"}) {
    CAPTURE(bad);
    const std::string word(bad, std::string_view(bad).find(' ') == std::string_view::npos
                                    ? std::string_view(bad).size()
                                    : std::string_view(bad).find(' '));
    CHECK(fault(std::string("blacklist_exempt = ::1 ") + bad) ==
          "blacklist_exempt: '" + word +
              "' is not an address or block; write such as 192.0.2.7, 10.0.0.0/8 or "
              "2001:db8::/32, separated by spaces");
  }
}

TEST_CASE("paths are absolute and name a file") {
  CHECK(value("registry = /run/x.reg").registry == "/run/x.reg");
  CHECK(value("registry = /run/a b..c/...reg").registry == "/run/a b..c/...reg");
  CHECK(value("key_file = /k").key_file == "/k");
  CHECK(fault("registry = x.reg") ==
        "registry: 'x.reg' is not an absolute path; begin it with '/'");
  CHECK(fault("registry = /run/") ==
        "registry: '/run/' names a directory; write the path of a file");
  CHECK(fault("registry = /") == "registry: '/' names a directory; write the path of a file");
  for (const std::string bad : {"/run/../x", "/..", "//../x", "/x/.."}) {
    CHECK(fault("key_file = " + bad) ==
          "key_file: '" + bad + "' has a '..' in it; write the path without it");
  }
}

TEST_CASE("each message has its key and knows its placeholders") {
  CHECK(value("message_site_full = a {limit}").message_site_full == "a {limit}");
  CHECK(value("message_user_full = b {count}").message_user_full == "b {count}");
  CHECK(value("message_group_full = c {site}").message_group_full == "c {site}");
  CHECK(value("message_locked = d {seconds}").message_locked == "d {seconds}");
  CHECK(value("message_drain = e {user}").message_drain == "e {user}");
  CHECK(value("message_blacklisted = f {seconds}").message_blacklisted == "f {seconds}");
  CHECK(value("message_revoked = g {seconds}").message_revoked == "g {seconds}");
  CHECK(value("message_table_full = h {service}").message_table_full == "h {service}");

  const std::string brace =
      ": a brace that is not part of a placeholder; the placeholders are {limit} {count} {site} "
      "{user} {service} and, where a time is left, {seconds}";
  CHECK(fault("message_drain = {nobody}") == "message_drain" + brace);
  CHECK(fault("message_locked = 100 }") == "message_locked" + brace);
  for (const std::string key : {"message_site_full", "message_user_full", "message_group_full",
                                "message_drain", "message_table_full"}) {
    CHECK(fault(key + " = {seconds}") ==
          key +
              ": {seconds} means nothing here; it works in message_locked, message_blacklisted "
              "and message_revoked");
  }
  CHECK(fault("message_drain = a\tb") == "message_drain: the text has a tab in it; write spaces");
  CHECK(value("message_drain = " + std::string(512, 'x')).message_drain.size() == 512);
  CHECK(fault("message_drain = " + std::string(513, 'x')) ==
        "message_drain: the text has 513 bytes; write at most 512");
}
