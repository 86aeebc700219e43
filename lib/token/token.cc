#include "token/token.h"

#include <chrono>
#include <cstdio>

#include "base/utf8.h"
#include "config/config.h"

namespace sessreg {
namespace {

constexpr std::int64_t kEndOfYear9999 = 253402300799;

// As a JSON string, in which nothing is escaped but what must be.
void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    if (next.size_bytes == 0) {
      out += "\xef\xbf\xbd";
      text.remove_prefix(1);
      continue;
    }
    const char c = text[0];
    if (next.code < 0x20) {
      out += "\\u00";
      out += kHex[next.code >> 4];
      out += kHex[next.code & 15];
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += text.substr(0, next.size_bytes);
    }
    text.remove_prefix(next.size_bytes);
  }
  out += '"';
}

void append_hex_digits(std::string& out, const std::array<std::uint8_t, 16>& bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

// "" if a token can say it.
const char* fault_of(const TokenClaims& claims) {
  if (!is_valid_site_name(claims.site)) return "the site's name is not valid";
  if (claims.user.empty()) return "the user has no name";
  if (claims.user.size() > kMaxTokenUserBytes) return "the user's name is too long";
  if (claims.user.find('\0') != std::string::npos) return "the user's name has a NUL";
  if (!to_rfc3339(claims.issued_s) || !to_rfc3339(claims.expires_s))
    return "a time is outside the years 1970 to 9999; set the clock";
  if (claims.expires_s < claims.issued_s) return "it would expire before it is issued";
  return "";
}

}  // namespace

std::string token_footer(std::string_view key_id) {
  std::string footer = "{\"kid\":\"";
  footer += key_id;
  footer += "\"}";
  return footer;
}

// Not gmtime_r(): that takes the C library's time zone lock, which a fork may have left held.
std::optional<std::string> to_rfc3339(std::int64_t time_s) {
  namespace chr = std::chrono;
  if (time_s < 0 || time_s > kEndOfYear9999) return std::nullopt;
  const chr::sys_seconds time{chr::seconds(time_s)};
  const auto day = chr::floor<chr::days>(time);
  const chr::year_month_day date(day);
  const chr::hh_mm_ss clock(time - day);
  char text[64];
  snprintf(text, sizeof text, "%04d-%02u-%02uT%02ld:%02ld:%02ldZ", static_cast<int>(date.year()),
           static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
           static_cast<long>(clock.hours().count()), static_cast<long>(clock.minutes().count()),
           static_cast<long>(clock.seconds().count()));
  return text;
}

std::optional<std::int64_t> from_rfc3339(std::string_view text) {
  namespace chr = std::chrono;
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:ddZ";
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != kForm[i]) return std::nullopt;
  const auto number = [text](std::size_t at, std::size_t digits) {
    unsigned value = 0;
    for (const char c : text.substr(at, digits))
      value = value * 10 + static_cast<unsigned>(c - '0');
    return value;
  };
  const chr::year_month_day date{chr::year(static_cast<int>(number(0, 4))),
                                 chr::month(number(5, 2)), chr::day(number(8, 2))};
  const unsigned hour = number(11, 2);
  const unsigned minute = number(14, 2);
  const unsigned second = number(17, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::int64_t days = chr::sys_days(date).time_since_epoch().count();
  if (days < 0) return std::nullopt;
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

Result<std::string> issue_token(const SigningKey& key, const TokenClaims& claims) {
  if (const char* fault = fault_of(claims); *fault != '\0')
    return Error{Errc::bad_claims, std::string("cannot issue a token: ") + fault};
  std::string payload = "{\"iss\":\"";
  payload += kTokenIssuer;
  payload += "\",\"aud\":";
  append_json_string(payload, claims.site);
  payload += ",\"sub\":";
  append_json_string(payload, claims.user);
  payload += ",\"jti\":\"";
  append_hex_digits(payload, claims.session);
  payload += "\",\"iat\":\"" + *to_rfc3339(claims.issued_s);
  payload += "\",\"exp\":\"" + *to_rfc3339(claims.expires_s);
  payload += "\",\"slot\":" + std::to_string(claims.slot) + "}";
  return sign_v4_public(key.secret(), payload, token_footer(key.id()));
}

}  // namespace sessreg
