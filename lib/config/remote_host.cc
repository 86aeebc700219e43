#include "config/remote_host.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <optional>

namespace sessreg {
namespace {

using Address = std::array<std::uint8_t, 16>;

constexpr std::size_t kNetworkBytes = 8;  // of an IPv6 host
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
    if (is_link_local(*address) && is_zone(zone_of(rhost))) host.name_ = zone_of(rhost);
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
  constexpr std::string_view kNetwork = "/64";
  if (shown.ends_with(kNetwork)) {
    RemoteHost host = from_rhost(shown.substr(0, shown.size() - kNetwork.size()));
    if (host.kind() == Kind::ipv6 && host.text().ends_with(kNetwork)) return host;
  }
  return from_rhost(shown);
}

std::string RemoteHost::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  switch (kind_) {
    case Kind::none:
      return {};
    case Kind::name:
      return name_;
    case Kind::ipv4:
      inet_ntop(AF_INET, address_.data() + kMappedBytes, out.data(), out.size());
      return out.data();
    case Kind::ipv6: {
      if (is_link_local(address_)) {
        inet_ntop(AF_INET6, address_.data(), out.data(), out.size());
        return out.data() + name_;
      }
      Address network{};
      std::copy_n(address_.begin(), kNetworkBytes, network.begin());
      inet_ntop(AF_INET6, network.data(), out.data(), out.size());
      return std::string(out.data()) + "/64";
    }
  }
  return {};
}

std::string RemoteHost::identity() const {
  // The kind first: no name can be the bytes of an address.
  std::string bytes(1, static_cast<char>(kind_));
  switch (kind_) {
    case Kind::none:
      break;
    case Kind::name:
      bytes += name_;
      break;
    case Kind::ipv4:
      bytes.append(address_.begin() + kMappedBytes, address_.end());
      break;
    case Kind::ipv6:
      if (is_link_local(address_))
        bytes.append(address_.begin(), address_.end()) += name_;
      else
        bytes.append(address_.begin(), address_.begin() + kNetworkBytes);
      break;
  }
  return bytes;
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
