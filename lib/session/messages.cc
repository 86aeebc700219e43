#include "session/messages.h"

#include "base/clock.h"
#include "base/text.h"

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

const std::string& message_for(Refusal refusal, const Config& config) {
  switch (refusal) {
    case Refusal::drain:
      return config.message_drain;
    case Refusal::user_full:
      return config.message_user_full;
    case Refusal::locked:
      return config.message_locked;
    case Refusal::group_full:
      return config.message_group_full;
    case Refusal::table_full:
      return config.message_table_full;
    default:
      return config.message_site_full;
  }
}

}  // namespace

std::uint32_t wait_seconds(const Admission& refused) {
  return seconds_up(refused.wait_ms);
}

std::uint32_t wait_seconds(const FailureStatus& blacklisted) {
  const std::uint64_t now_ms = boottime_ms();
  return blacklisted.until_ms > now_ms ? seconds_up(blacklisted.until_ms - now_ms) : 0;
}

std::string message_of(const Admission& refused, const Config& config, const Login& login) {
  MessageValues values = values_for(config, login);
  values.limit = refused.limit;
  values.count = refused.count;
  values.seconds = wait_seconds(refused);
  return format_message(message_for(refused.refusal, config), values);
}

std::string message_of(const FailureStatus& blacklisted, const Config& config, const Login& login) {
  MessageValues values = values_for(config, login);
  values.limit = config.max_failed_auth_per_host;
  values.count = blacklisted.failures;
  values.seconds = wait_seconds(blacklisted);
  return format_message(config.message_blacklisted, values);
}

}  // namespace sessreg
