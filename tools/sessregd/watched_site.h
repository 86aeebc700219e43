// One site as the daemon looks after it: who is there, who has gone, whose time is up.
//
// The registry needs none of this: limits hold, and the dead are found, without a daemon. It makes
// the same functions be called promptly.
//
//   at once      a session whose leader dies is looked at (by pidfd), and freed if it is over
//   every tick   new and gone sessions are noticed, if a seat changed hands; time-outs
//   more seldom  terminals are looked at, so that typing counts as activity
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "common/session.h"
#include "common/site.h"
#include "host/process_table.h"
#include "session/activity.h"
#include "session/change.h"
#include "session/ending.h"
#include "sessregd/event_source.h"

namespace sessreg {

class WatchedSite {
 public:
  using OnChange = std::function<void(Change, const Session&)>;
  using Log = std::function<void(int priority, const std::string& line)>;

  // Throws Failure if the configuration cannot be used.
  WatchedSite(sd_event* loop, GlobalOptions global, OnChange on_change, Log log);

  const std::string& name() const { return site_.config.site; }
  OpenSite& site() { return site_; }

  // Reads the configuration again; a bad one is logged, and the old one stays.
  void reload();
  // Called every kTick.
  void tick();
  static constexpr std::chrono::milliseconds kTick{200};

  // By the token's whole text, for one that this site may have issued.
  Marked mark(std::string_view token, std::uint64_t now_ms);
  // The same where the index does not know it and the token says where its session is.
  Marked mark_at(std::uint32_t slot, std::string_view token, std::uint64_t now_ms);
  // The session of that token, in any state.
  std::optional<Session> session_of_token(std::uint32_t slot, std::string_view token);

  // Up to `most` sessions that `want` takes, of `most_slots` slots from `slot` on, which is moved
  // behind them; kNoSlot: there are no more.
  std::vector<Session> sessions(std::uint32_t& slot, std::size_t most, std::uint32_t most_slots,
                                const std::function<bool(const RecordImage&)>& want);
  std::optional<Session> find(std::string_view id);

  // Ends that session; `done` is called when it is over, never from inside. nullptr: the registry
  // has gone meanwhile. Who is less patient than an earlier caller is not kept waiting by it, and
  // both are told the same.
  using OnEnded = std::function<void(const Ended*)>;
  void end(const Session& session, EndingOptions options, OnEnded done);
  // Gives its seat up. For who opened it and closes it.
  bool release(const Session& session);

  // What tells that the registry's file is still the one that was opened, and may still be used.
  struct FileState {
    dev_t device = 0;
    ino_t inode = 0;
    off_t bytes = 0;
    mode_t mode = 0;
    uid_t owner = 0;
    nlink_t links = 0;
    bool operator==(const FileState&) const = default;
  };

 private:
  struct DigestHash {
    std::size_t operator()(const TokenDigest& digest) const;
  };
  struct Tracked {
    SlotRef ref;
    StateWord state{};
    RecordImage record{};
    bool marked = false;  // as the glance told; it may be about an earlier session there
    bool is_to_go = false;
    bool has_terminal = false;  // when it was last looked at
    bool is_being_ended = false;
    std::uint64_t check_ms = 0;  // when to look whether its time is up; CLOCK_BOOTTIME
    std::uint64_t scan = 0;      // that saw it last
    std::optional<ProcessWatch> leader;
  };
  // Sessions that are ended together.
  struct Running {
    std::unique_ptr<Ender> ender;
    std::vector<SlotRef> refs;                           // in the order of its results
    std::chrono::steady_clock::time_point signals_from;  // the end of the grace
    std::vector<std::pair<SlotRef, OnEnded>> waiting;
  };
  // Those whose time is up at the same moment, by what they are told and how patiently.
  using Overdue =
      std::map<std::tuple<std::string, std::chrono::milliseconds, bool>, std::vector<Session>>;

  void open_registry();
  void forget_all();
  void scan();
  void notice(std::uint32_t slot, const StateWord& state, bool marked);
  void forget(std::uint32_t slot);
  void watch_some_leaders();
  bool is_tracked(const SlotRef& ref) const;
  void on_leader_gone(SlotRef ref);
  void look_at_the_leaderless();
  void look_at_times(std::uint64_t now_ms);
  void check_time(Tracked& tracked, const ProcessTable& table, std::uint64_t now_ms, Overdue& ret);
  void look_at_some_terminals(std::uint64_t now_ms);
  void look_anew();
  void start(const std::vector<Session>& sessions, EndingOptions options,
             const ProcessTable& table);
  void step();
  void finish(Running& running, std::vector<std::pair<OnEnded, Ended>>& ret_told);
  Running* running_for(const SlotRef& ref);
  EventSource after(std::chrono::microseconds time, void (WatchedSite::*callback)());
  std::function<void()> guarded(std::function<void()> callback);
  std::optional<Session> session_of(const Snapshot& held, StateReader& states);
  void tell(Change change, const Tracked& tracked, const Snapshot& held);

  sd_event* loop_;
  GlobalOptions global_;
  OnChange on_change_;
  Log log_;
  OpenSite site_;
  SystemProcesses processes_;
  std::unordered_map<std::uint32_t, Tracked> tracked_;  // by slot
  std::unordered_map<TokenDigest, std::uint32_t, DigestHash> slot_of_digest_;
  std::unordered_map<SessionId, std::uint32_t, DigestHash> slot_of_id_;
  std::uint64_t scans_ = 0;
  std::uint64_t gate_seen_ = 0;
  std::uint64_t next_scan_ms_ = 0;       // where a seat has changed hands
  std::uint64_t next_full_scan_ms_ = 0;  // in any case
  std::uint64_t next_check_ms_ = 0;      // when a time is up
  std::uint64_t checks_rest_ms_ = 0;     // not before
  std::uint64_t next_orphans_ms_ = 0;
  FileState file_;                   // of the registry that is mapped
  std::uint32_t identity_seen_ = 0;  // of a configuration that logins use and we tried to read
  std::string last_error_;           // said once
  std::vector<SlotRef> unwatched_;   // their leaders are to be watched
  std::vector<SlotRef> leaderless_;  // their leaders have gone, or cannot be watched
  bool said_unwatchable_ = false;
  EventSource look_soon_;
  EventSource watch_soon_;
  std::list<Running> running_;
  EventSource step_;

  // A round over all terminals, some at a time.
  std::vector<std::uint32_t> round_;
  Now round_began_{};
  std::uint64_t round_cost_us_ = 0;
  std::uint64_t next_round_ms_ = 0;
};

}  // namespace sessreg
