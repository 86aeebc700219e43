// libFuzzer target: hostile bytes through the configuration parser and the text functions. What
// comes out must be safe to show, and a refusal must be one line that names the file.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "base/utf8.h"
#include "config/config.h"

using namespace sessreg;

namespace {

void require(bool holds) {
  if (!holds) abort();
}

void require_showable(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char next = decode_utf8(text);
    require(next.size_bytes != 0 && !is_unsafe_to_show(next.code));
    text.remove_prefix(next.size_bytes);
  }
}

void require_fault(const Error& error) {
  require(error.code == Errc::invalid_config);
  require(error.what.rfind("fuzz.conf:", 0) == 0);
  require(error.what.size() < 1000);
  require_showable(error.what);
}

void require_sound(const Config& config) {
  require(config.identity != 0 && config.identity <= 0x7fffffff);
  require(config.sessions_limit >= -1 && config.sessions_limit <= config.capacity);
  require(config.capacity >= 1 && config.capacity <= kMaxCapacity);
  require(config.reservation_time > Seconds{0} && config.session_ttl > Seconds{0});
  require(config.registry.front() == '/' && config.key_file.front() == '/');
  for (const Cidr& block : config.blacklist_exempt)
    require(block.prefix_bits <= 128);
  for (const Section& section : config.sections)
    require(!section.name.empty());
  for (const std::string* message :
       {&config.message_site_full, &config.message_user_full, &config.message_group_full,
        &config.message_locked, &config.message_drain, &config.message_blacklisted,
        &config.message_revoked, &config.message_table_full}) {
    require(!message->empty() && check_message(*message) == nullptr);
    require_showable(format_message(*message, {}));
  }
}

void fuzz_config(std::string_view text) {
  const auto config = parse_config(text, "fuzz.conf", "default");
  if (config) {
    require_sound(*config);
  } else {
    require_fault(config.error());
  }
}

void fuzz_text(std::string_view text) {
  require_showable(escape_for_terminal(text));
  require_showable(log_value(text));
  MessageValues values;
  values.user = text;
  require_showable(format_message(text, values));
  const std::size_t max_bytes = text.empty() ? 0 : static_cast<std::uint8_t>(text[0]);
  const std::string_view prefix = utf8_prefix(text, max_bytes);
  require(prefix.size() <= max_bytes && text.substr(0, prefix.size()) == prefix);
  require(prefix.size() + 3 >= std::min(text.size(), max_bytes));
  if (const auto duration = parse_duration(text)) require(*duration >= Seconds{0});
  if (is_valid_site_name(text)) require(text.find('/') == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz_config(text);
  fuzz_text(text);
  return 0;
}
