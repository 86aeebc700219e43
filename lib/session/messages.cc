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
  return format_message(config.*facts_of(refused.refusal).message, values);
}

std::string message_of(const FailureStatus& blacklisted, const Config& config, const Login& login) {
  MessageValues values = values_for(config, login);
  values.limit = config.max_failed_auth_per_host;
  values.count = blacklisted.failures;
  values.seconds = wait_seconds(blacklisted);
  return format_message(config.*facts_of(Refusal::blacklisted).message, values);
}

}  // namespace sessreg
