#include "host/terminals.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/fd.h"

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
    return "pts/" + std::to_string((major_number - kFirstPtsMajor) * kPtsOfOneMajor + minor_number);

  const std::string link =
      "/sys/dev/char/" + std::to_string(major_number) + ":" + std::to_string(minor_number);
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(link.c_str(), target.data(), target.size());
  if (size > 0) {
    const std::string_view path(target.data(), static_cast<std::size_t>(size));
    return std::string(path.substr(path.rfind('/') + 1));
  }
  constexpr unsigned kConsoleMajor = 4, kFirstSerialMinor = 64;
  if (major_number == kConsoleMajor && minor_number < kFirstSerialMinor)
    return "tty" + std::to_string(minor_number);
  return {};
}

std::optional<std::string> path_of(std::uint32_t tty_device) {
  if (tty_device == 0) return std::nullopt;
  const std::string name = name_of(device_of(tty_device));
  if (name.empty()) return std::nullopt;
  return "/dev/" + name;
}

bool sees_our_mounts(pid_t pid) {
  struct stat own {
  }, its{};
  return stat("/proc/self/ns/mnt", &own) == 0 &&
         stat(("/proc/" + std::to_string(pid) + "/ns/mnt").c_str(), &its) == 0 &&
         own.st_dev == its.st_dev && own.st_ino == its.st_ino;
}

bool has_open(pid_t pid, const struct stat& terminal) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    struct stat its {};
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    if (stat(path.c_str(), &its) == 0 && S_ISCHR(its.st_mode) && its.st_dev == terminal.st_dev &&
        its.st_rdev == terminal.st_rdev)
      return true;
  }
  return false;
}

// Whether what was read of /proc/PID was about this process, still on the same terminal.
bool is_still(const ProcessTable::Entry& process) {
  const auto stat = read_process_stat(process.id.pid);
  return stat && stat->start_ticks == process.id.start_ticks &&
         stat->tty_device == process.tty_device;
}

}  // namespace

std::optional<ProcessTerminal> ProcessTerminal::find(const ProcessTable::Entry& process,
                                                     std::optional<std::uint32_t> uid) {
  const auto path = path_of(process.tty_device);
  struct stat st {};
  if (!path || lstat(path->c_str(), &st) != 0 || !S_ISCHR(st.st_mode) ||
      st.st_rdev != device_of(process.tty_device))
    return std::nullopt;
  if (st.st_uid != 0 && st.st_uid != uid) return std::nullopt;
  const pid_t pid = process.id.pid;
  if ((!sees_our_mounts(pid) && !has_open(pid, st)) || !is_still(process)) return std::nullopt;

  ProcessTerminal terminal;
  terminal.path_ = *path;
  terminal.file_system_ = st.st_dev;
  terminal.device_ = st.st_rdev;
  terminal.owner_ = st.st_uid;
  terminal.last_typed_realtime_ms_ =
      static_cast<std::int64_t>(st.st_atim.tv_sec) * 1000 + st.st_atim.tv_nsec / 1'000'000;
  return terminal;
}

bool ProcessTerminal::write(std::string_view line) const {
  const Fd fd(open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st {};
  // Once more: the name may have passed to another device since it was looked at.
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISCHR(st.st_mode) || st.st_dev != file_system_ ||
      st.st_rdev != device_ || st.st_uid != owner_)
    return false;
  // A terminal in raw mode needs the carriage return.
  const std::string text = "\r\n" + std::string(line) + "\r\n";
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::vector<ProcessTable::Entry> processes_of(const ProcessId& leader, const ProcessTable& table) {
  // If the pid is another process's now, so is the sid.
  const ProcessTable::Entry* holder = table.find(leader.pid);
  const bool reused = holder != nullptr && holder->id != leader;
  return table.closure(std::array{leader}, reused ? 0 : leader.pid);
}

void look_at_terminals(std::span<TerminalLook> looks, const ProcessTable& table) {
  for (TerminalLook& look : looks) {
    std::vector<std::uint32_t> seen;
    for (const auto& process : processes_of(look.leader, table)) {
      const std::uint32_t tty = process.tty_device;
      if (tty == 0 || std::find(seen.begin(), seen.end(), tty) != seen.end()) continue;
      const auto terminal = ProcessTerminal::find(process, look.uid);
      if (!terminal) continue;  // another process may have our terminal of that number
      seen.push_back(tty);
      look.typed_realtime_ms =
          look.has_terminal ? std::max(look.typed_realtime_ms, terminal->last_typed_realtime_ms())
                            : terminal->last_typed_realtime_ms();
      look.has_terminal = true;
    }
  }
}

void SystemProcesses::look_at_terminals(std::span<TerminalLook> looks) const {
  if (!looks.empty()) sessreg::look_at_terminals(looks, ProcessTable::read());
}

}  // namespace sessreg
