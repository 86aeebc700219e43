// The terminals of processes: when they were last typed on, and a line written to them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sessreg {

// The path of a terminal by the device number that /proc/PID/stat gives; nullopt: it has none, or
// what is there is another device.
std::optional<std::string> terminal_path(std::uint32_t tty_device);

// When it was last typed on: its access time, as who(1) and w(1) have it.
std::optional<std::int64_t> last_typed_realtime_ms(std::uint32_t tty_device);

// Writes `line`, escaped already, on a line of its own. Never waits: a terminal that takes nothing
// (stopped with Ctrl-S) gets nothing.
bool write_to_terminal(std::uint32_t tty_device, std::string_view line);

}  // namespace sessreg
