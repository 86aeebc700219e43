#include "session/send_off.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "host/signals.h"
#include "host/terminals.h"

namespace sessreg {
namespace {

bool leads_another(Registry& registry, const Snapshot& session) {
  bool found = false;
  registry.for_each([&](const Snapshot& other) {
    found |= other.record.kind != RecordKind::reservation && other.record.id != session.record.id &&
             leader_of(other.record) == leader_of(session.record);
  });
  return found;
}

// sshd hands on to the client what is written to its terminal, but no more once it was asked to
// end. The only time that a login gives to another session; it waits for nothing.
constexpr timespec kTimeToBeShown{0, 100'000'000};

// True: a terminal was told.
bool tell(const Config& config, const Displaced& displaced,
          const std::vector<ProcessTable::Entry>& processes) {
  const RecordImage& record = displaced.session.record;
  MessageValues values;
  values.limit = config.sessions_limit;
  values.site = config.site;
  values.user = text_of(record.user);
  values.service = text_of(record.service);
  const std::string line =
      format_message(config.message_revoked, values) + " (" + text(displaced.why) + ")";
  std::set<std::string> told;
  for (const auto& process : processes) {
    const auto terminal = ProcessTerminal::find(process, record.uid);
    if (terminal && told.insert(terminal->path()).second) terminal->write(line);
  }
  return !told.empty();
}

}  // namespace

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
  const ProcessTable table = ProcessTable::read();
  const ProcessId leader = leader_of(session.record);
  const std::vector<ProcessTable::Entry> processes = processes_of(leader, table);
  // Told before asked: the terminal is gone with the session.
  const bool told = tell(config, displaced, processes);
  const auto lineage = table.lineage(getpid());
  const auto is_own = [&](const ProcessId& id) {
    return std::any_of(lineage.begin(), lineage.end(),
                       [&](const ProcessTable::Entry& ancestor) { return ancestor.id == id; });
  };
  if (is_own(leader) || leads_another(registry, session)) return;
  if (told) nanosleep(&kTimeToBeShown, nullptr);
  if (table.find(leader) == nullptr) {
    // Nobody is left who would close it: what remains of it is told to go.
    for (const auto& process : processes)
      if (!is_own(process.id)) signal_process(process.id, SIGHUP);
    return;
  }
  const FirstSignal first = first_signal(leader, text_of(session.record.service), processes);
  for (const ProcessId& target : first.targets)
    for (const int signal_number : first.signal_numbers)
      if (!is_own(target)) signal_process(target, signal_number);
}

}  // namespace sessreg
