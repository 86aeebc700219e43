#include <charconv>
#include <cstdint>

#include "config/config.h"

namespace sessreg {
namespace {

constexpr std::int64_t kDay = 24 * 3600;
constexpr std::int64_t kLongest = 36525 * kDay;  // 100 years

std::optional<std::int64_t> seconds_of_unit(std::string_view unit) {
  if (unit.empty() || unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return kDay;
  if (unit == "w") return 7 * kDay;
  return std::nullopt;
}

}  // namespace

std::optional<Seconds> parse_duration(std::string_view text) {
  std::uint64_t number = 0;  // unsigned: from_chars takes no sign then
  const char* const end = text.data() + text.size();
  const auto [unit_begin, error] = std::from_chars(text.data(), end, number, 10);
  if (error != std::errc{}) return std::nullopt;
  const auto unit =
      seconds_of_unit(text.substr(static_cast<std::size_t>(unit_begin - text.data())));
  if (!unit || number > static_cast<std::uint64_t>(kLongest / *unit)) return std::nullopt;
  return Seconds{static_cast<std::int64_t>(number) * *unit};
}

}  // namespace sessreg
