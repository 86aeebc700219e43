// Ending sessions: they are told why, asked in the way their service understands, then forced.
//
//   mark      the registry shows the session as ending, with the reason
//   tell      a line on its terminals
//   ask       the first signal of its service; most close the session at once. If a terminal was
//             told, 0.1 s later: sshd passes on what is written to it, but not once it was asked
//   `grace`   later SIGHUP and SIGTERM to what is left of the processes seen at the start and of
//             their descendants, 2 s later SIGKILL, 1 s later also to the leader: a leader that
//             dies before its children leaves them running, and closes nothing
//
// Rules:
//   1. A signal goes only to a process that belonged to the session: by pidfd,
//      with the start time compared.
//   2. Never to pid 1, the caller, or (unless the caller asked for that) one of its ancestors.
//   3. A leader that has closed the session is left alone.
//   4. A leader that is not this session's alone (have_shared_leaders) is left alone, and all that
//      descends from it. The session gives up its seat at once, and its service learns of the end
//      when it asks. This is looked at anew before each step.
//      A session without a process has nobody to signal: its seat is free at once, it is kept as a
//      note (Registry::vacate), and that is its end.
//   5. Where its user ends it, not root, the leader is asked in the way its service understands;
//      every other signal goes only to processes that this user could signal without us.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "session/ended.h"
#include "session/sessions.h"

namespace sessreg {

// --- Its steps, which a login that evicts takes too (send_off.h) ---

// How long a terminal needs to show what it was told: sshd's child must pass it on to the
// client before it is asked to end.
inline constexpr std::chrono::milliseconds kTimeToBeShown{100};

// Writes message_revoked and the reason to the terminals of a session's
// processes. True: it has at least one.
bool tell(Registry& registry, const Config& config, const RecordImage& session,
          const std::vector<ProcessTable::Entry>& processes, std::string_view reason,
          std::chrono::milliseconds grace);

// Sends the first signal to a session's processes, except those in `untouchable`. What an orphaned
// session left behind gets SIGHUP and SIGTERM: no leader closes it, and nohup(1) ignores SIGHUP.
// `as`: see rule 5.
void ask(const ProcessId& leader, std::string_view service,
         const std::vector<ProcessTable::Entry>& processes, const ProcessTable& table,
         const std::set<pid_t>& untouchable, std::optional<uid_t> as = std::nullopt);

// For each of these sessions, whether its leader is also that of others: it is the service's own
// process (RecordFlags::shared_leader) or the host's first one, or it leads another session.
struct Led {
  SlotRef ref;
  ProcessId leader;
  RecordFlags flags;
};
std::vector<bool> have_shared_leaders(Registry& registry, const std::vector<Led>& sessions);

// --- The whole of it ---

enum class EndResult {
  ended,     // no process left, and the seat is free
  ending,    // its leader is not its alone: marked, without a seat, and nothing was signalled
  survived,  // processes are left all the same
};
const char* text(EndResult result);

struct Ended {
  EndResult result = EndResult::ended;
  std::vector<pid_t> survivors;
};

struct EndingOptions {
  std::string reason;
  std::chrono::milliseconds grace{10'000};
  bool include_own = false;
  bool tell = true;             // false: its user knows already
  bool is_by_its_user = false;  // rule 5
};

// Whether a session that is to go was revoked by its user, and nothing else ends it: who goes on
// with that sets is_by_its_user.
bool is_ended_by_its_user(const Snapshot& session, bool terminals_tell, std::uint64_t now_ms);

// Tells the sessions that the calling process itself runs in: an ancestor, or its terminal session,
// is their leader. Several threads may ask it at once; `table` must outlive it.
class OwnSessions {
 public:
  explicit OwnSessions(const ProcessTable& table);
  bool contains(const Session& session) const;

 private:
  const ProcessTable& table_;
  const std::vector<ProcessTable::Entry> lineage_;
  const std::optional<std::uint32_t> audit_session_;
};

// Ends several sessions at once. Never waits, so it fits into a loop that has other work too.
// The registry must outlive it.
class Ender {
 public:
  // Marks, tells, and asks those that have no terminal. `table`: the processes as they are now.
  Ender(Registry& registry, const Config& config, const std::vector<Session>& chosen,
        EndingOptions options, const ProcessTable& table = ProcessTable::read());

  // Looks how far they have got, and sends what is due. Returns in how long to call it
  // again; nullopt: all is over.
  std::optional<std::chrono::milliseconds> step(const ProcessTable& table = ProcessTable::read());

  // In how long to ask again, if a step would find nothing new: nothing is due, and of each session
  // there still is what there was. Looks at one process a session, so it costs the same however
  // many the host has. nullopt: call step().
  std::optional<std::chrono::milliseconds> rest();

  // Nothing is left to be done.
  bool is_over() const;

  // In the order of `chosen`.
  std::vector<Ended> results() const;

  // What the caller is to note, so that a reboot does not bring it back.
  const std::vector<EndedSession>& to_note() const { return to_note_; }

 private:
  using Clock = std::chrono::steady_clock;

  // What was sent last.
  enum class Sent { nothing, first, hangup_and_term, kill_members, kill_all };

  // One session.
  struct Ending {
    SlotRef ref;
    ProcessId leader;
    std::string service;
    std::vector<ProcessTable::Entry> processes;  // seen so far and alive; the leader among them
    bool closed = false;                         // its slot is free, or another session's
    bool shared = false;                         // see rule 4
    bool asked = false;
    bool asked_leftovers = false;  // which its leader's end has left
    Leftovers leftovers{};
    RecordFlags flags = RecordFlags::none;
    std::optional<uid_t> as;  // see rule 5
    bool done() const { return shared || (closed && processes.empty()); }
  };

  bool end_reservation(const Session& session, Ending& ret);
  void vacate_shared();
  void ask_once(Ending& ending, const ProcessTable& table);
  void look(Ending& ending, const ProcessTable& table);
  bool is_as_before(const Ending& ending) const;
  std::chrono::milliseconds pause(std::chrono::milliseconds left);
  void send_next(const ProcessTable& table);
  void signal_all(std::initializer_list<int> signals, bool leaders);

  Registry& registry_;
  EndingOptions options_;
  std::vector<Ending> endings_;
  std::set<pid_t> untouchable_;
  std::vector<EndedSession> to_note_;
  Sent sent_ = Sent::nothing;
  Clock::time_point due_;                // of what is sent next
  std::chrono::milliseconds pause_{10};  // most end within some milliseconds of the first signal
};

// The same, but notes what is to be noted, and waits for the end. The process ignores SIGHUP from then
// on. `tell`: why something could not be noted.
std::vector<Ended> end_sessions(Registry& registry, const Config& config,
                                const std::vector<Session>& chosen, const EndingOptions& options,
                                const std::function<void(const Error&)>& tell);

}  // namespace sessreg
