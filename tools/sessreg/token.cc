// sessreg token inspect|verify|keygen|rotate|public
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"
#include "common/output.h"
#include "sessreg/command.h"
#include "sessreg/terminal/table.h"
#include "sessreg/token_text.h"
#include "token/token_key.h"
#include "token/token_verify.h"

namespace sessreg {
namespace {

struct TokenOptions {
  std::string token;
  std::string public_key;
};

std::int64_t now_s() {
  return now().realtime_ms / 1000;
}

Failure refusal(const TokenError& error) {
  return {kExitRefused, name_of(error.fault), error.what};
}

// The site's public keys, the current one first.
std::vector<SitePublicKey> site_public_keys(const GlobalOptions& global, const Config& config) {
  const std::string path = public_key_path(config.key_file);
  auto keys = read_public_keys(path);
  if (keys) return std::move(*keys);
  if (keys.error().code != Errc::not_found) throw failure_of(keys.error(), called_as(global));
  // The secret key may exist without this file, which the next login makes. Root can derive it.
  if (const auto key = load_key(config.key_file)) return {{key->public_key(), std::nullopt}};
  Error error = keys.error();
  error.what += fmt::format(
      "; the first login of the site makes it, or '{} token keygen', or name one with --public-key",
      called_as(global));
  throw failure_of(error, called_as(global));
}

std::vector<PublicKey> trusted_keys(const GlobalOptions& global, const std::string& named) {
  std::vector<SitePublicKey> keys;
  if (named.empty()) {
    keys = site_public_keys(global, load_site_config(global));
  } else if (named.starts_with("k4.")) {
    const auto key = public_key_from_paserk(named);
    if (!key)
      throw usage_failure(
          "what --public-key names is no public key: k4.public. and 43 characters of base64url");
    keys = {{*key, std::nullopt}};
  } else {
    auto read = read_public_keys(named);
    if (!read) throw failure_of(read.error(), called_as(global));
    keys = std::move(*read);
  }
  std::vector<PublicKey> result;
  result.reserve(keys.size());
  for (const SitePublicKey& each : keys)
    result.push_back(each.key);
  return result;
}

int run_inspect(const GlobalOptions& global, const TokenOptions& options) {
  const auto token = inspect_token(token_argument(options.token));
  if (!token) throw refusal(token.error());
  if (global.json) {
    nlohmann::ordered_json json;
    json["verified"] = false;
    json.update(claims_json(token->claimed, token->claimed_key_id));
    print(json_text(json));
    return kExitDone;
  }
  print(fmt::format("Not verified: this is what the token says, and anybody can write one.\n"
                    "'{} token verify' tells whether it is true.\n\n",
                    called_as(global)) +
        field_list(claims_fields(token->claimed, token->claimed_key_id), stdout_terminal()));
  return kExitDone;
}

int run_verify(const GlobalOptions& global, const TokenOptions& options) {
  const std::string text = token_argument(options.token);
  const auto keys = trusted_keys(global, options.public_key);
  const auto token = verify_token(text, keys, global.site, now_s());
  if (!token) throw refusal(token.error());
  if (global.json) {
    nlohmann::ordered_json json;
    json["verified"] = true;
    json.update(claims_json(token->claims(), token->key_id()));
    print(json_text(json));
  } else {
    auto fields = claims_fields(token->claims(), token->key_id());
    fields.insert(fields.begin(), {"token", "verified"});
    print(field_list(fields, stdout_terminal()));
  }
  return kExitDone;
}

void print_key(const GlobalOptions& global, const Config& config, const SigningKey& key) {
  const std::string public_path = public_key_path(config.key_file);
  if (global.json) {
    nlohmann::ordered_json json;
    json["site"] = config.site;
    json["kid"] = key.id();
    json["public_key"] = to_paserk(key.public_key());
    json["key_file"] = config.key_file;
    json["public_key_file"] = public_path;
    print(json_text(json));
    return;
  }
  print(field_list({{"key", key.id()},
                    {"public key", to_paserk(key.public_key())},
                    {"secret key in", escape_for_terminal(config.key_file)},
                    {"public keys in", escape_for_terminal(public_path)}},
                   stdout_terminal()));
}

int run_keygen(const GlobalOptions& global) {
  const Config config = load_site_config(global);
  const auto key = make_key(config.key_file);
  if (!key && key.error().code == Errc::already_exists)
    throw Failure(kExitFailed, "already_exists",
                  fmt::format("{}, and is never overwritten; '{} token rotate' replaces a key and "
                              "keeps the tokens of the old one good",
                              one_line(key.error().what), called_as(global)));
  if (!key) throw failure_of(key.error(), called_as(global));
  audit("token_keygen", config.site, {{"kid", key->id()}});
  print_key(global, config, *key);
  return kExitDone;
}

// As the site is configured now, no token of it is valid for longer.
std::int64_t longest_token_life_s(const Config& config) {
  std::int64_t longest_s = std::max(kUsualTokenLife_s, config.session_lifetime.count());
  for (const Section& section : config.sections)
    longest_s = std::max(longest_s, section.settings.session_lifetime.value_or(Seconds{0}).count());
  return longest_s;
}

int run_rotate(const GlobalOptions& global) {
  const Config config = load_site_config(global);
  const auto key = rotate_key(config.key_file, now_s(), longest_token_life_s(config));
  if (!key && key.error().code == Errc::not_found) {
    Error error = key.error();
    error.what += fmt::format("; '{} token keygen' makes the first key", called_as(global));
    throw failure_of(error, called_as(global));
  }
  if (!key) throw failure_of(key.error(), called_as(global));
  audit("token_rotate", config.site, {{"kid", key->id()}});
  print_key(global, config, *key);
  return kExitDone;
}

int run_public(const GlobalOptions& global) {
  const Config config = load_site_config(global);
  const auto keys = site_public_keys(global, config);
  if (!global.json) {
    print(to_paserk(keys.front().key) + "\n");
    return kExitDone;
  }
  nlohmann::ordered_json json;
  json["site"] = config.site;
  json["public_key"] = to_paserk(keys.front().key);
  json["kid"] = key_id_of(keys.front().key);
  json["others"] = nlohmann::ordered_json::array();
  for (auto each = keys.begin() + 1; each != keys.end(); ++each) {
    nlohmann::ordered_json other;
    other["public_key"] = to_paserk(each->key);
    other["kid"] = key_id_of(each->key);
    other["retired"] = nullptr;
    if (each->retired_s) other["retired"] = to_rfc3339(*each->retired_s).value_or("");
    json["others"].push_back(other);
  }
  print(json_text(json));
  return kExitDone;
}

struct TokenCommand {
  const char* name;
  const char* help;
  bool takes_token;
  int (*run)(const GlobalOptions& global, const TokenOptions& options);
  const char* examples;  // see help_footer()
};

constexpr std::array kTokenCommands = {
    TokenCommand{"inspect", "show what a token says, without verifying it", true, run_inspect,
                 "token inspect                     what $SESSREG_TOKEN says\n"
                 "token inspect - < /run/app/token  what the token in that file says"},
    TokenCommand{"verify", "tell whether a token is valid (needs only the public key)", true,
                 run_verify,
                 "token verify                                  $SESSREG_TOKEN\n"
                 "token verify --public-key /etc/app/site.pub  on another host"},
    TokenCommand{
        "keygen", "make the site's key if it has none", false,
        [](const GlobalOptions& global, const TokenOptions&) { return run_keygen(global); },
        "token keygen             as the first login would\n"
        "token keygen --site web  for that site"},
    TokenCommand{
        "rotate", "replace the site's key; tokens signed with the old one stay valid", false,
        [](const GlobalOptions& global, const TokenOptions&) { return run_rotate(global); },
        "token rotate  sign new tokens with a new key"},
    TokenCommand{
        "public", "print the site's public key (PASERK)", false,
        [](const GlobalOptions& global, const TokenOptions&) { return run_public(global); },
        "token public         for whoever verifies tokens\n"
        "token public --json  with its id, and the earlier keys"},
};

}  // namespace

Runner declare_token(Options& command) {
  struct Chosen {
    TokenOptions options;
    const TokenCommand* command = nullptr;
  };
  auto chosen = std::make_shared<Chosen>();
  for (const TokenCommand& each : kTokenCommands) {
    Options options = command.add_command(each.name, each.help, help_footer(each.examples));
    if (each.takes_token)
      options
          .add_argument("TOKEN", chosen->options.token,
                        "the token (others can see it in /proc), or - to read standard input; "
                        "default: $SESSREG_TOKEN")
          .not_empty();
    if (each.run == run_verify)
      options
          .add_option("--public-key", chosen->options.public_key,
                      "trust this key (k4.public.…), or the keys in this file, not the site's")
          .not_empty()
          .value_name("KEY");
    options.when_chosen([chosen, &each] { chosen->command = &each; });
  }
  return [chosen](const GlobalOptions& global) {
    if (chosen->command == nullptr)
      throw usage_failure(fmt::format(
          "which of 'token inspect', 'verify', 'keygen', 'rotate', 'public'? See '{} token --help'",
          called_as(global)));
    return chosen->command->run(global, chosen->options);
  };
}

}  // namespace sessreg
