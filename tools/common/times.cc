#include "common/times.h"

#include <fmt/core.h>
#include <time.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "common/errors.h"

namespace sessreg {
namespace {

time_t seconds_of(std::int64_t realtime_ms) {
  return static_cast<time_t>(realtime_ms / 1000 - (realtime_ms % 1000 < 0 ? 1 : 0));
}

// Converts `seconds` to the largest fitting unit, and returns the unit's letter.
char in_unit(std::uint64_t& seconds) {
  struct Unit {
    std::uint64_t seconds;
    std::uint64_t from;  // used from this many seconds on
    char letter;
  };
  constexpr std::uint64_t kMinute = 60, kHour = 3600, kDay = 86400, kWeek = 7 * kDay;
  // Days up to a month: "13d" says more than "1w".
  static constexpr Unit kUnits[] = {
      {kWeek, 31 * kDay, 'w'}, {kDay, kDay, 'd'}, {kHour, kHour, 'h'}, {kMinute, kMinute, 'm'}};
  for (const Unit& unit : kUnits) {
    if (seconds < unit.from) continue;
    seconds /= unit.seconds;
    return unit.letter;
  }
  return 's';
}

constexpr std::string_view kNow = "now", kPast = " ago", kToCome = "in ";

struct Distance {
  bool past;
  std::uint64_t number;  // 0: less than a second
  char unit;
};
Distance distance(std::int64_t realtime_ms, std::int64_t now_ms) {
  const bool past = realtime_ms <= now_ms;
  // Unsigned, because the distance between two hostile values may not fit a signed type.
  const auto from = static_cast<std::uint64_t>(past ? realtime_ms : now_ms);
  const auto to = static_cast<std::uint64_t>(past ? now_ms : realtime_ms);
  std::uint64_t number = (to - from) / 1000;
  const char unit = in_unit(number);
  return {past, number, unit};
}

constexpr std::size_t kToMinute_bytes = std::string_view("2026-11-22 14:03:").size();

// Breaking down times is most of the cost of a long list, in which many share a minute. Not used
// where a zone's minutes begin at other seconds than those of UTC, as some did long ago.
class MinuteCache {
 public:
  using BreakDown = tm* (*)(const time_t*, tm*);
  // `format`: must give kToMinute_bytes.
  MinuteCache(BreakDown break_down, const char* format)
      : break_down_(break_down), format_(format) {}

  // Writes kToMinute_bytes and two digits for the second. False: no calendar with four-digit years
  // can show it.
  bool write(std::int64_t realtime_ms, char* out) {
    constexpr int kMinute = 60;
    const time_t seconds = seconds_of(realtime_ms);
    const time_t minute = seconds / kMinute - (seconds % kMinute < 0 ? 1 : 0);
    auto second = static_cast<int>(seconds - minute * kMinute);
    Entry& entry = entries_[static_cast<std::size_t>(minute) % entries_.size()];
    if (!entry.is_valid || minute != entry.minute) {
      entry.is_valid = false;
      tm fields{};
      if (break_down_(&seconds, &fields) == nullptr) return false;
      if (fields.tm_year < 1000 - kYear0 || fields.tm_year > 9999 - kYear0 ||
          strftime(entry.text.data(), entry.text.size(), format_, &fields) != kToMinute_bytes)
        return false;
      entry.minute = minute;
      entry.is_valid = fields.tm_sec == second;
      second = fields.tm_sec;
    }
    std::memcpy(out, entry.text.data(), kToMinute_bytes);
    out[kToMinute_bytes] = static_cast<char>('0' + second / 10);
    out[kToMinute_bytes + 1] = static_cast<char>('0' + second % 10);
    return true;
  }

 private:
  static constexpr int kYear0 = 1900;

  struct Entry {
    time_t minute;
    bool is_valid;
    std::array<char, kToMinute_bytes + 1> text;
  };

  BreakDown break_down_;
  const char* format_;
  std::array<Entry, 512> entries_{};  // by minute: enough for some hours
};

}  // namespace

std::string local_time(std::int64_t realtime_ms) {
  return std::string(LocalTime(realtime_ms).text());
}

LocalTime::LocalTime(std::int64_t realtime_ms) {
  static thread_local MinuteCache cache(localtime_r, "%Y-%m-%d %H:%M:");
  if (cache.write(realtime_ms, text_.data())) {
    size_ = text_.size();
  } else {
    text_[0] = '-';
    size_ = 1;
  }
}

std::string relative_time(std::int64_t realtime_ms, std::int64_t now_ms) {
  return std::string(RelativeTime(realtime_ms, now_ms).text());
}

RelativeTime::RelativeTime(std::int64_t realtime_ms, std::int64_t now_ms) {
  const auto [past, number, unit] = distance(realtime_ms, now_ms);
  char* at = text_.data();
  const auto add = [&at](std::string_view text) { at += text.copy(at, text.size()); };
  if (number == 0) {
    add(kNow);
  } else {
    if (!past) add(kToCome);
    at = std::to_chars(at, text_.data() + text_.size(), number).ptr;  // 20 digits at most
    *at++ = unit;
    if (past) add(kPast);
  }
  size_ = static_cast<std::size_t>(at - text_.data());
}

std::size_t RelativeTime::size(std::int64_t realtime_ms, std::int64_t now_ms) {
  auto [past, number, unit] = distance(realtime_ms, now_ms);
  if (number == 0) return kNow.size();
  std::size_t size = (past ? kPast : kToCome).size() + sizeof unit;
  for (; number > 0; number /= 10)
    ++size;
  return size;
}

std::string time_with_relative(std::int64_t realtime_ms, std::int64_t now_ms) {
  return std::string(TimeWithRelative(realtime_ms, now_ms).text());
}

// Copies whole arrays: a copy whose size the compiler knows needs no call.
TimeWithRelative::TimeWithRelative(std::int64_t realtime_ms, std::int64_t now_ms) {
  const LocalTime time(realtime_ms);
  const RelativeTime relative(realtime_ms, now_ms);
  static_assert(sizeof text_ > sizeof time.text_ + sizeof relative.text_ + 3);
  std::memcpy(text_.data(), time.text_.data(), sizeof time.text_);
  text_[time.size_] = ' ';
  text_[time.size_ + 1] = '(';
  relative_at_ = time.size_ + 2;
  relative_size_ = relative.size_;
  std::memcpy(text_.data() + relative_at_, relative.text_.data(), sizeof relative.text_);
  text_[relative_at_ + relative_size_] = ')';
  const bool is_shown = time.size_ == sizeof time.text_;
  size_ = is_shown ? relative_at_ + relative_size_ + 1 : time.size_;
}

UtcTime::UtcTime(std::int64_t realtime_ms) {
  static thread_local MinuteCache cache(gmtime_r, "%Y-%m-%dT%H:%M:");
  if (!cache.write(realtime_ms, text_.data())) return;
  text_.back() = 'Z';
  size_ = text_.size();
}

std::optional<std::string> utc_time(std::int64_t realtime_ms) {
  const UtcTime time(realtime_ms);
  if (time.text().empty()) return std::nullopt;
  return std::string(time.text());
}

std::string duration_text(Seconds time, const char* zero) {
  constexpr std::pair<std::int64_t, char> kUnits[] = {
      {7 * 86400, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}};
  const std::int64_t seconds = time.count();
  if (seconds == 0) return zero;
  for (const auto& [unit, letter] : kUnits)
    if (seconds % unit == 0) return fmt::format("{}{}", seconds / unit, letter);
  return fmt::format("{}s", seconds);
}

std::string rough_duration(std::uint64_t time_ms) {
  std::uint64_t number = time_ms / 1000;
  const char unit = in_unit(number);
  return fmt::format("{}{}", number, unit);
}

Seconds duration_argument(const std::string& option, const std::string& text) {
  if (const auto seconds = parse_duration(text)) return *seconds;
  throw usage_failure(fmt::format("{}: '{}' is not a duration; write 90, 90s, 5m, 2h, 4d or 2w",
                                  option, escape_for_terminal(text)));
}

}  // namespace sessreg
