#include "config/policy.h"

#include <sched.h>
#include <sys/mount.h>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/temp_dir.h"

using namespace sessreg;

namespace {
Config config(const std::string& text) {
  return *parse_config(text, "test.conf", "default");
}
const InGroup no_groups = [](const std::string&) { return false; };
}  // namespace

TEST_CASE("by default root is exempt, su and sudo are ignored, others count") {
  const Config defaults = config("");
  CHECK(standing_of(defaults, "root", "sshd", no_groups) == Standing::exempt);
  CHECK(standing_of(defaults, "alice", "sshd", no_groups) == Standing::counted);
  for (const char* service : {"su", "sudo", "cron", "systemd-user", "runuser", "polkit-1"})
    CHECK(standing_of(defaults, "alice", service, no_groups) == Standing::ignored);
}

TEST_CASE("an ignored service is ignored for exempt users too") {
  CHECK(standing_of(config(""), "root", "cron", no_groups) == Standing::ignored);
}

TEST_CASE("only_services leaves out all others") {
  const Config only = config("only_services = sshd vsftpd\n");
  CHECK(standing_of(only, "alice", "vsftpd", no_groups) == Standing::counted);
  CHECK(standing_of(only, "alice", "login", no_groups) == Standing::ignored);
}

TEST_CASE("who is ignored by default is counted once its sessions are described") {
  const auto standing = [](const std::string& text) {
    return standing_of(config(text), "alice", "imap", no_groups);
  };
  CHECK(standing("") == Standing::ignored);
  CHECK(standing("[service imap]\nkeep = 1h\n") == Standing::counted);
  CHECK(standing("[service imap]\nclients = www-data\n") == Standing::counted);
  for (const char* keys : {"idle_after = 1h\n", "keep = 0\n", "clients =\n"})
    CHECK(standing(std::string("[service imap]\n") + keys) == Standing::ignored);
  CHECK(standing("ignore_services += imap\n[service imap]\nkeep = 1h\n") == Standing::ignored);
  CHECK(standing("ignore_services += cron\n[service imap]\nkeep = 1h\n") == Standing::counted);
  CHECK(standing("[service pop]\nkeep = 1h\n") == Standing::ignored);
  // What the file says holds.
  CHECK(standing("ignore_services = imap\n[service imap]\nkeep = 1h\n") == Standing::ignored);
}

TEST_CASE("whose names are accounts, and what is kept, is said of a service") {
  const auto rules = [](const std::string& keys) {
    return rules_of_service(config("[service web]\n" + keys), "web");
  };
  CHECK(rules("").keep == Seconds(0));
  CHECK_FALSE(rules("").names_are_accounts);
  CHECK(rules("keep = 1h\n").keep == Seconds(3600));
  CHECK(rules("keep = 1h\n").names_are_accounts);
  CHECK_FALSE(rules("keep = 1h\naccounts = no\n").names_are_accounts);
  CHECK(rules("accounts = yes\n").names_are_accounts);
  CHECK(rules_of_service(config("[user web]\n"), "web").from == nullptr);
}

TEST_CASE("an empty exempt list exempts nobody, and groups are asked for by name") {
  CHECK(standing_of(config("exempt =\n"), "root", "sshd", no_groups) == Standing::counted);
  const InGroup staff = [](const std::string& group) { return group == "staff"; };
  CHECK(standing_of(config("exempt = @staff\n"), "alice", "sshd", staff) == Standing::exempt);
  CHECK(standing_of(config("exempt = @wheel\n"), "alice", "sshd", staff) == Standing::counted);
  CHECK(standing_of(config("exempt = staff\n"), "alice", "sshd", staff) == Standing::counted);
}

TEST_CASE("group membership comes from the login's own group list") {
  CHECK(groups_of("root", 0)("root"));
  CHECK_FALSE(groups_of("root", 0)("daemon"));
  CHECK_FALSE(groups_of("root", 0)("no-such-group"));
  CHECK_FALSE(groups_of("no-such-user", 12345)("root"));
  CHECK_FALSE(groups_of("no-such-user", std::nullopt)("root"));
}

TEST_CASE("each group of a user with very many counts", "[.root]") {
  constexpr int kGroups = 300;
  TempDir dir;
  std::string groups = "root:x:0:\n";
  for (int i = 0; i < kGroups; ++i)
    groups += "of" + std::to_string(i) + ":x:" + std::to_string(20'000 + i) + ":daemon\n";
  groups += "others:x:19999:bin\n";
  const std::string file = dir.write("group", groups);
  Child child([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(file.c_str(), "/etc/group", "", MS_BIND, nullptr) != 0)
      return 99;
    const InGroup in_group = groups_of("daemon", 1);
    for (int i = 0; i < kGroups; ++i)
      if (!in_group("of" + std::to_string(i))) return 1;
    return in_group("others") ? 2 : 0;
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("user, then service, then the first matching group, then the top, key by key") {
  const Config sections = config(
      "user_sessions_limit = 1\nuser_lock = 10s\nidle_after = 11s\nsession_ttl = 12s\n"
      "[group b]\nuser_sessions_limit = 2\nuser_lock = 20s\nidle_after = 21s\n"
      "[group a]\nuser_sessions_limit = 3\nsession_lifetime = 30s\n"
      "[service sshd]\nuser_sessions_limit = 4\nuser_lock = 40s\n"
      "count_leftovers = terminal\n"
      "[user alice]\nuser_sessions_limit = 5\n");
  const InGroup both = [](const std::string& group) { return group == "a" || group == "b"; };
  const Rulebook rules = rules_for(sections, "alice", "sshd", both);
  CHECK(rules.user_sessions_limit.value == 5);
  CHECK(rules.user_sessions_limit.from == &sections.sections[3]);
  CHECK(rules.user_lock.value == Seconds(40));
  CHECK(rules.count_leftovers.value == CountLeftovers::terminal);
  CHECK(rules_for(sections, "alice", "login", both).count_leftovers.value == CountLeftovers::no);
  CHECK(rules.idle_after.value == Seconds(21));
  CHECK(rules.idle_after.from->name == "b");  // the first in the file
  CHECK(rules.session_lifetime.value == Seconds(30));
  CHECK(rules.session_ttl.value == Seconds(12));
  CHECK(rules.session_ttl.from == nullptr);
  CHECK(rules_for(sections, "bob", "login", no_groups).user_sessions_limit.value == 1);
  CHECK(rules_for(sections, "bob", "sshd", no_groups).user_sessions_limit.value == 4);
}

TEST_CASE("every matching group's own limit holds; -1 is none") {
  const Config limits = config(
      "[group a]\nsessions_limit = 5\n[group b]\nsessions_limit = -1\n[group c]\n"
      "sessions_limit = 0\n[group d]\nsessions_limit = 9\n");
  const InGroup most = [](const std::string& group) { return group != "d"; };
  const Rulebook rules = rules_for(limits, "alice", "sshd", most);
  REQUIRE(rules.group_limits.size() == 2);
  CHECK(rules.group_limits[0].name == "a");
  CHECK(rules.group_limits[0].limit == 5);
  CHECK(rules.group_limits[1].name == "c");
  CHECK(rules.group_limits[1].limit == 0);
}

TEST_CASE("a service's own limit holds besides, under a name that no group has") {
  const Config limits = config(
      "[service shop]\nsessions_limit = 5\n[group shop]\nsessions_limit = 6\n"
      "[service wiki]\nsessions_limit = 7\n[service free]\nsessions_limit = -1\n");
  const InGroup shop = [](const std::string& group) { return group == "shop"; };
  const Rulebook rules = rules_for(limits, "alice", "shop", shop);
  REQUIRE(rules.group_limits.size() == 2);
  CHECK(rules.group_limits[0].is_of_service);
  CHECK(rules.group_limits[0].limit == 5);
  CHECK_FALSE(rules.group_limits[1].is_of_service);
  CHECK(rules.group_limits[1].entry() == "shop");
  CHECK(rules.group_limits[0].entry() != rules.group_limits[1].entry());
  CHECK(rules_for(limits, "alice", "free", shop).group_limits.size() == 1);
  CHECK(limited_groups(limits).size() == 3);
}

TEST_CASE("a group that cannot be looked up matches nobody") {
  const Config limits = config(
      "reserved_sessions = 1\nreserved_for = @no-such-group\nexempt = @no-such-group\n"
      "[group no-such-group]\nsessions_limit = 1\nuser_sessions_limit = 1\n");
  const InGroup groups = groups_of("root", 0);
  const Rulebook rules = rules_for(limits, "root", "sshd", groups);
  CHECK(rules.group_limits.empty());
  CHECK(rules.user_sessions_limit.value == -1);
  CHECK_FALSE(rules.may_use_reserved);
  CHECK(standing_of(limits, "root", "sshd", groups) == Standing::counted);
}

TEST_CASE("reserved seats are for whom they are named, and without any for everybody") {
  const InGroup sudo = [](const std::string& group) { return group == "sudo"; };
  const auto may = [](const std::string& text, const char* user, const InGroup& groups) {
    return rules_for(config(text), user, "sshd", groups).may_use_reserved;
  };
  CHECK(may("", "alice", no_groups));
  CHECK_FALSE(may("reserved_sessions = 1\n", "alice", no_groups));
  CHECK(may("reserved_sessions = 1\n", "alice", sudo));
  CHECK(may("reserved_sessions = 1\n", "root", no_groups));
  CHECK(may("reserved_sessions = 1\nreserved_for = alice\n", "alice", no_groups));
  CHECK_FALSE(may("reserved_sessions = 1\nreserved_for =\n", "root", sudo));
}

TEST_CASE("the shortest idle time that anybody can have") {
  CHECK(shortest_idle(config("")) == Seconds(0));
  CHECK(shortest_idle(config("idle_after = 9s\n[user a]\nidle_after = 0\n")) == Seconds(9));
  CHECK(shortest_idle(config("idle_after = 9s\n[user a]\nidle_after = 5s\n")) == Seconds(5));
  CHECK(shortest_idle(config("[service a]\nidle_after = 7s\n")) == Seconds(7));
}
