#include "sessreg/token_text.h"

#include <errno.h>
#include <fmt/core.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "common/errors.h"
#include "common/times.h"
#include "common/tool_name.h"

namespace sessreg {
namespace {

std::string read_token() {
  std::string text;
  std::array<char, 4096> block;
  // Reads just enough to see that it is too long.
  while (text.size() <= kMaxTokenBytes + 1) {
    const ssize_t got = read(STDIN_FILENO, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw Failure(
          kExitFailed, "input",
          fmt::format("cannot read the token from standard input: {}", strerrordesc_np(errno)));
    if (got == 0) break;
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) throw usage_failure("there is no token on standard input");
  return text;
}

std::string hex_of(const std::array<std::uint8_t, 16>& id) {
  std::string text;
  for (const std::uint8_t byte : id)
    text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

std::string token_argument(const std::string& argument) {
  if (argument == "-") return read_token();
  if (!argument.empty()) return argument;
  const char* token = getenv("SESSREG_TOKEN");
  if (token != nullptr && *token != '\0') return token;
  throw usage_failure(
      fmt::format("which token? $SESSREG_TOKEN is not set; set it, or give '-' and the token on "
                  "standard input (see '{} token --help')",
                  tool_name()));
}

nlohmann::ordered_json claims_json(const TokenClaims& claims, const std::string& key_id) {
  nlohmann::ordered_json json;
  json["site"] = claims.site;
  json["user"] = claims.user;
  json["id"] = hex_of(claims.session);
  json["issued"] = to_rfc3339(claims.issued_s).value_or("");
  json["expires"] = to_rfc3339(claims.expires_s).value_or("");
  json["slot"] = claims.slot;
  json["kid"] = key_id;
  return json;
}

std::vector<std::pair<std::string, std::string>> claims_fields(const TokenClaims& claims,
                                                               const std::string& key_id) {
  const std::int64_t now_ms = now().realtime_ms;
  return {
      {"site", escape_for_terminal(claims.site)},
      {"user", escape_for_terminal(claims.user)},
      {"id", hex_of(claims.session)},
      {"issued", time_with_relative(claims.issued_s * 1000, now_ms)},
      {"expires", time_with_relative(claims.expires_s * 1000, now_ms)},
      {"slot", std::to_string(claims.slot)},
      {"key", escape_for_terminal(key_id)},
  };
}

}  // namespace sessreg
