// The registry of one site: who holds a seat, exactly.
//
// Concurrency: any number of processes and threads may use the same registry at once; no function
// waits for another process, and any process may be killed or stopped inside any of them. An object
// belongs to one thread; it must not outlive the PAM phase or command that opened it.
//
// Times are milliseconds of CLOCK_BOOTTIME unless their name says otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clock.h"
#include "gate.h"
#include "process.h"
#include "registry_file.h"
#include "result.h"

namespace sessreg {

using SessionId = std::array<std::uint8_t, 16>;
std::string to_hex(const SessionId& id);

// What a login brings with it.
struct Login {
  std::string user;  // the whole name; decides
  std::uint32_t uid = 0xffffffff;
  std::string service;
  std::string host;
  std::string tty;
  std::string connection;  // SSH_CONNECTION, or empty
  ProcessId self;          // the process that calls
  ProcessId parent;
};

enum class Refusal { none, site_full, drain, table_full };
// The name used in logs and JSON: "site_full", …
const char* text(Refusal refusal);

struct Admission {
  Refusal refusal = Refusal::none;
  // The limit in the registry comes from another configuration than the caller's: read the file
  // again, and publish_limit() if it still says the same.
  bool stale_configuration = false;
  std::int32_t limit = -1;  // in force when this was decided
  std::uint32_t count = 0;  // seats taken, with this one if it was admitted
  SlotRef ref;
  SessionId id{};

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

// Before a refusal the dead are searched for. Where that found none, and cost more than a login
// costs anyway (a large table), the next refusal goes without if that search is younger than 20
// times its cost, and than a second: in a storm of refusals at most one twentieth of a processor
// searches.
inline constexpr std::uint64_t kCheapReap_us = 5'000;
inline constexpr std::uint64_t kReapCostFactor = 20;
inline constexpr std::uint64_t kMaxReapInterval_ms = 1'000;

class Registry {
 public:
  // Errors as in registry_file.h.
  static Result<Registry> open(const std::string& path, const HostIdentity& host);
  static Result<Registry> open_or_create(const std::string& path, const HostIdentity& host,
                                         std::uint32_t capacity);

  explicit Registry(MappedRegistry mapped);

  // --- Logging in and out ---

  // Takes a seat for a login whose session is not open yet, until bind, release, `ends_ms`, or the
  // death of its maker.
  Admission reserve(const Login& login, ConfiguredLimit limit, const Processes& processes,
                    std::uint64_t ends_ms);
  // Takes a seat for a session at once.
  Admission admit(const Login& login, ConfiguredLimit limit, const Processes& processes);
  // Turns a reservation into a session; the seat stays taken all the while. nullopt: the
  // reservation has gone; reserve and bind in one step with admit(). Refused (table_full): there is
  // no slot for the session, and the reservation stays.
  std::optional<Admission> bind(SlotRef reservation, const Login& login,
                                const Processes& processes);
  // A session that is listed, and neither counted nor refused. False: the table is full.
  bool list_exempt(const Login& login, Admission& ret);

  // The reservation that this login may bind: same user and service (and connection, where both
  // have one), made by the caller or by a child of the caller. ret_strays: reservations that the
  // caller itself made for other users of that service.
  std::optional<SlotRef> find_reservation(const Login& login, std::vector<SlotRef>& ret_strays);
  bool is_reservation_of(SlotRef ref, const Login& login) const;
  // The session (bound or exempt) of that id, if this process opened it for this user and service.
  std::optional<SlotRef> find_session(const Login& login, std::string_view id_hex);

  // Frees that occupancy, if it is still there.
  bool release(SlotRef ref);
  // Releases a reservation that was not bound; never a session.
  bool release_reservation(SlotRef ref);

  // --- Upkeep ---

  // Frees every seat and slot whose processes have gone or whose reservation has ended.
  Reaped reap(const Processes& processes, std::uint64_t now_ms);

  // Marks activity; false: that session has gone.
  bool touch(SlotRef ref, std::uint64_t now_ms) {
    return ref.slot < gate_.table().size() && gate_.touch(ref, now_ms);
  }
  bool mark_revoked(SlotRef ref, std::string_view reason);

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

  // Calls `visit` with each occupied slot, as of the moment it is visited.
  void for_each(const std::function<void(const Snapshot&)>& visit);
  bool snapshot(SlotRef ref, Snapshot& ret) const;
  // By the whole name, also where the record shows it cut short.
  bool is_user_of(const RecordImage& record, std::string_view user) const;
  bool is_service_of(const RecordImage& record, std::string_view service) const;
  std::uint32_t count() { return gate_.count(); }
  std::uint32_t capacity() const { return gate_.capacity(); }
  std::uint64_t counter(Counter counter) const;
  std::int64_t created_realtime_ms() const { return mapped_.header().created_realtime_ms; }

 private:
  Admission take_seat(const Login& login, RecordKind kind, ConfiguredLimit limit,
                      const Processes& processes, std::uint64_t ends_ms);
  bool free_slot(std::uint32_t slot, const StateWord& state);
  bool may_skip_reap(std::uint64_t now_ms) const;
  RecordImage make_record(const Login& login, RecordKind kind, std::uint64_t ends_ms) const;
  Claimer claimer(const ProcessId& id) const;
  std::optional<SlotRef> claim_for(const Login& login, const RecordImage& record);
  bool is_record_of(const RecordImage& record, const Login& login) const;
  void add_to(Counter counter, std::uint64_t amount);
  void note_high_water(std::uint32_t count);

  MappedRegistry mapped_;
  Gate<ProcessAtom> gate_;
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
