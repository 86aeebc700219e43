// sessreg touch
#include <fmt/core.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "session/activity.h"
#include "session/admission.h"
#include "sessreg/access/remote.h"
#include "sessreg/access/site_sessions.h"
#include "sessreg/command.h"
#include "sessreg/token_text.h"
#include "token/token_key.h"
#include "token/token_verify.h"

namespace sessreg {
namespace {

struct TouchOptions {
  std::string token;
  bool quiet = false;
};

// For a token of no session that the registry knows: throws an error that depends on whether its
// signature is good.
[[noreturn]] void refuse_unknown(const Site& site, const std::string& text) {
  std::vector<PublicKey> keys;
  const auto known = read_public_keys(public_key_path(site.config.key_file));
  // A site without keys has issued nothing.
  if (!known && known.error().code != Errc::not_found)
    throw failure_of(known.error(), called_as(site));
  if (known)
    for (const SitePublicKey& each : *known)
      keys.push_back(each.key);
  const auto verified = verify_token(text, keys, site.config.site, now().realtime_ms / 1000);
  if (verified) throw no_session_of_token();
  if (verified.error().fault == TokenFault::expired) throw session_expired();
  throw token_invalid(verified.error().what);
}

void touch_here(Site& site, const std::string& text, std::uint32_t slot) {
  if (!site.registry) refuse_unknown(site, text);
  const Marked marked =
      mark_activity(*site.registry, site.config, slot, site.registry->token_digest(text),
                    SystemProcesses(), now().boottime_ms);
  switch (marked.what) {
    case Marked::What::marked:
      return;
    case Marked::What::unknown:
      refuse_unknown(site, text);
    case Marked::What::revoked:
      throw session_revoked(marked.reason);
    case Marked::What::expired:
      throw session_expired();
    case Marked::What::site_full:
      throw site_full(marked.message);
  }
}

void touch(const GlobalOptions& global, const std::string& text, const TokenClaims& claimed) {
  GlobalOptions of_site = global;
  if (!global.site_given) of_site.site = claimed.site;
  if (claimed.site != of_site.site)
    throw token_invalid(fmt::format("the token is for the site '{}', not '{}'",
                                    escape_for_terminal(claimed.site),
                                    escape_for_terminal(of_site.site)));
  if (!is_valid_site_name(of_site.site)) throw token_invalid("the token is for no possible site");
  auto config = load_config(of_site.site, of_site.conf);
  if (!config && lacks_rights(config.error())) {
    Remote(of_site.conf.empty() ? default_config_path(of_site.site) : of_site.conf).touch(text);
    return;
  }
  // The name is from the token: nobody typed it.
  if (!config && config.error().code == Errc::config_missing && !global.site_given &&
      global.conf.empty())
    throw token_invalid(fmt::format("the token is for the site '{}', which this host does not have",
                                    escape_for_terminal(claimed.site)));
  Site site = site_without_registry(of_site, std::move(config));
  if (const auto error = site.open_registry(Site::IfMissing::leave)) {
    if (!lacks_rights(*error)) throw failure_of(*error, called_as(site));
    Remote(site.config.registry).touch(text);
    return;
  }
  touch_here(site, text, claimed.slot);
}

int run_touch(const GlobalOptions& global, const TouchOptions& options) {
  try {
    const std::string text = token_argument(options.token);
    const auto token = inspect_token(text);
    if (!token) throw token_invalid(token.error().what);
    touch(global, text, token->claimed);
    // What it claims is true: it is the token of a session.
    if (global.json && !options.quiet)
      print(json_text({{"marked", true},
                       {"site", token->claimed.site},
                       {"id", claims_json(token->claimed, "")["id"]}}));
    return kExitDone;
  } catch (const Failure& failure) {
    if (!options.quiet) throw;
    return failure.code();
  }
}

}  // namespace

Runner declare_touch(Options& command) {
  auto options = std::make_shared<TouchOptions>();
  command
      .add_argument("TOKEN", options->token,
                    "the token (others can see it in /proc), or - to read standard input; "
                    "default: $SESSREG_TOKEN")
      .not_empty()
      .value_name("[TOKEN]");
  command.add_flag("--quiet", options->quiet,
                   "print nothing, not even errors; only set the exit code");
  return [options](const GlobalOptions& global) { return run_touch(global, *options); };
}

}  // namespace sessreg
