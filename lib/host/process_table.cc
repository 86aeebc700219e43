#include "host/process_table.h"

#include <mutex>
#include <unordered_set>
#include <utility>

namespace sessreg {

struct ProcessTable::AuditSessions {
  std::once_flag read;
  std::unordered_map<pid_t, std::uint32_t> of;
  std::unordered_multimap<std::uint32_t, pid_t> members;
};

ProcessTable ProcessTable::read() {
  ProcessTableReader reader;
  reader.read_some([] { return false; });
  return reader.take();
}

// Twice: a process that forks and exits while /proc is read can be missed once. Who was seen then is not
// looked at again.
ProcessTableReader::ProcessTableReader() : passes_left_(2) {
  table_.audit_sessions_ = std::make_shared<ProcessTable::AuditSessions>();
}

bool ProcessTableReader::next() {
  while (pids_.empty() && passes_left_ > 0) {
    --passes_left_;
    if (auto pids = all_pids())
      pids_ = std::move(*pids);
    else
      passes_left_ = 0;
    std::erase_if(pids_, [&](pid_t pid) { return table_.entries_.contains(pid); });
  }
  return !pids_.empty();
}

void ProcessTableReader::look() {
  const pid_t pid = pids_.back();
  pids_.pop_back();
  const auto stat = read_process_stat(pid);
  if (stat && !stat->is_dead_zombie())
    table_.entries_[pid] = {{pid, stat->start_ticks}, stat->ppid, stat->session, stat->tty_device};
}

ProcessTable ProcessTableReader::take() {
  for (const auto& [pid, entry] : table_.entries_) {
    table_.children_.emplace(entry.parent, pid);
    table_.members_.emplace(entry.sid, pid);
  }
  return std::move(table_);
}

const ProcessTable::Entry* ProcessTable::find(const ProcessId& id) const {
  const Entry* entry = find(id.pid);
  return entry != nullptr && entry->id == id ? entry : nullptr;
}

const ProcessTable::Entry* ProcessTable::find(pid_t pid) const {
  const auto found = entries_.find(pid);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<ProcessTable::Entry> ProcessTable::closure(std::span<const ProcessId> roots, pid_t sid,
                                                       std::uint32_t audit_session) const {
  std::vector<Entry> result;
  std::unordered_set<pid_t> seen;
  const auto is_of_another = [&](pid_t pid) {
    if (audit_session == 0) return false;
    const auto& of = audit_sessions().of;
    const auto found = of.find(pid);
    return found != of.end() && found->second != audit_session;
  };
  const auto add = [&](pid_t pid) {
    if (is_of_another(pid)) return;
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

const ProcessTable::AuditSessions& ProcessTable::audit_sessions() const {
  std::call_once(audit_sessions_->read, [&] {
    for (const auto& [pid, entry] : entries_) {
      const auto id = read_audit_session(pid);
      if (!id) continue;
      // Another process may have the pid by now.
      const auto stat = read_process_stat(pid);
      if (!stat || stat->start_ticks != entry.id.start_ticks) continue;
      audit_sessions_->of.emplace(pid, *id);
      audit_sessions_->members.emplace(*id, pid);
    }
  });
  return *audit_sessions_;
}

std::vector<ProcessId> ProcessTable::of_audit_session(const Leftovers& leftovers) const {
  std::vector<ProcessId> result;
  if (leftovers.audit_session == 0 || entries_.empty()) return result;
  const auto [first, last] = audit_sessions().members.equal_range(leftovers.audit_session);
  for (auto i = first; i != last; ++i) {
    const Entry* entry = find(i->second);
    const auto uids = read_process_uids(entry->id.pid);
    if (!uids || uids->real != leftovers.uid) continue;
    if (!leftovers.terminals_only || entry->tty_device != 0 || is_young(entry->id.start_ticks))
      result.push_back(entry->id);
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
