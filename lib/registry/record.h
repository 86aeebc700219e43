// One session as the registry records it, and as it is read: plain values.
//
// Thread safety: functions keep no state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "host/process.h"

namespace sessreg {

// The life cycle of a slot; every arrow takes the next generation.
//
//   free -> claimed -> seated <-> parked      seated -> free, parked -> free: only by the gate
//              |          '-----> evicted -> free
//              |-----> exempt -> free         listed, but never counted: needs no gate
//              '-----> free                   the login was refused, or the claimer is dead
//
// Evicted: lost its seat to another, may not come back, is listed until its processes have gone.
enum class Stage : std::uint8_t {
  free = 0,
  claimed = 1,
  seated = 2,
  parked = 3,
  evicted = 4,
  exempt = 5,
};

// A slot's state, as words.h packs it.
struct StateWord {
  Stage stage = Stage::free;
  std::uint32_t generation = 0;
  std::uint32_t claimer_pid = 0;
  std::uint32_t claimer_hash = 0;
};

inline constexpr std::uint32_t kNoSlot = 0xffffffff;

// One occupancy of one slot. `epoch` is the generation of the claim that began it, so a SlotRef
// never fits a later occupant.
struct SlotRef {
  std::uint32_t slot = kNoSlot;
  std::uint32_t epoch = 0;
  bool operator==(const SlotRef&) const = default;
};

using UserHash = std::array<std::uint8_t, 16>;
// Of a user, a service and a device key, keyed; all zeros: none.
using DeviceHash = std::array<std::uint8_t, 16>;
inline constexpr DeviceHash kNoDevice{};

enum class RecordKind : std::uint32_t { reservation = 1, session = 2, exempt = 3 };

// Bits.
enum class RecordFlags : std::uint32_t {
  none = 0,
  may_use_reserved = 1,
  shared_leader = 2,  // the leader serves others too: it is never signalled
  // Of a session: it has an audit session of its own, which parent_pid holds.
  has_audit_session = 4,
  // What it leaves running when it is closed keeps it: what has a terminal, or anything.
  counts_terminals = 8,
  counts_any = 16,
  // Of a session: it has a display, and no terminal tells what is done there.
  has_display = 32,
  // No process is its own: it ends by being closed, revoked or evicted, or by its own times, and by
  // nothing else. Its leader and parent are 0, and the start times are the words of its device key.
  no_process = 64,
  // Of an exempt one: let in by `observe`, where there was no seat.
  observed = 128,
};
constexpr RecordFlags operator|(RecordFlags a, RecordFlags b) {
  return static_cast<RecordFlags>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr RecordFlags without(RecordFlags flags, RecordFlags flag) {
  return static_cast<RecordFlags>(static_cast<std::uint32_t>(flags) &
                                  ~static_cast<std::uint32_t>(flag));
}
constexpr bool has(RecordFlags flags, RecordFlags flag) {
  return (static_cast<std::uint32_t>(flags) & static_cast<std::uint32_t>(flag)) != 0;
}

enum class VictimFate : std::uint32_t {
  freed = 0,
  parked = 1,
  evicted = 2,
  evicted_at_bind = 3,  // parked until the reservation that took its seat is bound
};

inline constexpr std::size_t kMaxGroups = 32;

// One user session, written while its slot is claimed and never again. Strings are NUL-padded and
// may be cut short: they are shown; the hashes decide. The fields that checks of limits and
// searches read come first, so that they share the cache line of the slot's own words; behind them, on
// one more line, what tells a user's devices apart (their key, and the flags).
struct RecordImage {
  std::array<std::uint8_t, 16> user_hash;
  std::uint32_t idle_after_s;  // 0: never idle
  std::uint32_t ttl_s;         // 0: none
  std::uint64_t groups;        // bit i: counts in limited group i
  // /proc/PID/stat field 22, of the two processes below; see also RecordFlags.
  std::uint64_t leader_start_ticks;
  std::uint64_t parent_start_ticks;
  std::uint32_t epoch;              // the generation of the claim this was written under
  std::uint32_t victim_slot;        // MOVE: whose seat is taken over; kNoSlot: none
  std::uint32_t victim_generation;  // MOVE: the victim's generation while seated
  VictimFate victim_fate;           // MOVE: what becomes of the victim
  std::uint32_t uid;
  RecordKind kind;
  std::int32_t user_limit;  // of its user's seats, when it was admitted; negative: none
  RecordFlags flags;
  std::uint32_t leader_pid;  // of the process that opened the session or made the reservation
  std::uint32_t parent_pid;  // of a reservation; see also RecordFlags
  std::array<std::uint8_t, 16> id;
  std::uint64_t opened_boottime_ms;
  std::int64_t opened_realtime_ms;
  std::uint64_t ends_boottime_ms;  // a reservation's time, a session's lifetime; 0: none
  std::uint64_t service_hash;
  std::uint64_t connection_hash;  // of SSH_CONNECTION; 0: none
  std::array<std::uint8_t, 16> token_digest;
  std::array<char, 40> user;
  std::array<char, 24> service;
  std::array<char, 48> host;
  std::array<char, 16> tty;
};
inline constexpr std::size_t kRecordWords = 36;
static_assert(sizeof(RecordImage) == kRecordWords * 8 && std::is_trivially_copyable_v<RecordImage>);

// Whether somebody tells when a session is used, beside its terminals: who shows its token, or the
// desktop.
enum class UseIsTold { as_before, yes, no };

// The resolution of the last activity: 30 bits of these are 6 years of uptime, and whole
// seconds are exact.
inline constexpr std::uint64_t kActivityUnit_ms = 200;

enum class MarkStage : std::uint32_t {
  none = 0,
  writing = 1,
  revoked = 2,
  revoked_by_its_user = 3,  // who ends it forces no process that this user could not
};
inline constexpr std::size_t kReasonWords = 8;
inline constexpr std::size_t kReasonBytes = kReasonWords * 8;

// A consistent copy of an occupied slot.
struct Snapshot {
  SlotRef ref;
  StateWord state;
  RecordImage record;
  std::uint64_t last_activity_ms;  // CLOCK_BOOTTIME; 0: none
  bool use_is_told;                // see UseIsTold
  MarkStage mark;
  std::uint32_t grace_s;  // as given by the revoker
  std::uint16_t reason_checksum;
  std::array<char, kReasonBytes> reason;
};

using SessionId = std::array<std::uint8_t, 16>;
std::string to_hex(const SessionId& id);

inline constexpr std::uint32_t kNoUid = 0xffffffff;  // the user has no passwd entry

inline bool has_process(const RecordImage& record) {
  return !has(record.flags, RecordFlags::no_process);
}

// The process that opened the session or made the reservation; nullopt: it has none, and nobody is
// to ask the system about it.
std::optional<ProcessId> leader_of(const RecordImage& record);

// kNoDevice: it has a process, or was opened without a key.
DeviceHash device_of(const RecordImage& record);

// What else than its leader a session is made of. Those of a leader that serves others are not its
// own.
Leftovers leftovers_of(const RecordImage& record);

// With which to look at the terminals of a session that has a process.
TerminalLook look_at(const RecordImage& record);

inline std::optional<std::uint32_t> uid_of(const RecordImage& record) {
  if (record.uid == kNoUid) return std::nullopt;
  return record.uid;
}

// The session's end by its lifetime or its time to live, in CLOCK_BOOTTIME; nullopt: none. Where
// nobody can see whether it is used (`terminals_tell`: see TerminalLook) it has no time to live; of
// one without a process everybody can.
std::optional<std::uint64_t> expiry_ms(const Snapshot& session, bool terminals_tell);

// A session without a process that was revoked or evicted is kept as a note, to tell its holder why,
// until this moment in CLOCK_BOOTTIME, or until its slot is needed.
inline constexpr std::uint64_t kNoteKept_ms = 24 * 60 * 60 * 1000;
bool is_note(const Snapshot& session);
std::uint64_t end_of_note_ms(const Snapshot& note);

// Why a session is over whose expiry_ms() has passed.
const char* reason_of_expiry(const RecordImage& record, std::uint64_t now_ms);

// The text of a mark, if it is whole; empty: no reason was given, or it cannot be read.
std::string reason_of(const Snapshot& session);
// The checksum that the mark has of it.
std::uint16_t checksum_of_reason(std::string_view reason);

// A fixed-size, NUL-padded string of a record.
template <std::size_t N>
std::string_view text_of(const std::array<char, N>& field) {
  const std::string_view all(field.data(), field.size());
  return all.substr(0, all.find('\0'));
}

}  // namespace sessreg
