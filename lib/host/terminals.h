// The terminals of processes: when they were last typed on, and a line written to them.
//
// The device number that /proc/PID/stat gives names a terminal only within one instance of devpts:
// pts/0 in a container is not the pts/0 here. So a process's terminal is taken to be the one with
// that number here only if
//   - the terminal belongs to the session's user. A process can be given a terminal of a devpts that
//     its user has mounted: then it is the user's own terminal of that number, or none;
//   - the file system that the terminal is in, here, is among the mounts that the process sees.
//
// The processes are their users', and nothing here waits for what those choose: no file is looked at
// through /proc/PID/fd, cwd, root or exe. Such a look asks the file's own file system, which may be
// one that never answers (FUSE in a namespace of the user's, a network file system whose server has
// gone).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "host/process_table.h"

namespace sessreg {

class ProcessTerminal {
 public:
  // nullopt: it has none, or none that is surely the one we can reach. `uid`: the session's.
  static std::optional<ProcessTerminal> find(const ProcessTable::Entry& process,
                                             std::optional<std::uint32_t> uid);

  const std::string& path() const { return path_; }
  // "pts/3": the path without /dev/.
  std::string_view name() const { return std::string_view(path_).substr(kDirectory.size()); }

  // As in ProcessStat.
  std::uint32_t tty_device() const { return tty_device_; }

  // When it was last typed on: its access time, as who(1) and w(1) have it.
  std::int64_t last_typed_realtime_ms() const { return last_typed_realtime_ms_; }

  // Whether it is a virtual console with a display on it, which takes what is typed for itself.
  bool shows_graphics() const;

  // Writes `line`, which is escaped already, on a line of its own. Never waits: a terminal that
  // takes nothing (stopped with Ctrl-S) gets nothing.
  bool write(std::string_view line) const;

 private:
  static constexpr std::string_view kDirectory = "/dev/";

  ProcessTerminal() = default;
  Fd open() const;

  std::string path_;
  dev_t file_system_ = 0;
  dev_t device_ = 0;
  std::uint32_t tty_device_ = 0;
  uid_t owner_ = 0;
  std::int64_t last_typed_realtime_ms_ = 0;
};

// The terminals of a session's processes, each once. `uid`: the session's.
std::vector<ProcessTerminal> terminals_of(std::span<const ProcessTable::Entry> processes,
                                          std::optional<std::uint32_t> uid);

// "pts/3"; `tty_device` as in ProcessStat. Empty: no terminal of a known name.
std::string terminal_name(std::uint32_t tty_device);

// What runs in the foreground of that terminal, one of these processes: its name as /proc/PID/comm
// has it, which the kernel keeps. (The command line is in the memory of the process, where a look
// could wait for whatever the process has mapped there.) Empty: none is seen.
std::string foreground_command(std::span<const ProcessTable::Entry> processes,
                               std::uint32_t tty_device);

// Looks at the terminals of all processes of each session.
void look_at_terminals(std::span<TerminalLook> looks, const ProcessTable& table);

// The processes of a session with that leader; see ProcessTable::closure and Leftovers.
std::vector<ProcessTable::Entry> processes_of(const ProcessId& leader, const Leftovers& leftovers,
                                              const ProcessTable& table);

}  // namespace sessreg
