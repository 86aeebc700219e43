#include "host/terminals.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/kd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fd.h"

namespace sessreg {
namespace {

constexpr unsigned kConsoleMajor = 4, kFirstSerialMinor = 64;

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
  if (major_number == kConsoleMajor && minor_number < kFirstSerialMinor)
    return "tty" + std::to_string(minor_number);
  return {};
}

}  // namespace

std::string terminal_name(std::uint32_t tty_device) {
  return tty_device == 0 ? std::string() : name_of(device_of(tty_device));
}

namespace {

std::optional<std::string> path_of(std::uint32_t tty_device) {
  const std::string name = terminal_name(tty_device);
  if (name.empty()) return std::nullopt;
  return "/dev/" + name;
}

// What `/proc/PID/ns/mnt` says: "mnt:[4026531841]". Empty: no such process, or none to look at.
std::string mount_namespace(const std::string& pid) {
  std::array<char, 64> text;
  const ssize_t size = readlink(("/proc/" + pid + "/ns/mnt").c_str(), text.data(), text.size());
  return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// Users can make many mounts in a namespace of their own: no more is read of any. What starts a
// login mounts /dev early.
constexpr std::size_t kMostMountsBytes = std::size_t{64} * 1024;

// Processes of one session with terminals that are not ours: so many are looked at, as a user may
// have thousands.
constexpr unsigned kMostOthers = 100;

std::string read_mounts(const std::string& pid) {
  std::string text(kMostMountsBytes, '\0');
  std::size_t size = 0;
  const Fd fd(open(("/proc/" + pid + "/mountinfo").c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  while (fd && size < text.size()) {
    const ssize_t n = read(fd.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  text.resize(size);
  return text;
}

// Lines of mountinfo: ID PARENT MAJOR:MINOR and more, see proc(5). Blanks in paths are escaped.
bool has_mounted(std::string_view mounts, dev_t file_system) {
  const std::string device =
      std::to_string(major(file_system)) + ":" + std::to_string(minor(file_system));
  while (!mounts.empty()) {
    const std::size_t end = std::min(mounts.find('\n'), mounts.size());
    std::string_view line = mounts.substr(0, end);
    mounts.remove_prefix(std::min(end + 1, mounts.size()));
    for (int field = 0; field < 2; ++field)
      line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    if (line.substr(0, line.find(' ')) == device) return true;
  }
  return false;
}

bool sees(pid_t process, dev_t file_system) {
  const std::string pid = std::to_string(process);
  const std::string its = mount_namespace(pid);
  if (its.empty()) return false;
  // Spares reading the mounts of most: they see what the first process does, of which this one may
  // have a copy (PrivateMounts=).
  return its == mount_namespace("self") || its == mount_namespace("1") ||
         has_mounted(read_mounts(pid), file_system);
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
  if (st.st_uid != uid || !sees(process.id.pid, st.st_dev) || !is_still(process))
    return std::nullopt;

  ProcessTerminal terminal;
  terminal.path_ = *path;
  terminal.file_system_ = st.st_dev;
  terminal.device_ = st.st_rdev;
  terminal.tty_device_ = process.tty_device;
  terminal.owner_ = st.st_uid;
  terminal.last_typed_realtime_ms_ =
      static_cast<std::int64_t>(st.st_atim.tv_sec) * 1000 + st.st_atim.tv_nsec / 1'000'000;
  return terminal;
}

// Never waits.
Fd ProcessTerminal::open() const {
  Fd fd(::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st {};
  // Once more: the name may have passed to another device since it was looked at.
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISCHR(st.st_mode) || st.st_dev != file_system_ ||
      st.st_rdev != device_ || st.st_uid != owner_)
    return Fd();
  return fd;
}

bool ProcessTerminal::shows_graphics() const {
  if (major(device_) != kConsoleMajor || minor(device_) >= kFirstSerialMinor) return false;
  const Fd fd = open();
  int mode = KD_TEXT;
  return fd && ioctl(fd.get(), KDGETMODE, &mode) == 0 && mode == KD_GRAPHICS;
}

bool ProcessTerminal::write(std::string_view line) const {
  const Fd fd = open();
  if (!fd) return false;
  // A terminal in raw mode needs the carriage return.
  const std::string text = "\r\n" + std::string(line) + "\r\n";
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::vector<ProcessTable::Entry> processes_of(const ProcessId& leader, const Leftovers& leftovers,
                                              const ProcessTable& table) {
  // If the pid is another process's now, so is the sid.
  const ProcessTable::Entry* holder = table.find(leader.pid);
  const bool reused = holder != nullptr && holder->id != leader;
  std::vector<ProcessId> roots;
  std::uint32_t audit_session = 0;
  if (leftovers.beside_leader || holder == nullptr || reused) {
    roots = table.of_audit_session(leftovers);
    audit_session = leftovers.audit_session;
  }
  roots.push_back(leader);
  return table.closure(roots, reused ? 0 : leader.pid, audit_session);
}

std::vector<ProcessTerminal> terminals_of(std::span<const ProcessTable::Entry> processes,
                                          std::optional<std::uint32_t> uid) {
  std::vector<ProcessTerminal> terminals;
  std::vector<std::uint32_t> seen;
  unsigned others = 0;
  for (const auto& process : processes) {
    const std::uint32_t tty = process.tty_device;
    if (tty == 0 || std::find(seen.begin(), seen.end(), tty) != seen.end()) continue;
    const auto terminal = ProcessTerminal::find(process, uid);
    if (!terminal) {  // another process may have our terminal of that number
      if (++others == kMostOthers) break;
      continue;
    }
    seen.push_back(tty);
    terminals.push_back(*terminal);
  }
  return terminals;
}

std::string foreground_command(std::span<const ProcessTable::Entry> processes,
                               std::uint32_t tty_device) {
  unsigned looked = 0;
  std::optional<pid_t> group;
  std::string member;
  for (const auto& process : processes) {
    if (tty_device == 0 || process.tty_device != tty_device) continue;
    if (++looked > kMostOthers) break;
    const auto stat = read_process_stat(process.id.pid);
    if (!stat || stat->start_ticks != process.id.start_ticks || stat->tty_device != tty_device)
      continue;
    if (!group) group = stat->foreground_group;
    if (stat->group != *group) continue;
    // Its first process, or another one where that has gone.
    if (process.id.pid == *group) return process_command(process.id.pid);
    if (member.empty()) member = process_command(process.id.pid);
  }
  return member;
}

void look_at_terminals(std::span<TerminalLook> looks, const ProcessTable& table) {
  for (TerminalLook& look : looks) {
    const auto processes = processes_of(look.leader, look.leftovers, table);
    for (const ProcessTerminal& terminal : terminals_of(processes, look.uid)) {
      if (!look.has_terminal || terminal.last_typed_realtime_ms() > look.typed_realtime_ms) {
        look.typed_realtime_ms = terminal.last_typed_realtime_ms();
        look.tty_device = terminal.tty_device();
      }
      look.has_terminal = true;
      look.has_display |= terminal.shows_graphics();
    }
  }
}

void SystemProcesses::look_at_terminals(std::span<TerminalLook> looks) const {
  if (!looks.empty()) sessreg::look_at_terminals(looks, ProcessTable::read());
}

}  // namespace sessreg
