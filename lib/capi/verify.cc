// Public keys, and what tokens say.
#include <limits.h>
#include <string.h>

#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "base/text.h"
#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/structures.h"
#include "token/token_key.h"
#include "token/token_verify.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

namespace {

// Of what sessreg itself writes: a key and two retired ones are 200 bytes.
constexpr std::size_t kMaxKeysBytes = 1 << 20;

template <std::size_t N>
void copy_text(std::string_view text, char (&ret)[N]) {
  const std::string_view fits = utf8_prefix(text, N - 1);
  std::copy(fits.begin(), fits.end(), ret);
}

sessreg_claims to_c(const TokenClaims& claims) {
  sessreg_claims result = SESSREG_CLAIMS_INIT;
  result.issued_s = claims.issued_s;
  result.expires_s = claims.expires_s;
  copy_text(to_hex(claims.session), result.id);
  copy_text(claims.site, result.site);
  copy_text(claims.user, result.user);
  return result;
}

Answer keep_keys(const Result<std::vector<SitePublicKey>>& read, sessreg_keys** ret_keys) {
  if (!read) return answer_of(read.error(), SESSREG_EKEY);
  auto keys = std::make_unique<sessreg_keys>();
  for (const SitePublicKey& each : *read)
    keys->keys.push_back(each.key);
  *ret_keys = keys.release();
  return {};
}

}  // namespace

int sessreg_keys_read(const char* file, sessreg_keys** ret_keys, sessreg_error* error) {
  if (ret_keys != nullptr) *ret_keys = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(ret_keys, "ret_keys")) return *fault;
    if (auto fault = fault_of(file, "file", PATH_MAX - 1, Presence::required)) return *fault;
    return keep_keys(read_public_keys(file), ret_keys);
  });
}

int sessreg_keys_parse(const char* text, sessreg_keys** ret_keys, sessreg_error* error) {
  if (ret_keys != nullptr) *ret_keys = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(ret_keys, "ret_keys")) return *fault;
    if (auto fault = fault_of_pointer(text, "text")) return *fault;
    const std::size_t bytes = strnlen(text, kMaxKeysBytes + 1);
    if (bytes > kMaxKeysBytes)
      return invalid("text is too long: pass " + std::to_string(kMaxKeysBytes) + " bytes at most");
    return keep_keys(parse_public_keys({text, bytes}, "text"), ret_keys);
  });
}

void sessreg_keys_free(sessreg_keys* keys) {
  const Undisturbed undisturbed;
  delete keys;
}

int sessreg_verify(const sessreg_keys* keys, const char* site, const char* token,
                   sessreg_claims* ret_claims, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(keys, "keys")) return *fault;
    if (auto fault = fault_of_pointer(token, "token")) return *fault;
    if (site == nullptr) site = "default";
    if (auto fault = fault_of_site(site, nullptr)) return *fault;
    if (ret_claims != nullptr && ret_claims->size < kFirst<sessreg_claims>)
      return too_small("claims", "SESSREG_CLAIMS_INIT");
    const auto verified = verify_token({token, strnlen(token, kMaxTokenBytes + 1)}, keys->keys,
                                       site, now().realtime_ms / 1000);
    if (!verified) {
      Answer answer;
      answer.code =
          verified.error().fault == TokenFault::expired ? SESSREG_EXPIRED : SESSREG_BAD_TOKEN;
      answer.text = verified.error().what;
      return answer;
    }
    if (ret_claims != nullptr) give(to_c(verified->claims()), ret_claims);
    return {};
  });
}
