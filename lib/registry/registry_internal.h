// What Registry is made of: its memory, and an admission and a search under way. Internal to
// lib/registry.
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "registry/gate.h"
#include "registry/registry.h"
#include "registry/registry_file.h"

namespace sessreg {

// Whether a record's pid and start time are that process.
inline bool is_process(const ProcessId& id, std::uint32_t pid, std::uint64_t start_ticks) {
  return static_cast<std::uint32_t>(id.pid) == pid && id.start_ticks == start_ticks;
}

// What a login is known by in one registry. Each is keyed, and takes as long as a step of the admission:
// made once.
struct LoginHashes {
  UserHash user;
  std::uint64_t service;
  DeviceHash device;  // kNoDevice: it has none
};

struct Registry::Parts {
  explicit Parts(MappedRegistry mapped_file);

  SlotTable<ProcessAtom>& table() { return gate.table(); }
  const SlotTable<ProcessAtom>& table() const { return gate.table(); }
  SharedWords<ProcessAtom>& shared() { return gate.shared(); }
  const SharedWords<ProcessAtom>& shared() const { return gate.shared(); }
  const HashKey& hash_key() const { return mapped.header().hash_key; }

  // The occupant of that slot; false: it has none.
  bool read(std::uint32_t slot, Snapshot& ret) const;
  bool free_slot(std::uint32_t slot, const StateWord& state);
  RecordImage make_record(const Login& login, const LoginHashes& hashes, RecordKind kind,
                          const Terms& terms, std::uint64_t ends_ms);
  SessionId new_id(const Login& login);
  Claimer claimer(const ProcessId& id) const;
  // In a full table notes give way, the oldest first, if they may.
  enum class IfFull { drop_notes, give_up };
  std::optional<SlotRef> claim_for(const Login& login, RecordImage& record, Admission& ret,
                                   IfFull if_full = IfFull::drop_notes,
                                   std::optional<std::uint32_t> near = std::nullopt);
  // `near`: the slot of its reservation.
  std::optional<SlotRef> claim_slot(const Login& login, const RecordImage& record,
                                    std::optional<std::uint32_t> near);
  bool drop_stalest_note();
  // Who has logged in anew by that session is told no more why an earlier one of its device has ended.
  void drop_older_notes(SlotRef session, const LoginHashes& hashes);
  // Ends the session that was found of a device, for another one of it. Harmless if it has gone.
  void end_session_of_device(const Decision& found);
  TokenDigest token_digest(std::string_view token) const;
  std::uint64_t key_hash(std::span<const std::uint8_t> key) const;  // never 0
  UserHash user_hash(std::string_view user) const;
  std::uint64_t service_hash(std::string_view service) const;
  std::uint64_t connection_hash(const Login& login) const;
  std::uint64_t group_hash(std::string_view name) const;  // never 0
  DeviceHash device_hash(const UserHash& user, std::uint64_t service,
                         std::string_view device) const;  // never kNoDevice
  LoginHashes hashes_of(const Login& login) const;
  bool may_bind(const Snapshot& held, const Login& login) const;
  bool is_record_of(const RecordImage& record, const Login& login) const;
  void add_to(Counter counter, std::uint64_t amount);
  void note_high_water(std::uint32_t count);

  // registry_search.cc
  void note_clock(const Now& at);
  bool was_clock_set() const;
  bool may_skip_search(std::uint32_t identity) const;
  void forget_search();

  MappedRegistry mapped;
  Gate<ProcessAtom> gate;
  HashKey id_key{};  // random; makes the ids of the sessions that this object opens
  std::uint64_t ids_made = 0;
  TokenMaker make_token;
  SearchWord own_search;  // the last search by this object
};

// Who gives way before whom: the least. Of a session without a terminal that never showed a token (a
// transfer, a tunnel, a mount) nobody can see whether it is used, so it may well be: it comes behind
// all others, and among its like the one that was opened first.
struct Staleness {
  bool is_unseen;
  std::uint64_t since_ms;  // last activity; unseen: when it was opened
  auto operator<=>(const Staleness&) const = default;
};

inline Staleness staleness_of(const Snapshot& session, bool terminals_tell, std::uint64_t last_ms) {
  if (terminals_tell || session.use_is_told) return {false, last_ms};
  return {true, session.record.opened_boottime_ms};
}

// A session whose seat may be wanted by another.
struct Candidate {
  Victim victim;
  SlotRef ref;
  Staleness staleness;
  std::uint64_t last_activity_ms;
  std::uint64_t opened_ms;
  std::uint64_t groups;
  std::uint64_t service;
  bool idle;
};

// A reservation: a login on its way to its session.
struct Pending {
  Victim victim;
  std::pair<std::uint32_t, UserHash> whose;  // the uid; the hash only where there is none
  std::uint64_t reserved_ms;
  std::uint64_t groups;
  bool yields;       // it took so long that it gives way to who would be refused otherwise
  bool took_a_seat;  // of another, who may have it back
};

// A login on its way to a seat: registry_admission.cc.
struct Registry::Attempt {
  Registry& registry;
  const Login& login;
  RecordKind kind;
  const Terms& terms;
  const Processes& processes;
  std::uint64_t ends_ms;
  bool dry_run = false;
  bool is_use = false;

  std::optional<LoginHashes> made_hashes{};
  Rules rules{};
  std::optional<SlotRef> claim{};
  bool has_notes = false;  // of its device, as the look that led to the seat has seen
  bool searched_table = false;
  bool claimed_early = false;
  bool searched_user = false;
  bool locked = false;
  bool other_limit_is_in_the_way = false;  // behind the first
  unsigned evictions_tried = 0;
  unsigned searched_again = 0;
  // The device has a parked session, which has to go before the login takes a seat.
  std::optional<Decision> parked_of_device{};
  // What refuses the login even when the session that it would take over has given way.
  std::optional<Decision> still_in_the_way{};
  std::vector<Candidate> idle{};       // of the whole table, stalest first
  std::vector<Candidate> own{};        // the user's sessions, stalest first
  std::vector<Pending> pending{};      // of the whole table
  std::vector<Pending> own_pending{};  // the user's
  Admission result{};

  Admission take_seat();
  Admission decide();

 private:
  Parts& parts() const { return *registry.parts_; }
  Gate<ProcessAtom>& gate() const { return parts().gate; }

  const LoginHashes& hashes();
  bool take_claim();
  void claim_early();
  bool may_evict(std::uint64_t service_hash) const;
  bool take_over(Decision& decision);
  bool replace_device(Decision& decision);
  bool find_of_device(const Decision& decision);
  bool find_note();
  bool find(const Snapshot& session);
  bool ended_parked_of_device();
  void search_table();
  void search_user();
  bool make_room(Decision& decision);
  bool take_idle(Decision& decision);
  bool foresee_idle(std::span<const Candidate> chosen, Decision& decision);
  bool evict(Decision& decision);
  bool displace_slow_login(Decision& decision);
  void gave_way(const Pending& slow);
  std::int64_t needed_for(const Decision& decision) const;
  template <class Each, class May>
  std::optional<std::size_t> find_enough(std::vector<Each>& pool, Decision why, May may_go);
  bool look_at_user_again();
  bool defers(std::size_t needed);
  bool is_anybody_parked();
  bool drop_stalest_parked();
  Admission admitted(const Decision& decision);
  Admission refuse(Decision decision);
};

// A look for the dead and the idle: registry_search.cc.
struct Registry::Search {
  Registry& registry;
  const Processes& processes;
  std::uint64_t now_ms;
  // The terms by which sessions are idle; nullptr: only the dead are looked for.
  const Terms* terms = nullptr;
  const UserHash* user = nullptr;  // only this user's sessions, idle or not
  std::vector<Candidate>* ret = nullptr;
  std::vector<Pending>* ret_pending = nullptr;

  struct Look {
    Snapshot session;
    bool parked;
  };
  struct Leaderless {
    std::uint32_t slot;
    StateWord state;
    pid_t leader;  // or kNoSid
    Leftovers leftovers;
  };
  static constexpr pid_t kNoSid = -1;
  // Each time that so many have been found, all processes of the host are read.
  static constexpr std::size_t kMostLeaderless = 4096;

  Reaped reaped{};
  bool found_dead = false;  // whether or not somebody else was quicker to free it
  bool yielding = false;    // a reservation was found that gives way
  bool clock_was_set = false;
  std::uint64_t next_change_ms = ~std::uint64_t{0};
  std::vector<Look> looks{};
  std::vector<Leaderless> leaderless{};

  void search_table();
  void search_user();
  void search_slots(std::span<const std::uint32_t> slots);

 private:
  Parts& parts() const { return *registry.parts_; }
  Gate<ProcessAtom>& gate() const { return parts().gate; }

  void examine(std::uint32_t slot);
  void examine_by_clock(const Snapshot& held);
  void consider(const Snapshot& session, bool tells_use, std::uint64_t last_ms);
  void free_leaderless();
  void look_at_terminals();
  void sort_found();
  void count_reaped();
  void publish(std::uint64_t began_ms, std::uint64_t cost_us);
};

}  // namespace sessreg
