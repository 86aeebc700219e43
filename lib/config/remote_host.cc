#include "config/remote_host.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <optional>

namespace sessreg {
namespace {

using Address = std::array<std::uint8_t, 16>;

constexpr unsigned kIpv4Bits = 32;
constexpr unsigned kIpv4NetworkBits = 24;  // the smallest that is routed on its own
constexpr unsigned kIpv6Bits = 128;
constexpr unsigned kIpv6HostBits = 64;
// What a site or a customer is given (RFC 6177).
constexpr unsigned kIpv6NetworkBits[] = {56, 48};
constexpr std::size_t kMappedBytes = 12;  // ::ffff: before an IPv4 address
constexpr Address kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

constexpr std::array<std::uint8_t, kMappedBytes> kNat64 = {0, 0x64, 0xff, 0x9b};

bool is_mapped(const Address& address) {
  return std::equal(kMapped.begin(), kMapped.begin() + kMappedBytes, address.begin());
}

bool is_of_nat64(const Address& address) {
  return std::equal(kNat64.begin(), kNat64.end(), address.begin());
}

bool is_link_local(const Address& address) {
  return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

std::optional<Address> parse_address(std::string_view text) {
  const bool is_ipv6 = text.find(':') != std::string_view::npos;
  if (is_ipv6) text = text.substr(0, text.find('%'));
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  // inet_pton would stop at a NUL and take what stands before it.
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  Address address = is_ipv6 ? Address{} : kMapped;
  const int parsed = is_ipv6 ? inet_pton(AF_INET6, terminated.data(), address.data())
                             : inet_pton(AF_INET, terminated.data(), address.data() + kMappedBytes);
  if (parsed != 1) return std::nullopt;
  return address;
}

// What follows the address, with the '%'.
std::string_view zone_of(std::string_view address) {
  const std::size_t percent = address.find('%');
  return percent == std::string_view::npos ? std::string_view() : address.substr(percent);
}

// The name of a network interface, or its number (if_nametoindex(3)), behind a '%'.
bool is_zone(std::string_view zone) {
  return zone.size() > 1 && zone.size() <= IF_NAMESIZE &&
         std::all_of(zone.begin() + 1, zone.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '/' && c != '%'; });
}

}  // namespace

RemoteHost RemoteHost::from_rhost(std::string_view rhost) {
  RemoteHost host;
  if (rhost.empty()) return host;
  if (const auto address = parse_address(rhost)) {
    host.kind_ = is_mapped(*address) || is_of_nat64(*address) ? Kind::ipv4 : Kind::ipv6;
    host.address_ = *address;
    host.bits_ = host.kind_ == Kind::ipv4 ? kIpv4Bits : kIpv6HostBits;
    if (is_link_local(*address)) {
      host.bits_ = kIpv6Bits;
      if (is_zone(zone_of(rhost))) host.name_ = zone_of(rhost);
    }
    return host;
  }
  host.kind_ = Kind::name;
  host.name_ = rhost;
  if (host.name_.size() > 1 && host.name_.back() == '.') host.name_.pop_back();
  for (char& c : host.name_) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return host;
}

RemoteHost RemoteHost::from_shown(std::string_view shown) {
  const std::size_t slash = shown.rfind('/');
  if (slash == std::string_view::npos) return from_rhost(shown);
  std::optional<RemoteHost> network = from_rhost(shown.substr(0, slash));
  if (network->kind() == Kind::name) return from_rhost(shown);
  for (; network; network = network->wider())
    if (shown.substr(slash) == network->suffix()) return *network;
  return from_rhost(shown);
}

std::optional<RemoteHost> RemoteHost::wider() const {
  RemoteHost network = *this;
  if (kind_ == Kind::ipv4 && bits_ == kIpv4Bits) {
    network.bits_ = kIpv4NetworkBits;
    return network;
  }
  if (kind_ == Kind::ipv6 && bits_ == kIpv6Bits) {  // the neighbours on that link
    network.bits_ = kIpv6HostBits;
    return network;
  }
  if (kind_ == Kind::ipv6 && !is_link_local(address_)) {
    for (const unsigned bits : kIpv6NetworkBits) {
      if (bits >= bits_) continue;
      network.bits_ = bits;
      return network;
    }
  }
  return std::nullopt;
}

bool RemoteHost::is_network() const {
  if (kind_ == Kind::ipv4) return bits_ < kIpv4Bits;
  return kind_ == Kind::ipv6 && bits_ < (is_link_local(address_) ? kIpv6Bits : kIpv6HostBits);
}

std::string RemoteHost::suffix() const {
  const bool is_one_address = bits_ == kIpv6Bits || (kind_ == Kind::ipv4 && bits_ == kIpv4Bits);
  return bits_ == 0 || is_one_address ? std::string() : "/" + std::to_string(bits_);
}

std::string RemoteHost::text() const {
  if (kind_ == Kind::none || kind_ == Kind::name) return name_;
  const std::size_t begin = kind_ == Kind::ipv4 ? kMappedBytes : 0;
  Address masked{};
  std::copy_n(address_.begin() + begin, bits_ / 8, masked.begin());
  std::array<char, INET6_ADDRSTRLEN> out{};
  inet_ntop(kind_ == Kind::ipv4 ? AF_INET : AF_INET6, masked.data(), out.data(), out.size());
  return out.data() + name_ + suffix();
}

std::string RemoteHost::identity() const {
  // The kind first: no name can be the bytes of an address. Networks differ in their length.
  std::string bytes(1, static_cast<char>(kind_));
  const auto begin = address_.begin() + (kind_ == Kind::ipv4 ? kMappedBytes : 0);
  return bytes.append(begin, begin + bits_ / 8) += name_;
}

bool RemoteHost::is_in(const Cidr& block) const {
  if (kind_ != Kind::ipv4 && kind_ != Kind::ipv6) return false;
  if (kind_ == Kind::ipv4 && block.prefix_bits < kMappedBytes * 8) return false;
  const unsigned bits = std::min(block.prefix_bits, 128U);
  const unsigned whole = bits / 8;
  if (!std::equal(address_.begin(), address_.begin() + whole, block.address.begin())) return false;
  if (whole == address_.size()) return true;
  const unsigned differ = address_[whole] ^ block.address[whole];
  return (differ & (0xff00U >> bits % 8) & 0xffU) == 0;
}

bool RemoteHost::is_in_any(std::span<const Cidr> blocks) const {
  return std::any_of(blocks.begin(), blocks.end(),
                     [this](const Cidr& block) { return is_in(block); });
}

}  // namespace sessreg
