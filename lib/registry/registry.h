// The registry of one site: who holds a seat, exactly.
//
// Concurrency: any number of processes and threads may use the same registry at once; no function
// waits for another process, and any process may be killed or stopped inside any of them. An object
// belongs to one thread, but for what says otherwise; it must not outlive the PAM phase or command
// that opened it.
//
// Times are milliseconds of CLOCK_BOOTTIME unless their name says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "host/process.h"
#include "registry/gate.h"
#include "registry/registry_file.h"

namespace sessreg {

using SessionId = std::array<std::uint8_t, 16>;
std::string to_hex(const SessionId& id);

inline constexpr std::uint32_t kNoUid = 0xffffffff;  // the user has no passwd entry

// The process that opened the session or made the reservation, and its user.
ProcessId leader_of(const RecordImage& record);
inline std::optional<std::uint32_t> uid_of(const RecordImage& record) {
  if (record.uid == kNoUid) return std::nullopt;
  return record.uid;
}

using TokenDigest = std::array<std::uint8_t, 16>;

// Makes a session's token (token.h) when its record is complete and its slot known, before anybody
// sees it. Empty: it gets none.
using TokenMaker = std::function<std::string(const RecordImage& record, std::uint32_t slot)>;

// What a login brings with it.
struct Login {
  std::string user;  // the whole name; decides
  std::uint32_t uid = kNoUid;
  std::string service;
  std::string host;
  std::string tty;
  std::string connection;  // SSH_CONNECTION, or empty
  ProcessId self;          // the process that calls
  ProcessId parent;        // for a reservation
  // The process that the session lives as long as; unset: self. Of a reservation it is always self.
  std::optional<ProcessId> leader;
};

// Under what rules a login is admitted; policy.h works them out. Negative limits: none.
struct Terms {
  Terms() = default;
  // No other rule than the site's limit.
  Terms(ConfiguredLimit limit) : site(limit) {}  // NOLINT(google-explicit-constructor)

  ConfiguredLimit site{};
  std::int32_t reserved_seats = 0;  // the last ones, kept for those who …
  bool may_use_reserved = true;     // … as this login
  std::int32_t user_limit = -1;
  // At the user's limit its stalest session gives way once it was opened so long ago; unset: the
  // newcomer is refused.
  std::optional<std::uint64_t> evict_after_ms;
  std::vector<GroupRule> groups;
  std::uint32_t idle_after_s = 0;  // 0: never idle
  std::uint32_t ttl_s = 0;         // 0: none
  std::uint64_t lifetime_ms = 0;   // 0: none
  // The least that any login may have under this configuration; 0: nobody is ever idle.
  std::uint32_t shortest_idle_s = 0;
};

enum class Refusal {
  none,
  site_full,
  drain,
  user_full,
  locked,
  group_full,
  table_full,
  blacklisted
};
// The name used in logs and JSON: "site_full", …
const char* text(Refusal refusal);

// A session that gives way. But for the parked, which just lost their seat, it is for good: the
// caller tells it why and ends its processes (send_off.h).
struct Displaced {
  enum class Why { evicted, table_full, returned_in_vain, parked };
  Snapshot session;
  Why why;
};

struct Admission {
  Refusal refusal = Refusal::none;
  // The limit in the registry comes from another configuration than the caller's: read the file
  // again, and publish_limit() if it still says the same.
  bool stale_configuration = false;
  std::int32_t limit = -1;    // the one that refused, else the site's
  std::uint32_t count = 0;    // seats taken under it, with this one if it was admitted
  std::uint32_t group = 0;    // group_full: the index of its entry
  std::uint64_t wait_ms = 0;  // locked: for so long
  SlotRef ref;
  SessionId id{};
  std::string token;  // of a session that was opened, if it has one
  std::vector<Displaced> displaced;

  bool admitted() const { return refusal == Refusal::none && !stale_configuration; }
};

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

// Before a login is refused, the table is searched for the dead and the idle. A refusal goes
// without if the last search is younger than 10 times what it cost, and than a second (the longest
// that a death may go unseen), and nothing could go idle or run out since: so a storm of refusals
// spends at most a tenth of a processor on searching, and each of the others costs the same in a
// table of any size. A search that is cheap beside the login itself is only believed by the object
// that made it: a new login does not wait for what is just being given back.
inline constexpr std::uint64_t kSearchCostFactor = 10;
inline constexpr std::uint64_t kCheapSearch_us = 5'000;
inline constexpr std::uint64_t kDeathCheck_ms = 1'000;

// The session's end by its lifetime or its time to live, in CLOCK_BOOTTIME; nullopt: none. Where
// nobody can see whether it is used (no terminal, no token was ever shown) it has no time to live.
std::optional<std::uint64_t> expiry_ms(const Snapshot& session, bool has_terminal);

class Registry {
 public:
  // Errors as in registry_file.h; open_or_create() carries an older layout over.
  static Result<Registry> open(const std::string& path, const HostIdentity& host);
  static Result<Registry> open_or_create(const std::string& path, const HostIdentity& host,
                                         std::uint32_t capacity);

  // A child that another thread forks while this object lives gets no mapping (MADV_DONTFORK).
  void hide_from_children() { mapped_.hide_from_children(); }

  explicit Registry(MappedRegistry mapped);

  // Makes the sessions of an earlier layout its own, in a registry that nobody else knows yet.
  // Those that find no free slot are not listed.
  void adopt(const OlderRegistry& older);

  // From now on the sessions that this object opens get tokens.
  void set_token_maker(TokenMaker maker) { make_token_ = std::move(maker); }

  // --- Logging in and out ---

  // Takes a seat for a login whose session is not open yet, until bind, release, `ends_ms`, or the
  // death of its maker.
  Admission reserve(const Login& login, const Terms& terms, const Processes& processes,
                    std::uint64_t ends_ms);
  // Takes a seat for a session at once.
  Admission admit(const Login& login, const Terms& terms, const Processes& processes);
  // Turns a reservation into a session; the seat stays taken all the while. nullopt: the
  // reservation has gone; reserve and bind in one step with admit(). Refused (table_full): there is
  // no slot for the session, and the reservation stays. Of the terms, what the session is recorded
  // with.
  std::optional<Admission> bind(SlotRef reservation, const Login& login, const Terms& terms,
                                const Processes& processes);
  // A session that is listed, and neither counted nor refused. False: the table is full.
  bool list_exempt(const Login& login, Admission& ret);

  // The reservation that this login may bind: same user and service (and connection, where both
  // have one), made by the caller or by a child of the caller. ret_strays: reservations that the
  // caller itself made for other users of that service.
  std::optional<SlotRef> find_reservation(const Login& login, std::vector<SlotRef>& ret_strays);
  // Whether that is such a reservation.
  bool is_reservation_of(SlotRef ref, const Login& login) const;
  // The session (bound or exempt) of that id, if this process opened it for this user and service.
  std::optional<SlotRef> find_session(const Login& login, std::string_view id_hex);

  // Frees that occupancy, if it is still there.
  bool release(SlotRef ref);
  // Releases a reservation that was not bound; never a session. Whoever lost a seat to it has it
  // again.
  bool release_reservation(SlotRef ref);
  // What reserve() would answer, and who would give way. Takes nothing; frees what is dead.
  Admission foresee(const Login& login, const Terms& terms, const Processes& processes);
  // A parked session that is not revoked takes a seat again, under the user's limit it was admitted
  // with. `or_over_limit`: also if no limit leaves room.
  Decision return_to_seat(SlotRef ref, const Terms& terms, bool or_over_limit);

  // --- Upkeep ---

  // Failed authentications by remote host. Holds as long as this object.
  FailureTable<ProcessAtom> failures(FailureRules rules) {
    return {mapped_.failures(), mapped_.header().hash_key, rules};
  }

  // Statistics.
  void count(Counter counter) { add_to(counter, 1); }

  // Frees every seat and slot whose processes have gone or whose reservation has ended.
  Reaped reap(const Processes& processes, std::uint64_t now_ms);
  // The same of these slots alone.
  Reaped reap(std::span<const std::uint32_t> slots, const Processes& processes,
              std::uint64_t now_ms);

  // The entry of that limited group, made if there is none; nullopt: there are kMaxGroups others.
  std::optional<std::uint32_t> group_index(std::string_view name, std::int32_t limit);

  // Marks activity; false: that session has gone.
  bool touch(SlotRef ref, std::uint64_t now_ms, bool by_token = false) {
    return ref.slot < gate_.table().size() && gate_.touch(ref, now_ms, by_token);
  }
  // `grace_s`: for so long its revoker waits before it signals a second time.
  bool mark_revoked(SlotRef ref, std::string_view reason, std::uint32_t grace_s = 0);

  // What a session's record knows its token by: a keyed hash of the text.
  TokenDigest token_digest(std::string_view token) const;
  // The session in that slot, if its token has that digest; compared in constant time.
  bool session_of_token(std::uint32_t slot, const TokenDigest& digest, Snapshot& ret) const;

  // Says that the daemon `pid` is at work.
  void note_daemon(pid_t pid, std::uint64_t now_ms);
  struct Daemon {
    pid_t pid;              // 0: there was none yet
    std::uint64_t seen_ms;  // when it last said so
  };
  Daemon daemon() const;
  // Changes whenever a seat changes hands.
  std::uint64_t gate_word() const { return gate_.shared().gate.load(std::memory_order_acquire); }

  // CLOCK_BOOTTIME of a time that was taken from CLOCK_REALTIME since the last note_clock(), also
  // where that clock has been set meanwhile; 0: long ago.
  std::uint64_t boottime_of(std::int64_t realtime_ms, const Now& at) const;
  // The activity of all sessions up to now has been taken from their terminals.
  void note_clock(const Now& at);

  // The limit that the last login read from its configuration; identity 0: none yet.
  ConfiguredLimit published_limit() const { return gate_.configured(); }
  // Puts `limit` in the place of `seen`; false: somebody else has published meanwhile.
  bool publish_limit(ConfiguredLimit seen, ConfiguredLimit limit) {
    return gate_.set_configured(seen, limit);
  }
  void set_override(std::optional<std::int32_t> limit) { gate_.set_override(limit); }
  // `configured`: by the caller's file, which holds where no login has published its limit yet.
  std::int32_t limit_in_force(std::int32_t configured) const;
  std::optional<std::int32_t> override_limit() const { return gate_.override_limit(); }

  // --- Reading ---

  // Calls visit(snapshot) with each occupied slot, as of the moment it is visited: a session that
  // is bound meanwhile may be seen as its reservation, as itself, as both, or not at all.
  template <class Visit>
  void for_each(Visit visit) {
    gate_.count();  // settles, so that no seat is shown that was given up before
    Snapshot held;
    for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
      if (gate_.table().snapshot(slot, held)) visit(static_cast<const Snapshot&>(held));
  }
  // Calls visit(slot, state, marked) with each occupied slot: one cache line of each, so cheap
  // enough to be repeated. Who is new, gone or elsewhere shows in the state.
  template <class Visit>
  void glance(Visit visit) {
    gate_.count();
    for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot) {
      const StateWord state = gate_.table().state(slot);
      if (state.stage != Stage::free && state.stage != Stage::claimed)
        visit(slot, state, gate_.table().is_marked(slot));
    }
  }
  // Several threads may call these five at once: they only read.
  bool snapshot(SlotRef ref, Snapshot& ret) const;
  // Whoever is in that slot.
  bool snapshot(std::uint32_t slot, Snapshot& ret) const {
    return slot < gate_.table().size() && gate_.table().snapshot(slot, ret);
  }
  bool is_free(std::uint32_t slot) const { return gate_.table().state(slot).stage == Stage::free; }
  // By the whole name, also where the record shows it cut short.
  bool is_user_of(const RecordImage& record, std::string_view user) const;
  bool is_service_of(const RecordImage& record, std::string_view service) const;
  std::uint32_t count() { return gate_.count(); }
  std::uint32_t capacity() const { return gate_.capacity(); }
  std::uint32_t slots() const { return gate_.table().size(); }
  std::uint64_t counter(Counter counter) const;
  std::int64_t created_realtime_ms() const { return mapped_.header().created_realtime_ms; }

 private:
  // registry_internal.h
  struct Candidate;
  struct Attempt;
  struct Search;

  // registry_admission.cc
  Admission take_seat(const Login& login, RecordKind kind, const Terms& terms,
                      const Processes& processes, std::uint64_t ends_ms);
  Admission decide(Attempt& attempt);
  bool take_claim(Attempt& attempt);
  bool make_room(Attempt& attempt, Decision& decision);
  bool take_idle(Attempt& attempt, Decision& decision);
  bool foresee_idle(Attempt& attempt, const std::vector<Candidate>& eligible, std::int64_t needed,
                    Decision& decision);
  bool evict(Attempt& attempt, Decision& decision);
  bool drop_stalest_parked(Attempt& attempt);
  Admission refuse(Attempt& attempt, const Decision& decision);
  Rules rules_of(const Terms& terms, const UserHash& user) const;

  // registry_search.cc
  void search_table(Search& search);
  void search_user(Search& search, const UserHash& user);
  void examine(Search& search, std::uint32_t slot);
  void free_leaderless(Search& search);
  void look_at_terminals(Search& search);
  bool was_clock_set() const;
  void count_reaped(const Reaped& reaped);
  bool may_skip_search(std::uint32_t identity) const;
  void publish_search(const Search& search, std::uint64_t began_ms, std::uint64_t cost_us);

  bool free_slot(std::uint32_t slot, const StateWord& state);
  RecordImage make_record(const Login& login, RecordKind kind, const Terms& terms,
                          std::uint64_t ends_ms);
  SessionId new_id(const Login& login);
  Claimer claimer(const ProcessId& id) const;
  std::optional<SlotRef> claim_for(const Login& login, RecordImage& record, Admission& ret);
  UserHash user_hash(std::string_view user) const;
  std::uint64_t connection_hash(const Login& login) const;
  bool may_bind(const RecordImage& record, const Login& login) const;
  bool is_record_of(const RecordImage& record, const Login& login) const;
  void add_to(Counter counter, std::uint64_t amount);
  void note_high_water(std::uint32_t count);

  MappedRegistry mapped_;
  Gate<ProcessAtom> gate_;
  HashKey id_key_{};  // random; makes the ids of the sessions that this object opens
  std::uint64_t ids_made_ = 0;
  TokenMaker make_token_;
  SearchWord own_search_;  // the last search by this object
};

// The text of a mark, if it is whole; empty: no reason was given, or it cannot be read.
std::string reason_of(const Snapshot& session);

// A fixed-size, NUL-padded string of a record.
template <std::size_t N>
std::string_view text_of(const std::array<char, N>& field) {
  const std::string_view all(field.data(), field.size());
  return all.substr(0, all.find('\0'));
}

}  // namespace sessreg
