#include "session/messages.h"

#include "base/clock.h"
#include "base/text.h"
#include "config/policy.h"

namespace sessreg {
namespace {

std::uint32_t seconds_up(std::uint64_t time_ms) {
  return static_cast<std::uint32_t>((time_ms + 999) / 1000);
}

MessageValues values_for(const Config& config, const Login& login) {
  MessageValues values;
  values.site = config.site;
  values.user = login.user;
  values.service = login.service;
  return values;
}

}  // namespace

std::uint32_t wait_seconds(const Admission& refused) {
  return seconds_up(refused.wait_ms);
}

std::uint32_t wait_seconds(const FailureStatus& blacklisted) {
  const std::uint64_t now_ms = boottime_ms();
  return blacklisted.until_ms > now_ms ? seconds_up(blacklisted.until_ms - now_ms) : 0;
}

const std::string& message_for(Refusal refusal, std::uint32_t group, const Config& config,
                               const Registry& registry) {
  if (refusal == Refusal::group_full)
    for (const GroupLimit& limit : limited_groups(config))
      if (limit.is_of_service && registry.find_group(limit.entry()) == group)
        return config.message_site_full;
  return config.*facts_of(refusal).message;
}

std::string message_of(const Admission& refused, const Config& config, const Registry& registry,
                       const Login& login) {
  MessageValues values = values_for(config, login);
  values.limit = refused.limit;
  values.count = refused.count;
  values.seconds = wait_seconds(refused);
  return format_message(message_for(refused.refusal, refused.group, config, registry), values);
}

std::string message_of_end(std::string_view reason, const Config& config, Registry& registry,
                           const RecordImage& session, std::int64_t seconds) {
  MessageValues values;
  values.limit = registry.limit_in_force(config.sessions_limit);
  values.count = registry.count();
  values.seconds = seconds;
  values.site = config.site;
  values.user = text_of(session.user);
  values.service = text_of(session.service);
  std::string line = format_message(config.message_revoked, values);
  if (!reason.empty()) line += " (" + escape_for_terminal(reason) + ")";
  return line;
}

std::string message_from(std::string_view sender, std::string_view text) {
  return "Message from " + escape_for_terminal(sender) + ": " + escape_for_terminal(text);
}

std::string message_of(const FailureStatus& blacklisted, const Config& config, const Login& login) {
  MessageValues values = values_for(config, login);
  values.limit = config.max_failed_auth_per_host;
  values.count = blacklisted.failures;
  values.seconds = wait_seconds(blacklisted);
  return format_message(config.*facts_of(Refusal::blacklisted).message, values);
}

}  // namespace sessreg
