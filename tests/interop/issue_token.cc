// issue_token KEY_FILE SITE USER SLOT LIFE: prints a token as a login would get it, made with the
// key in KEY_FILE, which is made if missing.
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/hash.h"
#include "token/token_key.h"

int main(int argc, char** argv) {
  using namespace sessreg;
  if (argc != 6) {
    fputs("usage: issue_token KEY_FILE SITE USER SLOT LIFE\n", stderr);
    return 2;
  }
  const auto key = load_or_make_key(argv[1]);
  if (!key) {
    fprintf(stderr, "issue_token: %s\n", key.error().what.c_str());
    return 1;
  }
  TokenClaims claims;
  claims.site = argv[2];
  claims.user = argv[3];
  claims.slot = static_cast<std::uint32_t>(strtoul(argv[4], nullptr, 10));
  claims.issued_s = time(nullptr);
  claims.expires_s = claims.issued_s + strtol(argv[5], nullptr, 10);
  if (!random_bytes(claims.session)) return 1;
  const auto token = issue_token(*key, claims);
  if (!token) {
    fprintf(stderr, "issue_token: %s\n", token.error().what.c_str());
    return 1;
  }
  puts(token->c_str());
  return 0;
}
