#include "times.h"

#include <fmt/core.h>
#include <time.h>

#include <array>
#include <string_view>

#include "errors.h"
#include "text.h"

namespace sessreg {
namespace {

time_t seconds_of(std::int64_t realtime_ms) {
  return static_cast<time_t>(realtime_ms / 1000 - (realtime_ms % 1000 < 0 ? 1 : 0));
}

// Years of four digits only.
std::optional<std::string> formatted(const tm& fields, const char* format) {
  constexpr int kYear0 = 1900;
  if (fields.tm_year < 1 - kYear0 || fields.tm_year > 9999 - kYear0) return std::nullopt;
  std::array<char, 64> text;
  const std::size_t size = strftime(text.data(), text.size(), format, &fields);
  if (size == 0) return std::nullopt;
  return std::string(text.data(), size);
}

std::string distance(std::uint64_t seconds) {
  struct Unit {
    std::uint64_t seconds;
    std::uint64_t from;  // used from this many seconds on
    char letter;
  };
  constexpr std::uint64_t kMinute = 60, kHour = 3600, kDay = 86400, kWeek = 7 * kDay;
  // Days up to a month: "13d" says more than "1w".
  constexpr Unit kUnits[] = {
      {kWeek, 31 * kDay, 'w'}, {kDay, kDay, 'd'}, {kHour, kHour, 'h'}, {kMinute, kMinute, 'm'}};
  for (const Unit& unit : kUnits)
    if (seconds >= unit.from) return fmt::format("{}{}", seconds / unit.seconds, unit.letter);
  return fmt::format("{}s", seconds);
}

}  // namespace

std::string local_time(std::int64_t realtime_ms) {
  const time_t seconds = seconds_of(realtime_ms);
  tm fields{};
  if (localtime_r(&seconds, &fields) == nullptr) return "-";
  return formatted(fields, "%Y-%m-%d %H:%M:%S").value_or("-");
}

std::string relative_time(std::int64_t realtime_ms, std::int64_t now_ms) {
  const bool past = realtime_ms <= now_ms;
  // Unsigned, as the distance of two hostile values may not fit a signed one.
  const auto from = static_cast<std::uint64_t>(past ? realtime_ms : now_ms);
  const auto to = static_cast<std::uint64_t>(past ? now_ms : realtime_ms);
  const std::uint64_t seconds = (to - from) / 1000;
  if (seconds == 0) return "now";
  return past ? distance(seconds) + " ago" : "in " + distance(seconds);
}

std::string time_with_relative(std::int64_t realtime_ms, std::int64_t now_ms) {
  const std::string absolute = local_time(realtime_ms);
  if (absolute == "-") return absolute;
  return absolute + " (" + relative_time(realtime_ms, now_ms) + ")";
}

std::optional<std::string> utc_time(std::int64_t realtime_ms) {
  const time_t seconds = seconds_of(realtime_ms);
  tm fields{};
  if (gmtime_r(&seconds, &fields) == nullptr) return std::nullopt;
  return formatted(fields, "%Y-%m-%dT%H:%M:%SZ");
}

Seconds duration_argument(const std::string& option, const std::string& text) {
  if (const auto seconds = parse_duration(text)) return *seconds;
  throw usage_failure(fmt::format("{}: '{}' is not a duration; write 90, 90s, 5m, 2h, 4d or 2w",
                                  option, escape_for_terminal(text)));
}

}  // namespace sessreg
