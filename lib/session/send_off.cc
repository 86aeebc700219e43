#include "session/send_off.h"

#include <unistd.h>

#include <array>
#include <set>
#include <thread>

#include "host/terminals.h"
#include "session/ended.h"
#include "session/ending.h"

namespace sessreg {

const char* text(Displaced::Why why) {
  switch (why) {
    case Displaced::Why::evicted:
      return "a newer login of the same user took its place";
    case Displaced::Why::table_full:
      return "the table of sessions is full and it had no seat";
    case Displaced::Why::returned_in_vain:
      return "its seat was given away while it was idle";
    case Displaced::Why::parked:
      return "idle";
  }
  return "unknown";
}

void send_off(Registry& registry, const Config& config, const Displaced& displaced) {
  const Snapshot& session = displaced.session;
  registry.mark_revoked(session.ref, text(displaced.why));
  const auto known_leader = leader_of(session.record);
  if (!known_leader) {  // nobody to tell: its holder is told when it asks
    registry.vacate(session.ref);
    // A token that a reboot brings back is no more than a nuisance: the login goes on.
    if (const auto ended = ended_session(session.record))
      (void)note_ended(config, {&*ended, 1}, EndedHow::closed);
    return;
  }
  const ProcessId leader = *known_leader;
  const ProcessTable table = ProcessTable::read();
  const std::vector<ProcessTable::Entry> processes =
      processes_of(leader, leftovers_of(session.record), table);
  // Told before asked: the terminal is gone with the session.
  const bool told = tell(registry, config, session.record, processes, text(displaced.why), {});
  std::set<pid_t> lineage;
  for (const auto& ancestor : table.lineage(getpid()))
    lineage.insert(ancestor.id.pid);
  const bool is_own = table.find(leader) != nullptr && lineage.contains(leader.pid);
  const auto is_shared = [&]() -> bool {
    return have_shared_leaders(registry, {{session.ref, leader, session.record.flags}}).front();
  };
  if (is_own || is_shared()) return;
  if (told) {
    // The only time that a login gives to another session; it waits for nothing.
    std::this_thread::sleep_for(kTimeToBeShown);
    if (is_shared()) return;
  }
  ask(leader, text_of(session.record.service), processes, table, lineage);
  // What the leader will leave behind: nobody may come to ask that later.
  const Leftovers leftovers = leftovers_of(session.record);
  if (!leftovers.beside_leader || table.find(leader) == nullptr) return;
  std::set<pid_t> of_leader;
  for (const auto& process : table.closure(std::array{leader}, leader.pid))
    of_leader.insert(process.id.pid);
  std::vector<ProcessTable::Entry> left = processes;
  std::erase_if(left, [&](const auto& process) { return of_leader.contains(process.id.pid); });
  ask({}, {}, left, table, lineage);
}

}  // namespace sessreg
