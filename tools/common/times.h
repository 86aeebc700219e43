// Times as people and programs read them: milliseconds since the epoch in, text out. A value that
// no calendar can show (only a damaged registry has one) gives "-" or, for programs, nullopt.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace sessreg {

// "2026-11-22 14:03:11" in the local time zone.
std::string local_time(std::int64_t realtime_ms);

// "now", "45s ago", "5m ago", "3h ago", "4d ago", "6w ago"; "in 5m" for the future.
std::string relative_time(std::int64_t realtime_ms, std::int64_t now_ms);

// "2026-11-22 14:03:11 (5m ago)"
std::string time_with_relative(std::int64_t realtime_ms, std::int64_t now_ms);

// RFC 3339 in UTC: "2026-11-22T13:03:11Z".
std::optional<std::string> utc_time(std::int64_t realtime_ms);

// The same four without an allocation, for lists of a million. The bytes after the text in these
// arrays are never set.
class UtcTime {
 public:
  explicit UtcTime(std::int64_t realtime_ms);
  std::string_view text() const { return {text_.data(), size_}; }  // empty instead of nullopt

 private:
  std::array<char, 20> text_;
  std::size_t size_ = 0;
};

class LocalTime {
 public:
  explicit LocalTime(std::int64_t realtime_ms);
  std::string_view text() const { return {text_.data(), size_}; }

 private:
  friend class TimeWithRelative;
  std::array<char, 19> text_;
  std::size_t size_ = 0;
};

class RelativeTime {
 public:
  RelativeTime(std::int64_t realtime_ms, std::int64_t now_ms);
  std::string_view text() const { return {text_.data(), size_}; }
  // How long that text is.
  static std::size_t size(std::int64_t realtime_ms, std::int64_t now_ms);

 private:
  friend class TimeWithRelative;
  std::array<char, 32> text_;
  std::size_t size_ = 0;
};

class TimeWithRelative {
 public:
  TimeWithRelative(std::int64_t realtime_ms, std::int64_t now_ms);
  std::string_view text() const { return {text_.data(), size_}; }
  std::string_view relative() const { return {text_.data() + relative_at_, relative_size_}; }

 private:
  std::array<char, 64> text_;
  std::size_t size_ = 0, relative_at_ = 0, relative_size_ = 0;
};

// As the configuration file takes it: "2w", "90s".
std::string duration_text(Seconds time, const char* zero = "0s");

// How long ago, shortened as relative_time() does: "45s", "5m", "3h".
std::string rough_duration(std::uint64_t time_ms);

// A duration from the command line; throws a usage Failure that names the option.
Seconds duration_argument(const std::string& option, const std::string& text);

}  // namespace sessreg
