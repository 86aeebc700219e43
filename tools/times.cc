#include "times.h"

#include <fmt/core.h>
#include <time.h>

#include <array>
#include <charconv>
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

// Makes `seconds` the number of the unit that it returns the letter of.
char in_unit(std::uint64_t& seconds) {
  struct Unit {
    std::uint64_t seconds;
    std::uint64_t from;  // used from this many seconds on
    char letter;
  };
  constexpr std::uint64_t kMinute = 60, kHour = 3600, kDay = 86400, kWeek = 7 * kDay;
  // Days up to a month: "13d" says more than "1w".
  constexpr Unit kUnits[] = {
      {kWeek, 31 * kDay, 'w'}, {kDay, kDay, 'd'}, {kHour, kHour, 'h'}, {kMinute, kMinute, 'm'}};
  for (const Unit& unit : kUnits) {
    if (seconds < unit.from) continue;
    seconds /= unit.seconds;
    return unit.letter;
  }
  return 's';
}

// Breaking a time down is most of the cost of a long list, and neighbours in it share the minute.
// Not where a zone's minutes begin at other seconds than those of UTC, as some did long ago.
class MinuteCache {
 public:
  using BreakDown = tm* (*)(const time_t*, tm*);
  // `format`: of all but the seconds, which come two digits at its end.
  MinuteCache(BreakDown break_down, const char* format)
      : break_down_(break_down), format_(format) {}

  // "2026-11-22 14:03:" and the seconds to put behind it; false: no calendar shows it.
  bool find(std::int64_t realtime_ms, std::string_view& ret_text, int& ret_second) {
    constexpr int kMinute = 60;
    const time_t seconds = seconds_of(realtime_ms);
    const time_t minute = seconds / kMinute - (seconds % kMinute < 0 ? 1 : 0);
    if (!is_valid_ || minute != minute_) {
      tm fields{};
      if (break_down_(&seconds, &fields) == nullptr) return false;
      const auto text = formatted(fields, format_);
      if (!text) return false;
      text_ = *text;
      minute_ = minute;
      is_valid_ = fields.tm_gmtoff % kMinute == 0 && fields.tm_sec < kMinute;
      ret_second = fields.tm_sec;
    } else {
      ret_second = static_cast<int>(seconds - minute * kMinute);
    }
    ret_text = text_;
    return true;
  }

 private:
  BreakDown break_down_;
  const char* format_;
  std::string text_;
  time_t minute_ = 0;
  bool is_valid_ = false;
};

char tens(int number) {
  return static_cast<char>('0' + number / 10);
}
char ones(int number) {
  return static_cast<char>('0' + number % 10);
}

}  // namespace

std::string local_time(std::int64_t realtime_ms) {
  std::string text;
  append_local_time(text, realtime_ms);
  return text;
}

void append_local_time(std::string& out, std::int64_t realtime_ms) {
  static thread_local MinuteCache cache(localtime_r, "%Y-%m-%d %H:%M:");
  std::string_view text;
  int second = 0;
  if (!cache.find(realtime_ms, text, second)) {
    out += '-';
    return;
  }
  out += text;
  out += tens(second);
  out += ones(second);
}

std::string relative_time(std::int64_t realtime_ms, std::int64_t now_ms) {
  return std::string(RelativeTime(realtime_ms, now_ms).text());
}

RelativeTime::RelativeTime(std::int64_t realtime_ms, std::int64_t now_ms) {
  const bool past = realtime_ms <= now_ms;
  // Unsigned, as the distance of two hostile values may not fit a signed one.
  const auto from = static_cast<std::uint64_t>(past ? realtime_ms : now_ms);
  const auto to = static_cast<std::uint64_t>(past ? now_ms : realtime_ms);
  std::uint64_t number = (to - from) / 1000;
  if (number == 0) {
    add("now");
    return;
  }
  const char unit = in_unit(number);
  if (!past) add("in ");
  size_ = static_cast<std::size_t>(
      std::to_chars(text_.data() + size_, text_.data() + text_.size(), number).ptr - text_.data());
  add({&unit, 1});
  if (past) add(" ago");
}

void RelativeTime::add(std::string_view text) {
  size_ += text.copy(text_.data() + size_, text_.size() - size_);
}

std::string time_with_relative(std::int64_t realtime_ms, std::int64_t now_ms) {
  const std::string absolute = local_time(realtime_ms);
  if (absolute == "-") return absolute;
  return absolute + " (" + relative_time(realtime_ms, now_ms) + ")";
}

UtcTime::UtcTime(std::int64_t realtime_ms) {
  static thread_local MinuteCache cache(gmtime_r, "%Y-%m-%dT%H:%M:");
  std::string_view text;
  int second = 0;
  if (!cache.find(realtime_ms, text, second) || text.size() + 3 > text_.size()) return;
  text.copy(text_.data(), text.size());
  text_[text.size()] = tens(second);
  text_[text.size() + 1] = ones(second);
  text_[text.size() + 2] = 'Z';
  size_ = text.size() + 3;
}

std::optional<std::string> utc_time(std::int64_t realtime_ms) {
  const UtcTime time(realtime_ms);
  if (time.text().empty()) return std::nullopt;
  return std::string(time.text());
}

Seconds duration_argument(const std::string& option, const std::string& text) {
  if (const auto seconds = parse_duration(text)) return *seconds;
  throw usage_failure(fmt::format("{}: '{}' is not a duration; write 90, 90s, 5m, 2h, 4d or 2w",
                                  option, escape_for_terminal(text)));
}

}  // namespace sessreg
