#include "ending.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "signals.h"
#include "terminals.h"
#include "text.h"

namespace sessreg {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAfterTerm{2000};
constexpr std::chrono::milliseconds kAfterKill{1000};

// One session on its way out.
struct Ending {
  SlotRef ref;
  ProcessId leader;
  std::string service;
  std::vector<ProcessTable::Entry> processes;  // seen so far and alive; the leader among them
  bool closed = false;                         // its slot is free, or another session's
  bool shared = false;                         // see rule 3
  bool done() const { return shared || (closed && processes.empty()); }
};

class Ender {
 public:
  Ender(OpenSite& site, const EndingOptions& options) : site_(site), options_(options) {}

  void start(const std::vector<Session>& all, const std::vector<Session>& chosen);
  void finish();
  std::vector<Ended> results() const;

 private:
  Registry& registry() { return *site_.registry; }
  bool end_reservation(const Session& session, Ending& ret);
  void tell(const Ending& ending, const Session& session) const;
  bool may_signal(const ProcessTable::Entry& process) const;
  void look(Ending& ending, const ProcessTable& table);
  void refresh();
  bool wait(std::chrono::milliseconds time);
  void signal_all(std::initializer_list<int> signals, bool leaders);

  OpenSite& site_;
  const EndingOptions& options_;
  std::vector<Ending> endings_;
  std::set<pid_t> untouchable_;
};

bool same_leader(const Session& a, const Session& b) {
  return a.leader == b.leader && a.id != b.id && a.state != State::reserved &&
         b.state != State::reserved;
}

void Ender::start(const std::vector<Session>& all, const std::vector<Session>& chosen) {
  std::set<std::string> chosen_ids;
  for (const Session& session : chosen)
    chosen_ids.insert(session.id);
  const ProcessTable table = ProcessTable::read();
  for (const auto& ancestor : table.lineage(getpid()))
    if (!options_.include_own || ancestor.id.pid == getpid()) untouchable_.insert(ancestor.id.pid);

  // All are marked before the first is asked: none may come back in the place of another.
  for (const Session& session : chosen) {
    Ending ending{session.snapshot.ref, session.leader, session.service, {}, false, false};
    if (session.state == State::reserved) ending.closed = end_reservation(session, ending);
    if (!ending.closed) ending.closed = !registry().mark_revoked(ending.ref, options_.reason);
    ending.shared = std::any_of(all.begin(), all.end(), [&](const Session& other) {
      return same_leader(session, other) && !chosen_ids.contains(other.id);
    });
    endings_.push_back(std::move(ending));
  }
  // Told before asked: the terminal is gone with the session.
  for (std::size_t i = 0; i < endings_.size(); ++i) {
    Ending& ending = endings_[i];
    if (ending.closed) continue;
    look(ending, table);
    tell(ending, chosen[i]);
  }
  for (Ending& ending : endings_) {
    if (ending.closed || ending.shared) continue;
    if (table.find(ending.leader) == nullptr) {
      // Nobody is left who would close it: what remains of it is told to go.
      for (const auto& process : ending.processes) {
        if (!may_signal(process)) continue;
        signal_process(process.id, SIGHUP);
        signal_process(process.id, SIGTERM);
      }
      continue;
    }
    const FirstSignal first = first_signal(ending.leader, ending.service, ending.processes);
    for (const ProcessId& target : first.targets)
      if (!untouchable_.contains(target.pid)) signal_process(target, first.signal_number);
  }
}

// A reservation has no process of its own: its seat is free at once. False: it became a session in
// between, which `ret` is about from now on.
bool Ender::end_reservation(const Session& session, Ending& ret) {
  if (registry().release_reservation(session.snapshot.ref)) return true;
  bool bound = false;
  registry().for_each([&](const Snapshot& held) {
    if (held.record.id != session.snapshot.record.id) return;
    bound = true;
    ret.ref = held.ref;
    ret.leader = {static_cast<pid_t>(held.record.leader_pid), held.record.leader_start_ticks};
  });
  return !bound;
}

void Ender::tell(const Ending& ending, const Session& session) const {
  MessageValues values;
  values.limit = site_.limit_in_force();
  values.count = site_.seats_taken();
  values.seconds = std::chrono::ceil<std::chrono::seconds>(options_.grace).count();
  values.site = session.site;
  values.user = session.user;
  values.service = session.service;
  std::string line = format_message(site_.config.message_revoked, values);
  if (!options_.reason.empty()) line += " (" + escape_for_terminal(options_.reason) + ")";
  std::set<std::string> told;
  for (const auto& process : ending.processes) {
    const auto terminal = ProcessTerminal::find(process, session.uid);
    if (terminal && told.insert(terminal->path()).second) terminal->write(line);
  }
}

bool Ender::may_signal(const ProcessTable::Entry& process) const {
  return process.id.pid > 1 && !untouchable_.contains(process.id.pid);
}

// Brings what is known about one session up to date.
void Ender::look(Ending& ending, const ProcessTable& table) {
  Snapshot held;
  if (!ending.closed && !registry().snapshot(ending.ref, held)) ending.closed = true;

  std::vector<ProcessId> roots;
  for (const auto& process : ending.processes)
    roots.push_back(process.id);
  pid_t sid = 0;
  if (!ending.closed) {
    roots.push_back(ending.leader);
    const ProcessTable::Entry* holder = table.find(ending.leader.pid);
    if (holder == nullptr || holder->id == ending.leader) sid = ending.leader.pid;
  } else {
    // Rule 3: from now on it is about something else.
    std::erase(roots, ending.leader);
  }
  ending.processes = table.closure(roots, sid);
  // The caller in the session that it ends is gone when it has told the result.
  std::erase_if(ending.processes, [&](const ProcessTable::Entry& process) {
    return process.id.pid == getpid() || (ending.closed && process.id == ending.leader);
  });

  if (!ending.closed && ending.processes.empty() && registry().snapshot(ending.ref, held)) {
    // Its processes have gone without closing it. Asked again, as the table is older than that.
    const SystemProcesses processes;
    StateReader states(processes);
    if (!states.state_of(held, false, 0)) {
      registry().release(ending.ref);
      ending.closed = true;
    } else if (getsid(0) == ending.leader.pid) {
      ending.closed = true;  // nobody but the caller is left; its seat is free when that is gone
    }
  }
}

void Ender::refresh() {
  const ProcessTable table = ProcessTable::read();
  for (Ending& ending : endings_)
    if (!ending.done()) look(ending, table);
}

// True: all are done.
bool Ender::wait(std::chrono::milliseconds time) {
  const auto deadline = Clock::now() + time;
  // Most sessions end within some milliseconds of the first signal.
  std::chrono::milliseconds pause{10};
  constexpr std::chrono::milliseconds kLongestPause{200};
  for (;;) {
    refresh();
    if (std::all_of(endings_.begin(), endings_.end(), [](const Ending& e) { return e.done(); }))
      return true;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    std::this_thread::sleep_for(std::min(pause, left));
    pause = std::min(pause * 2, kLongestPause);
  }
}

void Ender::signal_all(std::initializer_list<int> signals, bool leaders) {
  for (const Ending& ending : endings_) {
    if (ending.done()) continue;
    for (const auto& process : ending.processes) {
      if (!may_signal(process) || (!leaders && process.id == ending.leader)) continue;
      for (const int signal_number : signals)
        signal_process(process.id, signal_number);
    }
  }
}

void Ender::finish() {
  if (wait(options_.grace)) return;
  signal_all({SIGHUP, SIGTERM}, true);
  if (wait(kAfterTerm)) return;
  signal_all({SIGKILL}, false);
  if (wait(kAfterKill)) return;
  signal_all({SIGKILL}, true);
  wait(kAfterKill);
}

std::vector<Ended> Ender::results() const {
  std::vector<Ended> results;
  for (const Ending& ending : endings_) {
    Ended result;
    if (!ending.done()) result.result = EndResult::survived;
    if (ending.shared && !ending.closed) result.result = EndResult::ending;
    for (const auto& process : ending.processes)
      result.survivors.push_back(process.id.pid);
    std::sort(result.survivors.begin(), result.survivors.end());
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

const char* text(EndResult result) {
  switch (result) {
    case EndResult::ended:
      return "ended";
    case EndResult::ending:
      return "ending";
    case EndResult::survived:
      return "survived";
  }
  return "unknown";
}

bool is_own_session(const Session& session, const ProcessTable& table) {
  const pid_t self = getpid();
  for (const auto& process : table.lineage(self)) {
    if (process.id == session.leader) return true;
    // An orphaned session: its leader is gone, and lives on as the sid of its processes.
    if (process.sid != session.leader.pid) continue;
    const ProcessTable::Entry* holder = table.find(session.leader.pid);
    if (holder == nullptr || holder->id == session.leader) return true;
  }
  return false;
}

std::vector<Ended> end_sessions(OpenSite& site, const std::vector<Session>& all,
                                const std::vector<Session>& chosen, const EndingOptions& options) {
  // The end of the caller's own terminal session must not stop it half-way.
  signal(SIGHUP, SIG_IGN);
  if (options.include_own) signal(SIGTERM, SIG_IGN);
  Ender ender(site, options);
  ender.start(all, chosen);
  ender.finish();
  return ender.results();
}

}  // namespace sessreg
