// One site as the daemon looks after it: its configuration, its registry's file, and the parts that
// work on that file.
//
//   roster           who is there
//   leaders          who has gone: at once
//   time_outs        whose time is up: at every tick
//   terminal_rounds  what was typed on terminals: less often
//   desktops         whether who works there is idle: less often
//   endings          who is being ended, and who waits for it
//
// The registry needs none of this: limits hold, and the dead are found, without a daemon. It only
// makes sure that the same functions are called promptly.
//
// Rules:
//   1. The parts live as long as the registry's file is the one that was opened, and safe to read.
//      If there is another, all sessions count as closed, and new parts look after the new file.
//   2. If a configuration cannot be read, that is logged, and the old one stays in force.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/site.h"
#include "host/process.h"
#include "session/activity.h"
#include "session/change.h"
#include "session/sessions.h"
#include "sessregd/applications.h"
#include "sessregd/desktops.h"
#include "sessregd/endings.h"
#include "sessregd/leaders.h"
#include "sessregd/log.h"
#include "sessregd/logind.h"
#include "sessregd/rights.h"
#include "sessregd/roster.h"
#include "sessregd/site_loop.h"
#include "sessregd/terminal_rounds.h"
#include "sessregd/time_outs.h"
#include "token/known_keys.h"

namespace sessreg {

class WatchedSite {
 public:
  using OnChange = std::function<void(Change, const Session&)>;

  // Throws Failure if the configuration cannot be used. `logind` must outlive it.
  WatchedSite(sd_event* loop, Logind& logind, GlobalOptions global, OnChange on_change, Log log);
  WatchedSite(const WatchedSite&) = delete;
  WatchedSite& operator=(const WatchedSite&) = delete;

  const std::string& name() const { return site_.config.site; }
  const std::string& config_path() const { return global_.conf; }
  Site& site() { return site_; }

  // Reads the configuration again.
  enum class Say { nothing, fault };
  void reload(Say say = Say::fault);
  // The same if the file has changed since this was called last; costs a look at the file otherwise.
  void refresh();
  // The site under the configuration that refresh() has just found in the file, with its registry open;
  // nullptr: that is not certain, or there is none.
  Site* current();
  // What that peer may do here, by the configuration as it is known.
  Rights rights_of(const varlink::Peer& peer) const;
  // Called every kTick.
  void tick();
  static constexpr std::chrono::milliseconds kTick{200};

  // Finds the session by the token's whole text; for a token that this site may have issued.
  Marked mark(std::string_view token, std::uint64_t now_ms);
  // The same if the index does not know the token: the token itself says where its session is.
  Marked mark_at(std::uint32_t slot, std::string_view token, std::uint64_t now_ms);
  // With which its tokens are verified; valid until the next call of this.
  Result<std::span<const PublicKey>> public_keys();
  // The session of that token, in any state.
  std::optional<Session> session_of_token(std::uint32_t slot, std::string_view token);

  // Up to `most` sessions that `want` accepts, from `most_slots` slots beginning at `slot`, which
  // is moved past them; kNoSlot: there are no more.
  std::vector<Session> sessions(std::uint32_t& slot, std::size_t most, std::uint32_t most_slots,
                                const std::function<bool(const RecordImage&)>& want);
  std::optional<Session> find(std::string_view id);
  // nullopt: it has gone, or is over.
  std::optional<Session> session_at(SlotRef ref);
  // `most` of the sessions that a user has by devices: at a cost that does not depend on other users'.
  std::vector<Session> devices_of(const std::string& user, std::size_t most);
  // Whether a token of that session, issued then and known to nobody, was lost with the registry it was
  // issued under, so that its user may log in again without more.
  bool is_lost(const SessionId& id, std::int64_t issued_s);

  // Ends that session; see endings.h. Returns what forget() takes: for a caller that has gone.
  std::uint64_t end(const Session& session, EndingOptions options, Endings::OnEnded done);
  void forget(std::uint64_t caller);
  void log(int priority, const std::string& line) const { loop_.log(priority, line); }
  // Gives up its seat, and notes its end. For the service that opened the session and closes it.
  bool release(const Session& session);

  // What shows whether the registry's file is still the one that was opened, and may still be used.
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
  struct Parts {
    explicit Parts(WatchedSite& site);
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;

    Roster roster;
    Leaders leaders;
    Endings endings;
    TimeOuts time_outs;
    TerminalRounds terminal_rounds;
    Desktops desktops;
  };

  // False: there is none.
  bool open_registry();
  void say_why_not_served(const Error& error);
  void close_registry();
  void scan();
  void noticed(Change change, Tracked& tracked, const Snapshot& held);
  std::optional<Session> session_of(const Snapshot& held, StateReader& states);

  const GlobalOptions global_;
  const OnChange on_change_;
  Site site_;
  const SiteLoop loop_;
  Logind& logind_;
  const SystemProcesses processes_;
  KnownKeys known_keys_;
  Applications applications_;
  struct FileVersion {
    dev_t device = 0;
    ino_t inode = 0;
    off_t bytes = 0;
    time_t written_s = 0;
    long written_ns = 0;
    time_t changed_s = 0;
    long changed_ns = 0;
    bool operator==(const FileVersion&) const = default;
  };
  FileVersion configuration_seen_;   // by refresh()
  bool is_final_ = false;            // it was read so late that it cannot have changed unseen
  bool is_usable_ = true;            // the file, when it was read last
  FileState file_;                   // of the registry that is open, or could not be opened
  std::uint32_t identity_seen_ = 0;  // of a configuration that logins use and we tried to read
  std::optional<std::string> why_not_served_;  // so that it is logged only once
  std::optional<Parts> parts_;                 // while the registry is open
};

}  // namespace sessreg
