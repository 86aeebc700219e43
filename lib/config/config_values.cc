#include "config/config_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "base/text.h"

namespace sessreg {
namespace {

constexpr std::size_t kQuotedBytes = 60;
constexpr std::size_t kMessageBytes = 512;  // PAM_MAX_MSG_SIZE

Error refused(std::string why) {
  return Error{Errc::invalid_config, std::move(why)};
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const std::size_t size = std::min(text.find_first_of(kBlank), text.size());
    found.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return found;
}

std::optional<std::int64_t> decimal(std::string_view text) {
  if (text == "-1") return -1;
  std::uint32_t number = 0;  // unsigned: from_chars takes no sign then
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, 10);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

// A number that is well-formed apart from its sign and its size.
bool looks_like_number(std::string_view text) {
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string in_words(Seconds duration) {
  const auto seconds = duration.count();
  if (seconds % (24 * 3600) == 0) return std::to_string(seconds / (24 * 3600)) + "d";
  return std::to_string(seconds) + "s";
}

void keep_bits(std::array<std::uint8_t, 16>& address, unsigned bits) {
  for (unsigned i = 0; i < address.size(); ++i) {
    const unsigned kept = bits <= i * 8 ? 0 : std::min(bits - i * 8, 8U);
    address[i] = static_cast<std::uint8_t>(address[i] & (0xff00U >> kept));
  }
}

std::optional<Cidr> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  Cidr block;
  unsigned offset_bits = 0;
  std::array<std::uint8_t, 4> v4{};
  if (inet_pton(AF_INET, address.c_str(), v4.data()) == 1) {
    offset_bits = 96;
    block.address[10] = block.address[11] = 0xff;
    std::copy(v4.begin(), v4.end(), block.address.begin() + 12);
  } else if (inet_pton(AF_INET6, address.c_str(), block.address.data()) != 1) {
    return std::nullopt;
  }
  if (slash != std::string_view::npos) {
    const auto bits = decimal(text.substr(slash + 1));
    if (!bits || *bits < 0 || *bits > 128 - offset_bits) return std::nullopt;
    block.prefix_bits = static_cast<unsigned>(*bits) + offset_bits;
  }
  keep_bits(block.address, block.prefix_bits);
  return block;
}

constexpr const char* kWholeName =
    " is not a name; put the whole name in double quotes, and nothing else";

// Why it cannot be a name, even in quotes.
std::optional<std::string> fault_in_quotes(std::string_view name) {
  if (name.empty()) return "a name is missing";
  if (name != trim(name) || name.find('\t') != std::string_view::npos)
    return quoted(name) + " is not a name; a name has spaces only inside, and no tabs";
  if (name.find_first_of(":/") != std::string_view::npos)
    return quoted(name) + " is not a name; a name has no ':' and no '/'";
  if (name.front() == '@')
    return quoted(name) + " is not a name; '@' comes once, before a group in a list of users";
  return std::nullopt;
}

std::optional<std::string> name_fault(std::string_view name) {
  if (name.find_first_of(kBlank) != std::string_view::npos)
    return quoted(name) + " is not a name; put a name with white space in double quotes";
  if (name.find(',') != std::string_view::npos)
    return quoted(name) + " is not a name; separate names by spaces, not by commas";
  if (auto fault = fault_in_quotes(name)) return fault;
  if (name.front() == '#')
    return quoted(name) + " is not a name; put a space before the '#' of a comment";
  if (name.find('"') != std::string_view::npos) return quoted(name) + kWholeName;
  if (name.front() == '%') return quoted(name) + " is not a name; write @GROUP for a group";
  if (name.find_first_of("()'") != std::string_view::npos)
    return quoted(name) + " is not a name; put one with brackets or quotes in double quotes";
  return std::nullopt;
}

// The name in quotes at the beginning of `text`, which loses it.
Result<std::string> take_quoted(std::string_view& text) {
  std::string name;
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '"') {
      text.remove_prefix(at + 1);
      if (auto fault = fault_in_quotes(name)) return refused(std::move(*fault));
      return name;
    }
    if (text[at] == '\\' && ++at < text.size() && text[at] != '"' && text[at] != '\\')
      return refused(quoted(text) + " has a lone backslash in quotes; write \\\\ for one");
    if (at < text.size()) name += text[at];
  }
  return refused(quoted(text) + " has no closing quote; end the name with '\"'");
}

// The word at the beginning of `text`, which loses it.
Result<std::string> take_name(std::string_view& text) {
  const std::string_view all = text;
  if (text.front() != '"') {
    const std::string_view word = text.substr(0, text.find_first_of(kBlank));
    text.remove_prefix(word.size());
    return parse_name(word);
  }
  auto name = take_quoted(text);
  if (name && !text.empty() && kBlank.find(text.front()) == std::string_view::npos)
    return refused(quoted(all) + kWholeName);
  return name;
}

}  // namespace

std::string in_file(std::string_view name) {
  if (!name_fault(name)) return std::string(name);
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

std::string quoted(std::string_view text) {
  const std::string_view shown = utf8_prefix(text, kQuotedBytes);
  std::string out = "'" + escape_for_terminal(shown);
  if (shown.size() < text.size()) out += "...";
  return out + "'";
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Words are taken where they are printed, for what the least value says.
Result<std::int32_t> parse_count(std::string_view text, std::int32_t least, std::int32_t most,
                                 const char* mend) {
  if ((least == -1 && text == "unlimited") || (least == 0 && text == "off")) return least;
  const auto number = decimal(text);
  if (number && *number >= least && *number <= most) return static_cast<std::int32_t>(*number);
  if (!looks_like_number(text)) return refused(quoted(text) + " is not a number; " + mend);
  return refused(quoted(text) + " is not between " + std::to_string(least) + " and " +
                 std::to_string(most) + "; " + mend);
}

Result<Seconds> parse_seconds(std::string_view text, Seconds least, Seconds most) {
  constexpr std::string_view kNone[] = {"never", "unlimited", "none", "off"};
  if (least.count() == 0 && std::find(std::begin(kNone), std::end(kNone), text) != std::end(kNone))
    return least;
  const auto duration = parse_duration(text);
  if (!duration) {
    return refused(quoted(text) +
                   " is not a duration; write a whole number of s, m, h, d or w, such as 90s or "
                   "4d, at most 100 years");
  }
  if (*duration < least) {
    return refused(quoted(text) + " is too short; write at least " + in_words(least));
  }
  if (*duration > most) {
    return refused(quoted(text) + " is too long; write at most " + in_words(most));
  }
  return *duration;
}

Result<std::string> parse_path(std::string_view text) {
  if (text.empty() || text.front() != '/') {
    return refused(quoted(text) + " is not an absolute path; begin it with '/'");
  }
  if (text.back() == '/') {
    return refused(quoted(text) + " names a directory; write the path of a file");
  }
  for (std::string_view rest = text; !rest.empty();) {
    rest.remove_prefix(1);  // a slash
    const std::string_view component = rest.substr(0, rest.find('/'));
    if (component == "..") {
      return refused(quoted(text) + " has a '..' in it; write the path without it");
    }
    rest.remove_prefix(component.size());
  }
  return std::string(text);
}

Result<std::string> parse_name(std::string_view text) {
  if (text.empty() || text.front() != '"') {
    if (auto fault = name_fault(text)) return refused(std::move(*fault));
    return std::string(text);
  }
  std::string_view rest = text;
  auto name = take_quoted(rest);
  if (!name) return name.error();
  if (!rest.empty()) return refused(quoted(text) + kWholeName);
  return name;
}

Result<NameList> parse_names(std::string_view text) {
  NameList list;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const bool group = text.front() == '@';
    if (group) text.remove_prefix(1);
    if (group && (text.empty() || kBlank.find(text.front()) != std::string_view::npos))
      return refused("'@' has no group after it; write @GROUP");
    auto name = take_name(text);
    if (!name) return name.error();
    (group ? list.groups : list.users).push_back(std::move(*name));
  }
  return list;
}

Result<std::vector<std::string>> parse_services(std::string_view text) {
  std::vector<std::string> services;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    auto name = take_name(text);
    if (!name) return name.error();
    services.push_back(std::move(*name));
  }
  return services;
}

Result<std::vector<Cidr>> parse_cidrs(std::string_view text) {
  std::vector<Cidr> blocks;
  for (const std::string_view word : words(text)) {
    const auto block = parse_cidr(word);
    if (!block) {
      return refused(quoted(word) +
                     " is not an address or block; write such as 192.0.2.7, 10.0.0.0/8 or "
                     "2001:db8::/32, separated by spaces");
    }
    blocks.push_back(*block);
  }
  return blocks;
}

Result<std::string> parse_message(std::string_view text, bool may_name_seconds) {
  if (text.size() > kMessageBytes) {
    return refused("the text has " + std::to_string(text.size()) + " bytes; write at most " +
                   std::to_string(kMessageBytes));
  }
  if (text.find('\t') != std::string_view::npos) {
    return refused("the text has a tab in it; write spaces");
  }
  if (const char* fault = check_message(text)) return refused(fault);
  if (!may_name_seconds && text.find("{seconds}") != std::string_view::npos) {
    return refused(
        "{seconds} means nothing here; it works in message_locked, message_blacklisted and "
        "message_revoked");
  }
  return std::string(text);
}

}  // namespace sessreg
