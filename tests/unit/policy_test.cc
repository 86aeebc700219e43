#include "policy.h"

#include <catch2/catch.hpp>

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
}
