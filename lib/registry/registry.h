// The registry of one site: who holds a seat, exactly.
//
// Concurrency: any number of processes and threads may use the same registry at once; no function
// waits for another process, and any process may be killed or stopped inside any of them. An object
// belongs to one thread, except where a function says otherwise; it must not outlive the PAM phase
// or command that opened it.
//
// Times are milliseconds of CLOCK_BOOTTIME unless their name says otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "host/process.h"
#include "registry/admission.h"
#include "registry/counters.h"
#include "registry/decision.h"
#include "registry/failures.h"
#include "registry/record.h"
#include "registry/terms.h"

namespace sessreg {

struct GroupLimit;  // config/policy.h
struct OlderRegistry;

using TokenDigest = std::array<std::uint8_t, 16>;

// Makes a session's token (token.h) when its record is complete and its slot known, before anybody
// sees it. Empty: it gets none.
using TokenMaker = std::function<std::string(const RecordImage& record, std::uint32_t slot)>;

struct Reaped {
  unsigned sessions = 0;      // their processes had gone
  unsigned reservations = 0;  // never bound: out of time, or their maker had died
  unsigned claims = 0;        // of processes that died inside a login
  bool any() const { return sessions + reservations + claims > 0; }
};

// How long after it was made a reservation whose maker has died may still be bound by the maker's
// parent: sshd's keyboard-interactive account phase runs in a child that exits at once, and opens
// the session in the parent 2 to 27 ms later.
inline constexpr std::uint64_t kMakerDeathGrace_ms = 10'000;

// How long a login may take from its account phase to its session before its seat may go to another
// login that would be refused otherwise. sshd runs the account phase behind keyboard-interactive
// also where it asks for a key after that, and who has only the password must not hold seats that
// others want. A program that has the key takes much less.
inline constexpr std::uint64_t kReservationYields_ms = 3'000;

// A daemon that has said nothing for so long is not at work: it is never busy so long.
inline constexpr std::uint64_t kDaemonSilence_ms = 10'000;

// Before a login is refused, the table is searched for the dead and the idle. A refusal goes
// without a search if the last one is younger than 10 times what it cost and than a second (the
// longest that a death may go unseen), and nothing can have gone idle or run out since. So a storm
// of refusals spends at most a tenth of a processor on searching, and every other refusal costs the
// same in a table of any size. A search that is cheap compared to the login itself is only believed
// by the object that made it, so that a new login sees a seat that is given back just then.
inline constexpr std::uint64_t kSearchCostFactor = 10;
inline constexpr std::uint64_t kCheapSearch_us = 5'000;
inline constexpr std::uint64_t kDeathCheck_ms = 1'000;
// Who reserves after a search has not to give way before that search is believed no more.
static_assert(kReservationYields_ms > kDeathCheck_ms);

class Registry {
 public:
  // Errors: not_found, permission_denied, insecure_file, foreign_file, other_layout, older_layout,
  // truncated, corrupt, other_boot, other_pid_namespace, system.
  static Result<Registry> open(const std::string& path, const HostIdentity& host);
  // A missing file, or one that is left over from an earlier boot or container, is made anew for
  // `capacity` seats; the sessions of an older layout are carried over. Further errors: no_space, unsupported_fs.
  static Result<Registry> open_or_create(const std::string& path, const HostIdentity& host,
                                         std::uint32_t capacity);
  // As open_or_create(), but a file that is itself unusable is moved aside, to *ret_aside. Empty:
  // the file there was usable and stayed, or there was none.
  static Result<Registry> rebuild(const std::string& path, const HostIdentity& host,
                                  std::uint32_t capacity, std::string* ret_aside);

  Registry(Registry&& other) noexcept;
  Registry& operator=(Registry&& other) noexcept;
  ~Registry();

  // For a process that lives long and opens no sessions: shows those of other containers that this
  // one, to which the registry belongs, lives.
  static void show_presence_at(const std::string& path, const HostIdentity& host);
  // It was made just now, in place of one that a container has left behind.
  bool is_successor() const;

  // A child that another thread forks while this object lives gets no mapping (MADV_DONTFORK).
  void hide_from_children();

  // From now on the sessions that this object opens get tokens.
  void set_token_maker(TokenMaker maker);

  // --- Logging in and out ---

  // Takes a seat for a login whose session is not open yet, until bind, release, `ends_ms`, or the
  // death of its maker; after kReservationYields_ms it gives way to a login that would be refused
  // otherwise: of who has most reservations, by uid, the oldest. Ends no session; what it takes
  // from others they can have back (or `deferred`).
  Admission reserve(const Login& login, const Terms& terms, const Processes& processes,
                    std::uint64_t ends_ms);
  // Takes a seat for a session at once. A session of the same device hands its seat to it, whatever
  // the limits of site and user; a parked one goes. `login.take_over` is evicted.
  Admission admit(const Login& login, const Terms& terms, const Processes& processes);
  // Finds the session of that device (`found`), or a note that tells why there is none, or admits one.
  // The caller touches what was found, which may have no seat, be revoked or gone by then.
  Admission use(const Login& login, const Terms& terms, const Processes& processes);
  // Turns a reservation into a session; the seat stays taken all the while. nullopt: the
  // reservation has gone; reserve and bind in one step with admit(). Refused (table_full): there
  // is no slot for the session, and the reservation stays. Only those terms are used that are
  // recorded with the session.
  std::optional<Admission> bind(SlotRef reservation, const Login& login, const Terms& terms,
                                const Processes& processes);
  // A session that is listed, and neither counted nor refused; it takes the place of one of the same
  // device. False: the table is full. Of the terms only the times count, of a session without a
  // process.
  bool list_exempt(const Login& login, Admission& ret, const Terms& terms = {});

  // The reservation that this login may bind: same user and service (and connection, where both
  // have one), made by the caller or by a child of the caller, or inherited. ret_strays:
  // reservations that the caller itself made for other users of that service.
  std::optional<SlotRef> find_reservation(const Login& login, std::vector<SlotRef>& ret_strays);
  // Whether that is such a reservation.
  bool is_reservation_of(SlotRef ref, const Login& login) const;
  // The session (bound or exempt) of that id, if this process opened it for this user and service.
  std::optional<SlotRef> find_session(const Login& login, std::string_view id_hex);

  // The session of the login's device.
  std::optional<SlotRef> find_device(const Login& login);

  // Calls visit(snapshot) with each session, and note, that the user has by devices.
  template <class Visit>
  void for_each_device(std::string_view user, Visit visit) {
    for (const std::uint32_t slot : slots_of_devices(user)) {
      Snapshot held;
      if (snapshot(slot, held)) visit(static_cast<const Snapshot&>(held));
    }
  }

  // Frees that occupancy, if it is still there.
  bool release(SlotRef ref);
  // Releases a reservation that was not bound; never a session. Whoever lost a seat
  // to it gets it back.
  bool release_reservation(SlotRef ref);
  // What reserve() would answer, and who would give way. Takes nothing; frees what is dead.
  Admission foresee(const Login& login, const Terms& terms, const Processes& processes);
  // A parked session that is not revoked takes a seat again, under the user's limit it was admitted
  // with. `or_over_limit`: even if a limit leaves no room.
  Decision return_to_seat(SlotRef ref, const Terms& terms, bool or_over_limit);
  // Whether that session's return, refused so, would find room if the logins that are under way came
  // to nothing. True of one instant only if gate_word() is still what it was before the return.
  bool waits_for_logins(const Snapshot& parked, const Decision& refused, const Terms& terms);

  // --- Upkeep ---

  // Failed authentications by remote host. Valid as long as this object. `service`: those of that
  // service alone, which count for no other; empty: of all others together.
  Failures failures(FailureRules rules, std::string_view service = {});

  // Statistics.
  void count(Counter counter);

  // Frees every seat and slot whose processes have gone or whose reservation has ended.
  Reaped reap(const Processes& processes, std::uint64_t now_ms);
  // The same of these slots alone.
  Reaped reap(std::span<const std::uint32_t> slots, const Processes& processes,
              std::uint64_t now_ms);

  // The entry of that limited group, made if there is none; nullopt: there are kMaxGroups others.
  std::optional<std::uint32_t> group_index(std::string_view name, std::int32_t limit);
  // Notes these limits, and that no other group has one: of an edited file, which logins would note
  // one by one. False: there are not as many entries, and nothing is noted.
  bool note_group_limits(std::span<const GroupLimit> limits);
  // The same as group_index(), if there is one.
  std::optional<std::uint32_t> find_group(std::string_view name) const;
  // How many entries there would be if each of these groups had one.
  std::size_t group_entries_with(std::span<const std::string_view> names) const;

  // Marks activity, and whether somebody will go on telling of it; false: that session has gone.
  bool touch(SlotRef ref, std::uint64_t now_ms, UseIsTold told = UseIsTold::as_before);
  // `grace_s`: how long its revoker waits before it signals a second time. `how`: by whom, see
  // MarkStage; a mark by its user gives way to one by others, which leaves the reason.
  bool mark_revoked(SlotRef ref, std::string_view reason, std::uint32_t grace_s = 0,
                    MarkStage how = MarkStage::revoked);
  // A session that is marked, and whose processes are not to be waited for, gives up its seat for
  // good; it stays listed until it is released, and becomes a note if it has no process. False: it has
  // gone.
  bool vacate(SlotRef ref);

  // What a session's record knows its token by: a keyed hash of the text.
  TokenDigest token_digest(std::string_view token) const;
  // The session in that slot, if its token has that digest; compared in constant time.
  bool session_of_token(std::uint32_t slot, const TokenDigest& digest, Snapshot& ret) const;

  // Whether these are the bytes of the key that note_whole_key() was last told of. A keyed hash of 64
  // bits is kept, where only those can read it who can read the key.
  bool is_whole_key(std::span<const std::uint8_t> key) const;
  void note_whole_key(std::span<const std::uint8_t> key);

  // Says that the daemon `pid` is at work: for kDaemonSilence_ms.
  void note_daemon(pid_t pid, std::uint64_t now_ms);
  struct Daemon {
    pid_t pid;              // 0: there was none yet
    std::uint64_t seen_ms;  // when it last said so
  };
  Daemon daemon() const;
  // Changes whenever a seat changes hands.
  std::uint64_t gate_word() const;

  // The CLOCK_BOOTTIME of a time taken from CLOCK_REALTIME since the last note_clock(), even if
  // that clock has been set meanwhile; 0: long ago.
  std::uint64_t boottime_of(std::int64_t realtime_ms, const Now& at) const;
  // Notes that the activity of all sessions up to now has been taken from their terminals.
  void note_clock(const Now& at);

  // The limit that the last login read from its configuration; identity 0: none yet.
  ConfiguredLimit published_limit() const;
  // Puts `limit` in the place of `seen`; false: somebody else has published meanwhile.
  bool publish_limit(ConfiguredLimit seen, ConfiguredLimit limit);
  void set_override(std::optional<std::int32_t> limit);
  // `configured`: the limit in the caller's file, which holds until a login has published its own.
  std::int32_t limit_in_force(std::int32_t configured) const;
  std::optional<std::int32_t> override_limit() const;

  // --- Reading ---

  // Calls visit(snapshot) with each occupied slot, as of the moment it is visited: a session that
  // is bound meanwhile may be seen as its reservation, as itself, as both, or not at all.
  template <class Visit>
  void for_each(Visit visit) {
    count();  // settles, so that no seat is shown that was given up before
    Snapshot held;
    for (std::uint32_t slot = 0; find_snapshot(slot, held); ++slot)
      visit(static_cast<const Snapshot&>(held));
  }
  // Calls visit(slot, state, marked) with each occupied slot. Reads one cache line of each, so it
  // is cheap enough to be repeated. The state shows who is new, gone or elsewhere.
  template <class Visit>
  void glance(Visit visit) {
    count();
    Glance seen;
    for (std::uint32_t slot = 0; find_glance(slot, seen); ++slot)
      visit(slot, seen.state, seen.is_marked);
  }
  // Several threads may call these five at once: they only read.
  bool snapshot(SlotRef ref, Snapshot& ret) const;
  // Whoever is in that slot.
  bool snapshot(std::uint32_t slot, Snapshot& ret) const;
  bool is_free(std::uint32_t slot) const;
  // By the whole name, even where the record shows it cut short.
  bool is_user_of(const RecordImage& record, std::string_view user) const;
  bool is_service_of(const RecordImage& record, std::string_view service) const;
  bool is_device_of(const RecordImage& record, std::string_view device) const;
  std::uint32_t count();
  std::uint32_t capacity() const;
  std::uint32_t slots() const;
  std::uint64_t counter(Counter counter) const;
  std::int64_t created_realtime_ms() const;

 private:
  // registry_internal.h
  struct Parts;
  struct Attempt;
  struct Search;

  struct Glance {
    StateWord state;
    bool is_marked;
  };

  explicit Registry(std::unique_ptr<Parts> parts);

  // Takes over the sessions of an earlier layout, into a registry that nobody else knows yet. Those
  // that find no free slot are not listed.
  void adopt(const OlderRegistry& older);

  // The first occupied slot at or after `slot`; false: there is none.
  bool find_snapshot(std::uint32_t& slot, Snapshot& ret) const;
  bool find_glance(std::uint32_t& slot, Glance& ret) const;
  std::vector<std::uint32_t> slots_of_devices(std::string_view user);

  std::unique_ptr<Parts> parts_;
};

}  // namespace sessreg
