#include "session/ending.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "host/signals.h"
#include "host/terminals.h"
#include "session/messages.h"

namespace sessreg {
namespace {

constexpr std::chrono::milliseconds kAfterTerm{2000};
constexpr std::chrono::milliseconds kAfterKill{1000};
constexpr std::chrono::milliseconds kLongestPause{200};

// Rounded up: a grace of a few milliseconds is not zero.
std::int64_t seconds_of(std::chrono::milliseconds grace) {
  return std::chrono::ceil<std::chrono::seconds>(grace).count();
}

bool may_signal(const ProcessId& process, const std::set<pid_t>& untouchable) {
  return process.pid > 1 && !untouchable.contains(process.pid);
}

// Whether the caller is one of these.
bool is_in(const Leftovers& leftovers) {
  return leftovers.beside_leader && read_audit_session(getpid()) == leftovers.audit_session;
}

}  // namespace

// --- Steps ---

bool tell(Registry& registry, const Config& config, const RecordImage& session,
          const std::vector<ProcessTable::Entry>& processes, std::string_view reason,
          std::chrono::milliseconds grace) {
  const std::string line = message_of_end(reason, config, registry, session, seconds_of(grace));
  const auto terminals = terminals_of(processes, uid_of(session));
  for (const ProcessTerminal& terminal : terminals)
    terminal.write(line);
  return !terminals.empty();
}

void ask(const ProcessId& leader, std::string_view service,
         const std::vector<ProcessTable::Entry>& processes, const ProcessTable& table,
         const std::set<pid_t>& untouchable, std::optional<uid_t> as) {
  FirstSignal first;
  if (table.find(leader) != nullptr) {
    first = first_signal(leader, service, processes);
  } else {
    first.signal_numbers = {SIGHUP, SIGTERM};
    for (const auto& process : processes)
      first.targets.push_back(process.id);
  }
  for (const ProcessId& target : first.targets)
    for (const int signal_number : first.signal_numbers)
      if (may_signal(target, untouchable))
        signal_process(target, signal_number, target == leader ? std::nullopt : as);
}

std::vector<bool> have_shared_leaders(Registry& registry, const std::vector<Led>& sessions) {
  std::vector<bool> result(sessions.size());
  std::unordered_multimap<pid_t, std::size_t> by_leader;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    result[i] = has(sessions[i].flags, RecordFlags::shared_leader) || sessions[i].leader.pid <= 1;
    if (!result[i]) by_leader.emplace(sessions[i].leader.pid, i);
  }
  if (by_leader.empty()) return result;
  registry.for_each([&](const Snapshot& other) {
    const auto leader = leader_of(other.record);
    if (other.record.kind == RecordKind::reservation || !leader) return;
    const auto [first, last] = by_leader.equal_range(leader->pid);
    for (auto i = first; i != last; ++i)
      if (sessions[i->second].leader == *leader && sessions[i->second].ref != other.ref)
        result[i->second] = true;
  });
  return result;
}

// --- The whole of it ---

Ender::Ender(Registry& registry, const Config& config, const std::vector<Session>& chosen,
             EndingOptions options, const ProcessTable& table)
    : registry_(registry), options_(std::move(options)) {
  for (const auto& ancestor : table.lineage(getpid()))
    if (!options_.include_own || ancestor.id.pid == getpid()) untouchable_.insert(ancestor.id.pid);

  const auto grace_s = static_cast<std::uint32_t>(seconds_of(options_.grace));
  // All are marked before the first is asked: none may come back in the place of another.
  for (const Session& session : chosen) {
    Ending ending{session.snapshot.ref,
                  session.leader.value_or(ProcessId{}),
                  std::string(session.service()),
                  {}};
    ending.flags = session.snapshot.record.flags;
    ending.leftovers = leftovers_of(session.snapshot.record);
    if (options_.is_by_its_user) ending.as = session.uid.value_or(kNoUid);
    if (session.state == State::reserved) ending.closed = end_reservation(session, ending);
    if (!ending.closed)
      ending.closed = !registry_.mark_revoked(
          ending.ref, options_.reason, grace_s,
          options_.is_by_its_user ? MarkStage::revoked_by_its_user : MarkStage::revoked);
    if (!ending.closed && has(ending.flags, RecordFlags::no_process)) {
      registry_.vacate(ending.ref);
      ending.closed = true;
      if (const auto ended = ended_session(session.snapshot.record)) to_note_.push_back(*ended);
    }
    endings_.push_back(std::move(ending));
  }
  vacate_shared();
  // Told before asked: the terminal is gone with the session.
  for (std::size_t i = 0; i < endings_.size(); ++i) {
    Ending& ending = endings_[i];
    if (ending.closed) continue;
    look(ending, table);
    const bool told = options_.tell && tell(registry_, config, chosen[i].snapshot.record,
                                            ending.processes, options_.reason, options_.grace);
    if (!told && !ending.closed && !ending.shared) ask_once(ending, table);
  }
  due_ = Clock::now() + kTimeToBeShown;
}

// Rule 4. A session that was seen to share its leader stays one: there is nothing left to do for it.
void Ender::vacate_shared() {
  std::vector<Led> sessions;
  for (const Ending& ending : endings_)
    sessions.push_back({ending.ref, ending.leader, ending.flags});
  const std::vector<bool> shared = have_shared_leaders(registry_, sessions);
  for (std::size_t i = 0; i < endings_.size(); ++i) {
    Ending& ending = endings_[i];
    if (!shared[i] || ending.closed || ending.shared) continue;
    ending.shared = true;
    registry_.vacate(ending.ref);
  }
}

void Ender::ask_once(Ending& ending, const ProcessTable& table) {
  ending.asked = true;
  ask(ending.leader, ending.service, ending.processes, table, untouchable_, ending.as);
}

// A reservation has no process of its own: its seat is free at once. False: it became a session in
// between, which `ret` is about from now on.
bool Ender::end_reservation(const Session& session, Ending& ret) {
  if (registry_.release_reservation(session.snapshot.ref)) return true;
  bool bound = false;
  registry_.for_each([&](const Snapshot& held) {
    if (held.record.id != session.snapshot.record.id) return;
    bound = true;
    ret.ref = held.ref;
    ret.leader = leader_of(held.record).value_or(ProcessId{});
    ret.flags = held.record.flags;
    ret.leftovers = leftovers_of(held.record);
  });
  return !bound;
}

// Brings what is known about one session up to date.
void Ender::look(Ending& ending, const ProcessTable& table) {
  Snapshot held;
  if (!ending.closed && !registry_.snapshot(ending.ref, held)) ending.closed = true;

  std::vector<ProcessId> roots;
  for (const auto& process : ending.processes)
    roots.push_back(process.id);
  pid_t sid = 0;
  std::uint32_t audit_session = 0;
  if (!ending.closed) {
    roots.push_back(ending.leader);
    const ProcessTable::Entry* holder = table.find(ending.leader.pid);
    if (holder == nullptr || holder->id == ending.leader) sid = ending.leader.pid;
    if (ending.leftovers.beside_leader || holder == nullptr || holder->id != ending.leader) {
      audit_session = ending.leftovers.audit_session;
      for (const ProcessId& left : table.of_audit_session(ending.leftovers))
        roots.push_back(left);
    }
  } else {
    // Rule 3: from now on the leader has something else to do.
    std::erase(roots, ending.leader);
  }
  ending.processes = table.closure(roots, sid, audit_session);
  // A caller inside the session that it ends is gone once it has reported the result.
  std::erase_if(ending.processes, [&](const ProcessTable::Entry& process) {
    return process.id.pid == getpid() || (ending.closed && process.id == ending.leader);
  });

  if (!ending.closed && ending.processes.empty() && registry_.snapshot(ending.ref, held)) {
    // Its processes have gone without closing it. Asked again, as the table is older than that.
    const SystemProcesses processes;
    StateReader states(processes);
    if (!states.state_of(held, false, 0)) {
      registry_.release(ending.ref);
      ending.closed = true;
    } else if (getsid(0) == ending.leader.pid || is_in(ending.leftovers)) {
      ending.closed = true;  // nobody but the caller is left; its seat is free when that is gone
    }
  }
}

std::optional<std::chrono::milliseconds> Ender::step(const ProcessTable& table) {
  for (Ending& ending : endings_) {
    if (ending.done()) continue;
    look(ending, table);
    // What the session has left behind is nobody's to close.
    const bool is_left = !ending.closed && ending.leftovers.beside_leader &&
                         table.find(ending.leader) == nullptr && !ending.processes.empty();
    if (is_left && !std::exchange(ending.asked_leftovers, true)) ask_once(ending, table);
  }
  if (is_over()) return std::nullopt;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
  if (left.count() <= 0) {
    if (sent_ == Sent::kill_all) return std::nullopt;
    send_next(table);
    left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
    pause_ = std::chrono::milliseconds(10);
  }
  return pause(left);
}

std::chrono::milliseconds Ender::pause(std::chrono::milliseconds left) {
  const auto pause = std::min(pause_, left);
  pause_ = std::min(pause_ * 2, kLongestPause);
  return pause;
}

std::optional<std::chrono::milliseconds> Ender::rest() {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now());
  bool is_all_over = true;
  for (const Ending& ending : endings_) {
    if (ending.done()) continue;
    is_all_over = false;
    if (!is_as_before(ending)) return std::nullopt;
  }
  if (is_all_over || left.count() <= 0) return std::nullopt;
  return pause(left);
}

bool Ender::is_as_before(const Ending& ending) const {
  Snapshot held;
  if (!ending.closed && !registry_.snapshot(ending.ref, held)) return false;
  const SystemProcesses processes;
  // As long as the leader lives it is for the leader to close the session.
  if (!ending.closed && processes.life(ending.leader) == Life::alive) return true;
  return !ending.processes.empty() && processes.life(ending.processes.front().id) == Life::alive;
}

void Ender::send_next(const ProcessTable& table) {
  vacate_shared();
  switch (sent_) {
    case Sent::nothing:
      for (Ending& ending : endings_)
        if (!ending.asked && !ending.closed && !ending.shared) ask_once(ending, table);
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
      if (!may_signal(process.id, untouchable_) || (!leaders && process.id == ending.leader))
        continue;
      for (const int signal_number : signals)
        signal_process(process.id, signal_number, ending.as);
    }
  }
}

bool Ender::is_over() const {
  return std::all_of(endings_.begin(), endings_.end(), [](const Ending& e) { return e.done(); });
}

std::vector<Ended> Ender::results() const {
  std::vector<Ended> results;
  for (const Ending& ending : endings_) {
    Ended result;
    if (!ending.done()) result.result = EndResult::survived;
    if (ending.shared && !ending.closed) result.result = EndResult::ending;
    if (ending.shared)
      result.survivors.push_back(ending.leader.pid);
    else
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

bool is_ended_by_its_user(const Snapshot& session, bool terminals_tell, std::uint64_t now_ms) {
  // A mark that was never finished is not known to be root's.
  const bool by_user =
      session.mark == MarkStage::revoked_by_its_user || session.mark == MarkStage::writing;
  return by_user && session.state.stage != Stage::evicted &&
         now_ms < expiry_ms(session, terminals_tell).value_or(~std::uint64_t{0});
}

OwnSessions::OwnSessions(const ProcessTable& table)
    : table_(table),
      lineage_(table.lineage(getpid())),
      audit_session_(read_audit_session(getpid())) {}

bool OwnSessions::contains(const Session& session) const {
  if (!session.leader) return false;
  const Leftovers leftovers = leftovers_of(session.snapshot.record);
  if (leftovers.beside_leader && audit_session_ == leftovers.audit_session) return true;
  // It ends without a signal, and the caller's own may be another one of the same leader.
  if (has(session.snapshot.record.flags, RecordFlags::shared_leader)) return false;
  for (const auto& process : lineage_) {
    if (process.id == session.leader) return true;
    // An orphaned session: its leader is gone, and lives on as the sid of its processes.
    if (process.sid != session.leader->pid) continue;
    const ProcessTable::Entry* holder = table_.find(session.leader->pid);
    if (holder == nullptr || holder->id == session.leader) return true;
  }
  return false;
}

std::vector<Ended> end_sessions(Registry& registry, const Config& config,
                                const std::vector<Session>& chosen, const EndingOptions& options,
                                const std::function<void(const Error&)>& tell) {
  // The end of the caller's own terminal session must not stop it half-way.
  signal(SIGHUP, SIG_IGN);
  if (options.include_own) signal(SIGTERM, SIG_IGN);
  Ender ender(registry, config, chosen, options);
  if (const auto error = note_ended(config, ender.to_note(), EndedHow::revoked)) tell(*error);
  for (;;) {
    auto pause = ender.rest();
    if (!pause) pause = ender.step();
    if (!pause) break;
    std::this_thread::sleep_for(*pause);
  }
  return ender.results();
}

}  // namespace sessreg
