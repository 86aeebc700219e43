#include "config/remote_host.h"

#include "../../support/catch.h"
#include "config/config_values.h"

using namespace sessreg;
using namespace std::string_literals;

namespace {

RemoteHost host(std::string_view rhost) {
  return RemoteHost::from_rhost(rhost);
}

bool same(std::string_view a, std::string_view b) {
  return host(a).identity() == host(b).identity();
}

bool is_in(std::string_view rhost, const std::string& blocks) {
  const auto parsed = parse_cidrs(blocks);
  REQUIRE(parsed);
  return host(rhost).is_in_any(*parsed);
}

}  // namespace

TEST_CASE("a remote host is an address, a network of IPv6, or a name") {
  struct Row {
    std::string rhost;
    RemoteHost::Kind kind;
    std::string text;
  };
  using enum RemoteHost::Kind;
  const std::vector<Row> rows = {
      {"", none, ""},
      {"192.0.2.1", ipv4, "192.0.2.1"},
      {"255.255.255.255", ipv4, "255.255.255.255"},
      {"::ffff:192.0.2.1", ipv4, "192.0.2.1"},
      {"::FFFF:c000:0201", ipv4, "192.0.2.1"},
      {"::ffff:192.0.2.1%eth0", ipv4, "192.0.2.1"},
      {"2001:db8::1", ipv6, "2001:db8::/64"},
      {"2001:DB8:1:2:3:4:5:6", ipv6, "2001:db8:1:2::/64"},
      {"2001:db8::1%eth0", ipv6, "2001:db8::/64"},
      // A neighbour.
      {"fe80::1%eth0", ipv6, "fe80::1%eth0"},
      {"FE80:0::1%3", ipv6, "fe80::1%3"},
      {"febf::2", ipv6, "febf::2"},
      {"fec0::1%eth0", ipv6, "fec0::/64"},
      {"fe80::1%" + std::string(15, 'x'), ipv6, "fe80::1%" + std::string(15, 'x')},
      // No name of an interface.
      {"fe80::1%" + std::string(16, 'x'), ipv6, "fe80::1"},
      {"fe80::1%" + std::string(4096, 'x'), ipv6, "fe80::1"},
      {"fe80::1%", ipv6, "fe80::1"},
      {"fe80::1%e\x1b[2J", ipv6, "fe80::1"},
      {"fe80::1%eth0 user=x", ipv6, "fe80::1"},
      // What a NAT64 gateway makes of an address of IPv4.
      {"64:ff9b::192.0.2.1", ipv4, "192.0.2.1"},
      {"64:ff9b::c000:201", ipv4, "192.0.2.1"},
      {"64:ff9b:1::c000:201", ipv6, "64:ff9b:1::/64"},
      {"64:ff9b::1:c000:201", ipv6, "64:ff9b::/64"},
      {"::1", ipv6, "::/64"},
      {"::192.0.2.1", ipv6, "::/64"},  // not mapped: an address of IPv6 (RFC 4291, deprecated)
      {"Client.Example.ORG", name, "client.example.org"},
      {"client.example.org.", name, "client.example.org"},
      {"client..", name, "client."},
      {".", name, "."},
      // Nearly addresses, and what a careless parser would take for one.
      {"192.0.2", name, "192.0.2"},
      {"192.0.2.256", name, "192.0.2.256"},
      {"192.0.2.01", name, "192.0.2.01"},
      {"192.0.2.1%eth0", name, "192.0.2.1%eth0"},
      {"192.0.2.1\0x"s, name, "192.0.2.1\0x"s},
      {" 192.0.2.1", name, " 192.0.2.1"},
      {"face", name, "face"},
      {"2001:db8::/64", name, "2001:db8::/64"},
      {"2001:db8::1\0"s, name, "2001:db8::1\0"s},
      {"1:2:3:4:5:6:7:8:9", name, "1:2:3:4:5:6:7:8:9"},
      {"[::1]", name, "[::1]"},
      {"\x1b[2J\n\x7f\xff", name, "\x1b[2j\n\x7f\xff"},
      {std::string(4096, 'X'), name, std::string(4096, 'x')},
  };
  for (const Row& row : rows) {
    CAPTURE(row.rhost);
    CHECK(host(row.rhost).kind() == row.kind);
    CHECK(host(row.rhost).text() == row.text);
  }
}

TEST_CASE("two texts are one host exactly if one failure should count for the other") {
  CHECK(same("192.0.2.1", "::ffff:192.0.2.1"));
  CHECK_FALSE(same("192.0.2.1", "192.0.2.2"));
  CHECK(same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
  CHECK_FALSE(same("2001:db8::1", "2001:db8:0:1::1"));
  CHECK_FALSE(same("::1", "192.0.2.1"));
  CHECK(same("64:ff9b::192.0.2.1", "192.0.2.1"));
  CHECK_FALSE(same("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"));
  CHECK(same("fe80::1%eth0", "FE80::0:1%eth0"));
  CHECK_FALSE(same("fe80::1%eth0", "fe80::2%eth0"));
  CHECK_FALSE(same("fe80::1%eth0", "fe80::1%eth1"));
  CHECK_FALSE(same("fe80::1%eth0", "fe80::1"));
  CHECK(same("Host.Example", "host.example."));
  CHECK_FALSE(same("host.example", "host.example.."));
  CHECK_FALSE(same(std::string(4096, 'a') + "b", std::string(4096, 'a') + "c"));
  // A name is not an address because its bytes are.
  CHECK_FALSE(same("abcd", "97.98.99.100"));
  CHECK(host("").identity() == RemoteHost().identity());
}

TEST_CASE("an administrator may paste what is shown") {
  const auto shown = [](std::string_view text) { return RemoteHost::from_shown(text).identity(); };
  for (const char* rhost :
       {"192.0.2.1", "2001:db8:1:2::9", "::1", "fe80::1%eth0", "client.example.org"}) {
    CAPTURE(rhost);
    CHECK(shown(rhost) == host(rhost).identity());
    CHECK(shown(host(rhost).text()) == host(rhost).identity());
  }
  CHECK(shown("192.0.2.1/64") == host("192.0.2.1/64").identity());
  CHECK(shown("2001:db8::/63") == host("2001:db8::/63").identity());
  CHECK(shown("fe80::1/63") == host("fe80::1/63").identity());
  CHECK(shown("/64") == host("/64").identity());
}

TEST_CASE("the networks around a host are those that one owner is given") {
  const auto around = [](std::string_view rhost) {
    std::string all;
    for (auto network = host(rhost).wider(); network; network = network->wider()) {
      CHECK(network->is_network());
      CHECK(RemoteHost::from_shown(network->text()).identity() == network->identity());
      all += " " + network->text();
    }
    return all;
  };
  CHECK(around("2001:db8:1:2345::6") == " 2001:db8:1:2300::/56 2001:db8:1::/48");
  CHECK(around("192.0.2.77") == " 192.0.2.0/24");
  CHECK(around("64:ff9b::192.0.2.77") == " 192.0.2.0/24");
  CHECK(around("fe80::1:2:3:4%eth0") == " fe80::%eth0/64");
  CHECK(around("fe80::1") == " fe80::/64");
  CHECK(host("fe80::1%eth0").wider()->identity() != host("fe80::1%eth1").wider()->identity());
  CHECK_FALSE(host("fe80::1").is_network());
  for (const char* alone : {"", "client.example", "2001:db8::/64"}) {
    CAPTURE(alone);
    CHECK(around(alone).empty());
    CHECK_FALSE(host(alone).is_network());
  }
  CHECK_FALSE(host("2001:db8::1").is_network());
  // The same bytes, in networks of three lengths.
  const auto one = host("2001:db8::1"), wider = *one.wider(), widest = *wider.wider();
  CHECK(one.identity() != wider.identity());
  CHECK(wider.identity() != widest.identity());
}

TEST_CASE("address blocks hold the addresses that share their prefix") {
  CHECK(is_in("127.0.0.1", "127.0.0.0/8 ::1"));
  CHECK(is_in("127.255.255.255", "127.0.0.0/8"));
  CHECK_FALSE(is_in("126.255.255.255", "127.0.0.0/8"));
  CHECK_FALSE(is_in("128.0.0.0", "127.0.0.0/8"));
  CHECK(is_in("::ffff:127.0.0.1", "127.0.0.0/8"));
  CHECK(is_in("127.0.0.1", "::ffff:127.0.0.0/104"));
  CHECK(is_in("192.0.2.7", "192.0.2.7"));
  CHECK_FALSE(is_in("192.0.2.6", "192.0.2.7"));
  CHECK(is_in("192.0.2.6", "192.0.2.7/31"));
  CHECK_FALSE(is_in("192.0.2.8", "192.0.2.7/31"));
  CHECK(is_in("10.1.255.255", "10.0.0.0/15"));
  CHECK_FALSE(is_in("10.2.0.0", "10.0.0.0/15"));
  CHECK(is_in("203.0.113.1", "0.0.0.0/0"));
  CHECK(is_in("2001:db8:7fff::1", "2001:db8::/33"));
  CHECK_FALSE(is_in("2001:db8:8000::1", "2001:db8::/33"));
  CHECK(is_in("fe80::1%eth0", "fe80::/10"));
  CHECK(is_in("192.0.2.1", "10.0.0.0/8 ::1 192.0.2.0/24"));
  CHECK_FALSE(is_in("192.0.2.1", ""));
}

TEST_CASE("who comes through NAT64 is exempt by its prefix, and does not pass for a host of ours") {
  CHECK(is_in("64:ff9b::192.0.2.1", "64:ff9b::/96"));
  CHECK(is_in("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1"));
  CHECK_FALSE(is_in("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"));
  CHECK_FALSE(is_in("64:ff9b::127.0.0.1", "127.0.0.0/8"));
  CHECK_FALSE(is_in("64:ff9b::10.0.0.1", "::/0"));
  CHECK_FALSE(is_in("192.0.2.1", "64:ff9b::/96"));
}

TEST_CASE("one exempt IPv6 address does not exempt its network") {
  CHECK(is_in("::1", "::1"));
  CHECK_FALSE(is_in("::2", "::1"));
  CHECK_FALSE(is_in("2001:db8::2", "2001:db8::1"));
  CHECK(is_in("2001:db8::2", "2001:db8::1/126"));
  CHECK(is_in("2001:db8::2", "2001:db8::/64"));
}

TEST_CASE("a block of one kind of address holds none of the other, and no name") {
  CHECK(is_in("2001:db8::1", "::/0"));
  CHECK_FALSE(is_in("192.0.2.1", "::/0"));
  CHECK_FALSE(is_in("192.0.2.1", "::/95"));
  CHECK_FALSE(is_in("2001:db8::1", "0.0.0.0/0"));
  CHECK_FALSE(is_in("::192.0.2.1", "192.0.2.1"));
  CHECK_FALSE(is_in("localhost", "0.0.0.0/0 ::/0"));
  CHECK_FALSE(is_in("", "0.0.0.0/0 ::/0"));
}

TEST_CASE("a block with more bits than an address has compares no byte beyond it") {
  Cidr block;
  block.address = host("2001:db8::1").address();
  block.prefix_bits = 4000;
  CHECK(host("2001:db8::1").is_in(block));
  CHECK_FALSE(host("2001:db8::2").is_in(block));
}
