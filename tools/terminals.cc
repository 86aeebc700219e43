#include "terminals.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>

#include "fd.h"

namespace sessreg {
namespace {

// tty_nr is the kernel's 32-bit encoding of a device: minor bits 31–20 and 7–0, major bits 15–8.
dev_t device_of(std::uint32_t tty_device) {
  return makedev((tty_device >> 8) & 0xfff, (tty_device & 0xff) | ((tty_device >> 12) & 0xfff00));
}

std::string name_of(dev_t device) {
  constexpr unsigned kFirstPtsMajor = 136, kLastPtsMajor = 143, kPtsOfOneMajor = 256;
  const unsigned major_number = major(device), minor_number = minor(device);
  // The kernel numbers pseudo-terminals on through the minors of one major; the further majors are
  // the old scheme's.
  if (major_number >= kFirstPtsMajor && major_number <= kLastPtsMajor)
    return fmt::format("pts/{}", (major_number - kFirstPtsMajor) * kPtsOfOneMajor + minor_number);

  const std::string link = fmt::format("/sys/dev/char/{}:{}", major_number, minor_number);
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(link.c_str(), target.data(), target.size());
  if (size > 0) {
    const std::string_view path(target.data(), static_cast<std::size_t>(size));
    return std::string(path.substr(path.rfind('/') + 1));
  }
  constexpr unsigned kConsoleMajor = 4, kFirstSerialMinor = 64;
  if (major_number == kConsoleMajor && minor_number < kFirstSerialMinor)
    return fmt::format("tty{}", minor_number);
  return {};
}

bool is_device(const struct stat& st, dev_t device) {
  return S_ISCHR(st.st_mode) && st.st_rdev == device;
}

}  // namespace

std::optional<std::string> terminal_path(std::uint32_t tty_device) {
  if (tty_device == 0) return std::nullopt;
  const dev_t device = device_of(tty_device);
  const std::string name = name_of(device);
  if (name.empty()) return std::nullopt;
  std::string path = "/dev/" + name;
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0 || !is_device(st, device)) return std::nullopt;
  return path;
}

std::optional<std::int64_t> last_typed_realtime_ms(std::uint32_t tty_device) {
  const auto path = terminal_path(tty_device);
  struct stat st {};
  if (!path || lstat(path->c_str(), &st) != 0) return std::nullopt;
  return static_cast<std::int64_t>(st.st_atim.tv_sec) * 1000 + st.st_atim.tv_nsec / 1'000'000;
}

bool write_to_terminal(std::uint32_t tty_device, std::string_view line) {
  const auto path = terminal_path(tty_device);
  if (!path) return false;
  const Fd fd(open(path->c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st {};
  // Once more: the name may have passed to another device since it was looked at.
  if (!fd || fstat(fd.get(), &st) != 0 || !is_device(st, device_of(tty_device))) return false;
  // A terminal in raw mode needs the carriage return.
  const std::string text = fmt::format("\r\n{}\r\n", line);
  return write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace sessreg
