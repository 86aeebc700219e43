// One look at every process: who descends from whom, and so which processes make up a session.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "host/process.h"

namespace sessreg {

// Thread safety: const functions may be called concurrently.
class ProcessTable {
 public:
  struct Entry {
    ProcessId id;
    pid_t parent = 0;
    pid_t sid = 0;
    std::uint32_t tty_device = 0;  // 0: none
  };

  // Living processes only. Empty where /proc cannot be read.
  static ProcessTable read();

  // nullptr: it is gone, or another process has the pid now.
  const Entry* find(const ProcessId& id) const;
  const Entry* find(pid_t pid) const;

  // The processes of a session: those of `roots` that still live, the processes whose sid is `sid`
  // (0: none), everything descended from these, and everything in a terminal session that one of
  // these leads (a background job whose shell has gone). Never pid 1, never twice.
  // `audit_session`, if it is not 0: nothing that is in another one.
  std::vector<Entry> closure(std::span<const ProcessId> roots, pid_t sid,
                             std::uint32_t audit_session = 0) const;

  // The user's own processes of that audit session. /proc is asked for audit sessions when they are
  // first needed.
  std::vector<ProcessId> of_audit_session(const Leftovers& leftovers) const;

  // `pid` and its ancestors, nearest first.
  std::vector<Entry> lineage(pid_t pid) const;

 private:
  friend class ProcessTableReader;

  std::unordered_map<pid_t, Entry> entries_;
  std::unordered_multimap<pid_t, pid_t> children_;  // by parent
  std::unordered_multimap<pid_t, pid_t> members_;   // by sid
  struct AuditSessions;
  const AuditSessions& audit_sessions() const;

  std::shared_ptr<AuditSessions> audit_sessions_;  // never null where there are entries
};

// Reads a table in steps, for who must not be away for long: ten thousand processes take some 100 ms. What
// began before the first step, and is there at the last, is in the table, as it was at some moment between.
//
// Thread safety: none.
class ProcessTableReader {
 public:
  ProcessTableReader();

  // Looks at one process after the other until is_time_up(). True: the table is whole.
  template <class IsTimeUp>
  bool read_some(IsTimeUp is_time_up) {
    while (next()) {
      look();
      if (is_time_up()) return false;
    }
    return true;
  }
  // Once, when it is whole.
  ProcessTable take();

 private:
  bool next();  // false: there is none left
  void look();

  ProcessTable table_;
  std::vector<pid_t> pids_;  // of this pass, those to come last
  int passes_left_;
};

}  // namespace sessreg
