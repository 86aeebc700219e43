#include "common/ending.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/text.h"
#include "host/signals.h"
#include "host/terminals.h"

namespace sessreg {
namespace {

// sshd's child needs it to hand on to the client what was written to the terminal.
constexpr std::chrono::milliseconds kTimeToBeShown{100};
constexpr std::chrono::milliseconds kAfterTerm{2000};
constexpr std::chrono::milliseconds kAfterKill{1000};
constexpr std::chrono::milliseconds kLongestPause{200};

}  // namespace

Ender::Ender(OpenSite& site, const std::vector<Session>& chosen, EndingOptions options,
             const ProcessTable& table)
    : site_(site), options_(std::move(options)) {
  for (const auto& ancestor : table.lineage(getpid()))
    if (!options_.include_own || ancestor.id.pid == getpid()) untouchable_.insert(ancestor.id.pid);

  const auto grace_s = std::chrono::ceil<std::chrono::seconds>(options_.grace).count();
  // All are marked before the first is asked: none may come back in the place of another.
  for (const Session& session : chosen) {
    Ending ending{session.snapshot.ref, session.leader, std::string(session.service()), {}};
    if (session.state == State::reserved) ending.closed = end_reservation(session, ending);
    if (!ending.closed)
      ending.closed = !registry().mark_revoked(ending.ref, options_.reason,
                                               static_cast<std::uint32_t>(grace_s));
    endings_.push_back(std::move(ending));
  }
  find_shared();
  // Told before asked: the terminal is gone with the session.
  for (std::size_t i = 0; i < endings_.size(); ++i) {
    Ending& ending = endings_[i];
    if (ending.closed) continue;
    look(ending, table);
    const bool told = options_.tell && tell(ending, chosen[i]);
    if (!told && !ending.closed && !ending.shared) ask(ending, table);
  }
  due_ = Clock::now() + kTimeToBeShown;
}

// A leader may hold several sessions, of which some are to stay.
void Ender::find_shared() {
  std::unordered_multimap<pid_t, Ending*> by_leader;
  for (Ending& ending : endings_)
    by_leader.emplace(ending.leader.pid, &ending);
  registry().for_each([&](const Snapshot& other) {
    if (other.record.kind == RecordKind::reservation) return;
    const ProcessId leader = leader_of(other.record);
    const auto [first, last] = by_leader.equal_range(leader.pid);
    const bool is_chosen =
        std::any_of(first, last, [&](const auto& of) { return of.second->ref == other.ref; });
    if (is_chosen) return;
    for (auto i = first; i != last; ++i)
      if (!i->second->closed && i->second->leader == leader) i->second->shared = true;
  });
}

void Ender::ask(Ending& ending, const ProcessTable& table) {
  ending.asked = true;
  if (table.find(ending.leader) == nullptr) {
    // Nobody is left who would close it: what remains of it is told to go.
    for (const auto& process : ending.processes) {
      if (!may_signal(process)) continue;
      signal_process(process.id, SIGHUP);
      signal_process(process.id, SIGTERM);
    }
    return;
  }
  const FirstSignal first = first_signal(ending.leader, ending.service, ending.processes);
  for (const ProcessId& target : first.targets)
    for (const int signal_number : first.signal_numbers)
      if (!untouchable_.contains(target.pid)) signal_process(target, signal_number);
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
    ret.leader = leader_of(held.record);
  });
  return !bound;
}

bool Ender::tell(const Ending& ending, const Session& session) const {
  MessageValues values;
  values.limit = site_.limit_in_force();
  values.count = site_.seats_taken();
  values.seconds = std::chrono::ceil<std::chrono::seconds>(options_.grace).count();
  values.site = session.site;
  values.user = session.user();
  values.service = session.service();
  std::string line = format_message(site_.config.message_revoked, values);
  if (!options_.reason.empty()) line += " (" + escape_for_terminal(options_.reason) + ")";
  std::set<std::string> told;
  for (const auto& process : ending.processes) {
    const auto terminal = ProcessTerminal::find(process, session.uid);
    if (terminal && told.insert(terminal->path()).second) terminal->write(line);
  }
  return !told.empty();
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

std::optional<std::chrono::milliseconds> Ender::step(const ProcessTable& table) {
  for (Ending& ending : endings_)
    if (!ending.done()) look(ending, table);
  if (std::all_of(endings_.begin(), endings_.end(), [](const Ending& e) { return e.done(); }))
    return std::nullopt;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
  if (left.count() <= 0) {
    if (sent_ == Sent::kill_all) return std::nullopt;
    send_next(table);
    left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
    pause_ = std::chrono::milliseconds(10);
  }
  const auto pause = std::min(pause_, left);
  pause_ = std::min(pause_ * 2, kLongestPause);
  return pause;
}

void Ender::send_next(const ProcessTable& table) {
  switch (sent_) {
    case Sent::nothing:
      for (Ending& ending : endings_)
        if (!ending.asked && !ending.closed && !ending.shared) ask(ending, table);
      sent_ = Sent::first;
      due_ = Clock::now() + options_.grace;
      return;
    case Sent::first:
      signal_all({SIGHUP, SIGTERM}, true);
      sent_ = Sent::hangup_and_term;
      due_ = Clock::now() + kAfterTerm;
      return;
    case Sent::hangup_and_term:
      signal_all({SIGKILL}, false);
      sent_ = Sent::kill_members;
      break;
    default:
      signal_all({SIGKILL}, true);
      sent_ = Sent::kill_all;
  }
  due_ = Clock::now() + kAfterKill;
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

std::vector<Ended> end_sessions(OpenSite& site, const std::vector<Session>& chosen,
                                const EndingOptions& options) {
  // The end of the caller's own terminal session must not stop it half-way.
  signal(SIGHUP, SIG_IGN);
  if (options.include_own) signal(SIGTERM, SIG_IGN);
  Ender ender(site, chosen, options);
  while (const auto pause = ender.step())
    std::this_thread::sleep_for(*pause);
  return ender.results();
}

}  // namespace sessreg
