#include "host/process_table.h"

#include <unordered_set>

namespace sessreg {

ProcessTable ProcessTable::read() {
  ProcessTable table;
  // Twice: a process that forks and exits while /proc is read can be missed once.
  for (int pass = 0; pass < 2; ++pass) {
    const auto pids = all_pids();
    if (!pids) break;
    for (const pid_t pid : *pids) {
      const auto stat = read_process_stat(pid);
      if (!stat || stat->is_dead_zombie()) {
        table.entries_.erase(pid);
        continue;
      }
      table.entries_[pid] = {{pid, stat->start_ticks}, stat->ppid, stat->session, stat->tty_device};
    }
  }
  for (const auto& [pid, entry] : table.entries_) {
    table.children_.emplace(entry.parent, pid);
    table.members_.emplace(entry.sid, pid);
  }
  return table;
}

const ProcessTable::Entry* ProcessTable::find(const ProcessId& id) const {
  const Entry* entry = find(id.pid);
  return entry != nullptr && entry->id == id ? entry : nullptr;
}

const ProcessTable::Entry* ProcessTable::find(pid_t pid) const {
  const auto found = entries_.find(pid);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<ProcessTable::Entry> ProcessTable::closure(std::span<const ProcessId> roots,
                                                       pid_t sid) const {
  std::vector<Entry> result;
  std::unordered_set<pid_t> seen;
  const auto add = [&](pid_t pid) {
    const Entry* entry = find(pid);
    if (entry != nullptr && pid > 1 && seen.insert(pid).second) result.push_back(*entry);
  };
  const auto add_members = [&](pid_t of) {
    const auto [first, last] = members_.equal_range(of);
    for (auto i = first; i != last; ++i)
      add(i->second);
  };

  for (const ProcessId& root : roots)
    if (find(root) != nullptr) add(root.pid);
  if (sid > 1) add_members(sid);
  for (std::size_t next = 0; next < result.size(); ++next) {
    const Entry entry = result[next];
    const auto [first, last] = children_.equal_range(entry.id.pid);
    for (auto i = first; i != last; ++i)
      add(i->second);
    if (entry.sid == entry.id.pid) add_members(entry.sid);
  }
  return result;
}

std::vector<ProcessTable::Entry> ProcessTable::lineage(pid_t pid) const {
  std::vector<Entry> result;
  std::unordered_set<pid_t> seen;
  for (const Entry* entry = find(pid); entry != nullptr && seen.insert(entry->id.pid).second;
       entry = find(entry->parent))
    result.push_back(*entry);
  return result;
}

}  // namespace sessreg
