// The remote host of a login as PAM_RHOST names it, in the form by which failed authentications
// are counted.
//
// Thread safety: a RemoteHost is plain data.
//
// What counts as one host:
//   1. An IPv4 address; the IPv4-mapped IPv6 address ::ffff:a.b.c.d is the same host, and so is
//      64:ff9b::a.b.c.d, which a NAT64 gateway makes of it (RFC 6052): all IPv4 clients behind one
//      gateway have the same 64 bits.
//   2. A link-local IPv6 address (fe80::/10), whole and with its zone ("%eth0"): a neighbour.
//   3. Of the other IPv6 addresses a network of 64 bits, as whoever has one address of it can take
//      any other (RFC 4291, 2.5.4; RFC 8981). A zone is ignored.
//   4. Any other text is a name: compared as DNS does, without case (ASCII) and a final dot.
//   5. The empty text is no host.
// A network around a host (an IPv4 network of 24 bits, an IPv6 one of 56 or 48, a link) may take the
// place of one as well; failure_table.h says when.
//
// The text comes from the network: it may hold any byte and be of any length.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/config.h"

namespace sessreg {

class RemoteHost {
 public:
  enum class Kind : char { none = '0', ipv4 = '4', ipv6 = '6', name = 'n' };

  RemoteHost() = default;  // no host

  static RemoteHost from_rhost(std::string_view rhost);

  // As an administrator types or pastes it: as above, and "2001:db8::/64" or another network as
  // text() shows it. Not for PAM_RHOST, where that would be somebody's odd name.
  static RemoteHost from_shown(std::string_view shown);

  Kind kind() const { return kind_; }

  // The next wider network around it, up to 24 bits of IPv4 and 48 of IPv6; around a neighbour, all on
  // that link. None around a name.
  std::optional<RemoteHost> wider() const;
  // It came from wider(): it stands for many hosts.
  bool is_network() const;
  // Of the address, that count: 32 of IPv4 and 64 of IPv6, or 128 of a neighbour; fewer of a network; 0
  // without an address.
  unsigned bits() const { return bits_; }

  // The whole address, also of an IPv6 host; IPv4 as ::ffff:a.b.c.d, or 64:ff9b::a.b.c.d if it came
  // so. Of a network, one in it. Zeros for a name.
  const std::array<std::uint8_t, 16>& address() const { return address_; }

  // "192.0.2.1", "2001:db8::/64", "fe80::1%eth0", a network as "192.0.2.0/24" or "2001:db8::/48", or
  // the name, raw: escape it before it is shown.
  std::string text() const;

  // Bytes that are equal for the same host only: what to hash.
  std::string identity() const;

  // By the whole address: one exempt IPv6 address does not exempt its network. An IPv6 block holds
  // no IPv4 address (so ::/0 exempts none), and no block holds a name, as a name is whatever the
  // owner of an address says it is. An address that came through NAT64 is in blocks of 64:ff9b::/96
  // only: it must not pass for one of the networks here.
  bool is_in(const Cidr& block) const;
  bool is_in_any(std::span<const Cidr> blocks) const;

 private:
  std::string suffix() const;  // "/64"; empty for an address and a name

  unsigned bits_ = 0;
  Kind kind_ = Kind::none;
  std::array<std::uint8_t, 16> address_{};
  std::string name_;  // of a link-local address, its zone with the '%', or nothing
};

}  // namespace sessreg
