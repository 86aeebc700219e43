// Which processes are alive, named by (pid, start time), and what a session leaves
// behind when its leader is gone.
//
// "When in doubt, alive": a process counts as dead only if the kernel says so (kill: ESRCH), or its
// start time was read and differs, or it is a zombie with no other thread left. proc(5), kill(2).
//
// Thread safety: SystemProcesses keeps no state; all functions may be called concurrently.
#pragma once

#include <sys/types.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace sessreg {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot, in clock ticks: /proc/PID/stat field 22
  bool operator==(const ProcessId&) const = default;
};

struct ProcessStat {
  char state = 0;
  pid_t ppid = 0;
  pid_t group = 0;
  pid_t session = 0;
  std::uint32_t tty_device = 0;  // 0: no controlling terminal
  pid_t foreground_group = -1;   // of that terminal; -1: none
  long threads = 0;
  std::uint64_t start_ticks = 0;

  bool is_dead_zombie() const { return (state == 'Z' || state == 'X') && threads <= 1; }
};

// nullopt: no such process, or /proc does not tell.
std::optional<ProcessStat> read_process_stat(pid_t pid);

// Whose process it is: /proc/PID/status, "Uid:". nullopt: no such process, or /proc does not tell.
struct ProcessUids {
  uid_t real = 0;
  uid_t saved = 0;
};
std::optional<ProcessUids> read_process_uids(pid_t pid);

// Its name, as /proc/PID/comm has it: cut to 15 bytes. Empty: no such process.
std::string process_command(pid_t pid);

// The audit session that a login's processes share: /proc/PID/sessionid. pam_loginuid begins one,
// and nobody but root can leave it. nullopt: the process is in none, or /proc does not tell.
std::optional<std::uint32_t> read_audit_session(pid_t pid);

// That of the calling process, if its parent is known to be in another one or in none: su in a
// login has the login's.
std::optional<std::uint32_t> own_audit_session();

// The calling process, and its parent. start_ticks is 0 where /proc does not tell.
ProcessId self_id();
ProcessId parent_id();

// All process ids that /proc lists; nullopt: /proc cannot be read.
std::optional<std::vector<pid_t>> all_pids();

enum class Life {
  alive,
  gone,    // no process has the pid, or a zombie has: processes with sid == pid may still run
  reused,  // another process has the pid: the kernel reuses a number only when no process has it
           // as its sid any more, so nothing of the old session is left
};

// The sids of all living processes, sorted: they show what is left of
// sessions whose leaders are gone.
class LiveSids {
 public:
  LiveSids() = default;
  explicit LiveSids(std::optional<std::vector<pid_t>> sorted) : sorted_(std::move(sorted)) {}
  // True also when /proc could not be read.
  bool contains(pid_t sid) const;

 private:
  std::optional<std::vector<pid_t>> sorted_;
};

// Which other processes make up a session than its leader, those with the leader's sid, and what
// descends from these: those of its audit session that are its user's. What root runs there is not:
// it may be a daemon that an administrator has started anew, and that logs in others.
struct Leftovers {
  std::uint32_t audit_session = 0;  // 0: none
  std::uint32_t uid = 0;
  bool terminals_only = false;  // only those that have a terminal, or are younger than kYoung_s
  bool beside_leader = false;   // also as long as the leader lives
};

// mosh-server and tmux are there before they have given their shell a terminal.
inline constexpr std::uint64_t kYoung_s = 5;
bool is_young(std::uint64_t start_ticks);

// The audit sessions of all living processes, and whose processes they are.
class LiveAuditSessions {
 public:
  struct Member {
    std::uint32_t audit_session;
    std::uint32_t uid;
    auto operator<=>(const Member&) const = default;
  };
  LiveAuditSessions() = default;
  LiveAuditSessions(std::optional<std::vector<Member>> all, std::vector<Member> with_terminal);
  // True also when /proc could not be read.
  bool contains(const Leftovers& leftovers) const;

 private:
  std::optional<std::vector<Member>> all_;  // sorted
  std::vector<Member> with_terminal_;       // sorted
};

// One session whose terminals are looked at.
struct TerminalLook {
  ProcessId leader;
  std::optional<std::uint32_t> uid;
  Leftovers leftovers{};
  // Whether it has a display, where nobody types on a terminal; may also be found.
  bool has_display = false;
  bool has_terminal = false;           // found: one that can be looked at
  std::int64_t typed_realtime_ms = 0;  // found: when the latest of them was last typed on
  std::uint32_t tty_device = 0;        // found: the latest of them, as in ProcessStat

  // Whether the terminals tell when the session is used.
  bool tells_use() const { return has_terminal && !has_display; }
};

// An interface, so that tests can say which processes are dead.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual Life life(const ProcessId& id) const = 0;
  virtual LiveSids live_sids() const = 0;
  virtual LiveAuditSessions live_audit_sessions() const { return {}; }
  // The start time of a living process; nullopt: dead. 0: alive, but /proc does not tell.
  virtual std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const = 0;
  // Fills in what was found for each; /proc is read once for all of them.
  virtual void look_at_terminals(std::span<TerminalLook> /*looks*/) const {}
};

class SystemProcesses final : public Processes {
 public:
  Life life(const ProcessId& id) const override;
  LiveSids live_sids() const override;
  LiveAuditSessions live_audit_sessions() const override;
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override;
  void look_at_terminals(std::span<TerminalLook> looks) const override;
};

// This boot as the caller is shown it (in a container others may be shown another id of the same
// boot), and the namespaces that give pids and start times their meaning.
struct HostIdentity {
  std::array<std::uint8_t, 16> boot_id{};
  std::uint64_t pid_namespace = 0;
  std::uint64_t time_namespace = 0;  // 0: the kernel has none
};
Result<HostIdentity> host_identity();

}  // namespace sessreg
