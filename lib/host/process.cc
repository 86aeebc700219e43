#include "host/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"

namespace sessreg {
namespace {

// Reads a small file of /proc; nullopt on any error.
std::optional<std::string_view> read_small(const char* path, std::array<char, 4096>& buffer) {
  const Fd fd(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return std::nullopt;
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t n = read(fd.get(), buffer.data() + size, buffer.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    size += static_cast<std::size_t>(n);
    // The kernel gives such a file in one piece.
    if (n == 0 || size < buffer.size()) break;
  }
  return std::string_view(buffer.data(), size);
}

// /proc/PID/NAME
std::optional<std::string_view> read_small(pid_t pid, const char* name,
                                           std::array<char, 4096>& buffer) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return read_small(path, buffer);
}

template <class T>
bool parse(std::string_view text, T& ret) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ret);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<ProcessStat> read_process_stat(pid_t pid) {
  std::array<char, 4096> buffer;
  const auto text = read_small(pid, "stat", buffer);
  if (!text) return std::nullopt;
  // The command name, in parentheses, may itself hold parentheses and spaces.
  const std::size_t name_end = text->rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;

  ProcessStat stat;
  std::string_view rest = text->substr(name_end + 1);
  constexpr int kState = 3, kPpid = 4, kGroup = 5, kSession = 6, kTty = 7, kForeground = 8,
                kThreads = 20, kStart = 22;
  for (int field = kState; field <= kStart; ++field) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    int tty = 0;
    bool good = !word.empty();
    switch (field) {
      case kState:
        stat.state = good ? word[0] : '\0';
        break;
      case kPpid:
        good = parse(word, stat.ppid);
        break;
      case kGroup:
        good = parse(word, stat.group);
        break;
      case kForeground:
        good = parse(word, stat.foreground_group);
        break;
      case kSession:
        good = parse(word, stat.session);
        break;
      case kTty:
        good = parse(word, tty);
        stat.tty_device = static_cast<std::uint32_t>(tty);
        break;
      case kThreads:
        good = parse(word, stat.threads);
        break;
      case kStart:
        good = parse(word, stat.start_ticks);
        break;
      default:
        break;
    }
    if (!good) return std::nullopt;
  }
  return stat;
}

std::optional<ProcessUids> read_process_uids(pid_t pid) {
  std::array<char, 4096> buffer;
  const auto text = read_small(pid, "status", buffer);
  if (!text) return std::nullopt;
  // At the beginning of a line: a newline in the command's name is escaped there.
  constexpr std::string_view kLine = "\nUid:";
  const std::size_t at = text->find(kLine);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = text->substr(at + kLine.size());
  rest = rest.substr(0, rest.find('\n'));
  std::array<uid_t, 4> uids{};  // real, effective, saved, file system
  for (uid_t& uid : uids) {
    rest.remove_prefix(std::min(rest.find_first_not_of('\t'), rest.size()));
    const std::string_view word = rest.substr(0, rest.find('\t'));
    rest.remove_prefix(word.size());
    if (!parse(word, uid)) return std::nullopt;
  }
  return ProcessUids{uids[0], uids[2]};
}

std::string process_command(pid_t pid) {
  std::array<char, 4096> buffer;
  const auto text = read_small(pid, "comm", buffer);
  return text ? std::string(text->substr(0, text->find('\n'))) : std::string();
}

std::optional<std::uint32_t> read_audit_session(pid_t pid) {
  std::array<char, 4096> buffer;
  const auto text = read_small(pid, "sessionid", buffer);
  std::uint32_t id = 0;
  constexpr std::uint32_t kUnset = 0xffffffff;
  if (!text || !parse(text->substr(0, text->find('\n')), id) || id == kUnset || id == 0)
    return std::nullopt;
  return id;
}

std::optional<std::uint32_t> own_audit_session() {
  const auto own = read_audit_session(getpid());
  errno = 0;
  const auto parents = read_audit_session(getppid());
  // A parent outside the namespace, as docker exec's, cannot be asked.
  if (!own || parents == own || (!parents && errno != 0)) return std::nullopt;
  return own;
}

bool is_young(std::uint64_t start_ticks) {
  const auto ticks_per_s = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  return (start_ticks / ticks_per_s + kYoung_s) * 1000 > boottime_ms();
}

ProcessId self_id() {
  const pid_t pid = getpid();
  const auto stat = read_process_stat(pid);
  return {pid, stat ? stat->start_ticks : 0};
}

ProcessId parent_id() {
  const pid_t pid = getppid();
  const auto stat = pid > 0 ? read_process_stat(pid) : std::nullopt;
  return {pid, stat ? stat->start_ticks : 0};
}

std::optional<std::vector<pid_t>> all_pids() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc"), closedir);
  if (!dir) return std::nullopt;
  std::vector<pid_t> pids;
  errno = 0;
  while (const dirent* entry = readdir(dir.get())) {
    pid_t pid = 0;
    if (parse(std::string_view(entry->d_name), pid) && pid > 0) pids.push_back(pid);
  }
  if (errno != 0) return std::nullopt;
  return pids;
}

std::optional<std::uint64_t> SystemProcesses::start_ticks_if_alive(pid_t pid) const {
  if (pid <= 0) return std::nullopt;
  if (kill(pid, 0) != 0 && errno == ESRCH) return std::nullopt;
  const auto stat = read_process_stat(pid);
  // It may have gone between the two; /proc may also be mounted so that it does not tell.
  if (!stat) {
    if (kill(pid, 0) != 0 && errno == ESRCH) return std::nullopt;
    return 0;
  }
  if (stat->is_dead_zombie()) return std::nullopt;
  return stat->start_ticks;
}

Life SystemProcesses::life(const ProcessId& id) const {
  const auto start_ticks = start_ticks_if_alive(id.pid);
  if (!start_ticks) return Life::gone;
  // 0 on either side: the start time was never known.
  if (*start_ticks == 0 || id.start_ticks == 0 || *start_ticks == id.start_ticks)
    return Life::alive;
  return Life::reused;
}

LiveSids SystemProcesses::live_sids() const {
  std::vector<pid_t> sids;
  // Twice: a process that forks and exits while /proc is read can be missed once, by its number
  // and its child's.
  for (int pass = 0; pass < 2; ++pass) {
    const auto pids = all_pids();
    if (!pids) return LiveSids(std::nullopt);
    for (const pid_t pid : *pids) {
      errno = 0;
      const auto stat = read_process_stat(pid);
      // It failed, but not because the process is gone (no descriptors left, say): nobody can tell.
      if (!stat && errno != ENOENT && errno != ESRCH) return LiveSids(std::nullopt);
      if (stat && !stat->is_dead_zombie()) sids.push_back(stat->session);
    }
  }
  std::sort(sids.begin(), sids.end());
  sids.erase(std::unique(sids.begin(), sids.end()), sids.end());
  return LiveSids(std::move(sids));
}

LiveAuditSessions SystemProcesses::live_audit_sessions() const {
  std::vector<LiveAuditSessions::Member> all, with_terminal;
  const auto is_gone = [] { return errno == 0 || errno == ENOENT || errno == ESRCH; };
  for (int pass = 0; pass < 2; ++pass) {  // as above
    const auto pids = all_pids();
    if (!pids) return {};
    for (const pid_t pid : *pids) {
      errno = 0;
      const auto audit_session = read_audit_session(pid);
      if (!audit_session && !is_gone()) return {};
      if (!audit_session) continue;
      errno = 0;
      const auto stat = read_process_stat(pid);
      const auto uids = stat ? read_process_uids(pid) : std::nullopt;
      if (!uids && !is_gone()) return {};
      if (!uids || stat->is_dead_zombie()) continue;
      all.push_back({*audit_session, uids->real});
      if (stat->tty_device != 0 || is_young(stat->start_ticks)) with_terminal.push_back(all.back());
    }
  }
  return {std::move(all), std::move(with_terminal)};
}

LiveAuditSessions::LiveAuditSessions(std::optional<std::vector<Member>> all,
                                     std::vector<Member> with_terminal)
    : all_(std::move(all)), with_terminal_(std::move(with_terminal)) {
  if (all_) std::sort(all_->begin(), all_->end());
  std::sort(with_terminal_.begin(), with_terminal_.end());
}

bool LiveAuditSessions::contains(const Leftovers& leftovers) const {
  if (leftovers.audit_session == 0) return false;
  if (!all_) return true;
  const auto& those = leftovers.terminals_only ? with_terminal_ : *all_;
  return std::binary_search(those.begin(), those.end(),
                            Member{leftovers.audit_session, leftovers.uid});
}

bool LiveSids::contains(pid_t sid) const {
  return !sorted_ || std::binary_search(sorted_->begin(), sorted_->end(), sid);
}

Result<HostIdentity> host_identity() {
  HostIdentity host;
  constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
  std::array<char, 4096> buffer;
  const auto text = read_small(kBootId, buffer);
  if (!text)
    return system_error(errno, std::string("cannot read ") + kBootId + " (is /proc mounted?)");
  std::size_t digits = 0;
  for (const char c : *text) {
    std::uint8_t value = 0;
    if (c == '-' || c == '\n') continue;
    if (c >= '0' && c <= '9')
      value = static_cast<std::uint8_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = static_cast<std::uint8_t>(c - 'a' + 10);
    else
      digits = 99;
    if (digits >= 32) break;
    std::uint8_t& byte = host.boot_id[digits / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | value);
    ++digits;
  }
  if (digits != 32) return Error{Errc::system, std::string(kBootId) + " holds no boot id"};

  struct stat namespace_stat {};
  if (stat("/proc/self/ns/pid", &namespace_stat) != 0)
    return system_error(errno, "cannot look at /proc/self/ns/pid");
  host.pid_namespace = namespace_stat.st_ino;
  if (stat("/proc/self/ns/time", &namespace_stat) == 0) host.time_namespace = namespace_stat.st_ino;
  return host;
}

}  // namespace sessreg
