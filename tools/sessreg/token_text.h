// Where a command finds its token, and how a token is shown.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "token/token.h"

namespace sessreg {

// `argument`: the token itself, "-" for standard input (without its last newline), or empty for
// $SESSREG_TOKEN. Reads little more than the longest token has. Throws Failure if there is none.
std::string token_argument(const std::string& argument);

// site, user, id, issued, expires, slot, kid.
nlohmann::ordered_json claims_json(const TokenClaims& claims, const std::string& key_id);
std::vector<std::pair<std::string, std::string>> claims_fields(const TokenClaims& claims,
                                                               const std::string& key_id);

}  // namespace sessreg
