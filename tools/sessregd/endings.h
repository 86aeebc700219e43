// Sessions that are being ended (session/ending.h), and the callers that wait for the result.
//
// Rules:
//   1. Sessions that are ended together are told the same, and each step for all of them takes one
//      look at the processes.
//   2. A caller with a shorter grace does not wait for an earlier one with a longer grace: the
//      session is ended once more, with the shorter grace, and both callers get that result. What a
//      session's user began never stands in for what root asks for; what root began does for both.
//   3. Every waiting caller is told once, and never from inside a call.
//   4. A caller that no longer waits is forgotten at once. The ending goes on.
//   5. Waiting costs the same however many processes there are: they are read when something has
//      happened, or a step is due.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "config/config.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "session/ending.h"
#include "sessregd/event_source.h"
#include "sessregd/roster.h"
#include "sessregd/site_loop.h"

namespace sessreg {

class Endings {
 public:
  // nullptr: the registry has gone in the meantime.
  using OnEnded = std::function<void(const Ended*)>;
  // Called with a session that is no longer being ended but is still known.
  using OnLeft = std::function<void(Tracked&)>;

  // All of these must outlive it.
  Endings(Registry& registry, const Config& config, Roster& roster, const SiteLoop& loop,
          OnLeft on_left)
      : registry_(registry),
        config_(config),
        roster_(roster),
        loop_(loop),
        on_left_(std::move(on_left)) {}

  // Begins with the next step, so that what is asked of it together costs one reading of /proc.
  // Returns what forget() takes.
  std::uint64_t end(const Session& session, EndingOptions options, OnEnded done);
  // That caller is not told; does nothing if it has been.
  void forget(std::uint64_t caller);
  // The same for several sessions, with nobody waiting. `table`: the processes as they are now.
  void start(const std::vector<Session>& sessions, EndingOptions options,
             const ProcessTable& table);

  // Hands over the waiting callers, and forgets the endings: there will be no results.
  std::vector<OnEnded> take_waiting();

 private:
  struct Waiting {
    std::uint64_t caller;
    SlotRef ref;
    OnEnded done;
  };
  // Sessions that are ended together.
  struct Running {
    std::unique_ptr<Ender> ender;  // none yet: for these sessions, in this way
    std::vector<Session> sessions;
    EndingOptions options;
    std::vector<SlotRef> refs;                           // in the order of its results
    std::chrono::steady_clock::time_point signals_from;  // the end of the grace
    bool is_by_its_user = false;
    std::vector<Waiting> waiting;
  };

  void add(const std::vector<Session>& sessions, EndingOptions options,
           std::vector<Waiting> waiting);
  void begin(Running& running, const ProcessTable& table);
  void step();
  void step_soon();
  void step_at(std::chrono::steady_clock::time_point time);
  void finish(Running& running, std::vector<std::pair<OnEnded, Ended>>& ret_told);
  Running* running_for(const SlotRef& ref);

  Registry& registry_;
  const Config& config_;
  Roster& roster_;
  const SiteLoop& loop_;
  const OnLeft on_left_;
  std::list<Running> running_;  // the latest first: of one session, the one to wait for
  std::uint64_t callers_ = 0;
  EventSource step_;
  std::chrono::steady_clock::time_point next_step_{};    // while there is one
  std::chrono::steady_clock::time_point rests_until_{};  // after a step that took long
};

}  // namespace sessreg
