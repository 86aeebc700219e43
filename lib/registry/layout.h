// What a registry file looks like. The file is native-endian and belongs to one boot of one
// machine.
//
//   0       +---------------------------+
//           | HeaderImage               |  constant after creation; read with pread and checked
//           |                           |  before anything is mapped
//   256     +---------------------------+
//           | gate line                 |  the gate, alone on its cache line
//   320     +---------------------------+
//           | limits line               |  NOP generation, configured limit, override
//   384     +---------------------------+
//           | search line               |  until when a refusal needs no new search of the table
//   448     +---------------------------+
//           | counters                  |  statistics; nothing is decided by them
//   640     +---------------------------+
//           | daemon line               |  which process helps, and when it last said so
//   704     +---------------------------+
//           | limited groups            |  32 of: hash of the name, seats its members hold, limit
//   2048    +---------------------------+
//           | failed authentications    |  a table of its own; see failure_table.h
//   329792  +---------------------------+
//           | slot 0                    |  384 bytes: state, stray, last activity, revoke mark,
//           | slot 1                    |  the record, the reason of a revocation
//           | …                         |
//           +---------------------------+  kSlotsOffset + slots * kSlotBytes
//
// There are more slots than the capacity promises: a quarter more, so that a free one is found
// after a few steps in a full registry, and kHandoverSlots, for a bind needs a second slot for a
// moment, and logins that will be refused hold a claim for a moment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sessreg {

inline constexpr std::array<char, 8> kMagic = {'s', 'e', 's', 's', 'r', 'e', 'g', '\n'};
inline constexpr std::uint32_t kLayoutVersion = 3;
inline constexpr std::uint32_t kHeaderBytes = 2048;
inline constexpr std::uint32_t kSlotBytes = 384;

// 2^20 keeps a generation at 19 bits or more; see words.h.
inline constexpr std::uint32_t kMaxRegistryCapacity = 1u << 20;

// More than any host has processes at once inside the microseconds between claim and gate.
inline constexpr std::uint32_t kHandoverSlots = 1024;

constexpr std::uint32_t slots_for(std::uint32_t capacity) {
  return capacity + capacity / 4 + kHandoverSlots;
}

struct HeaderImage {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint32_t slot_bytes;
  std::uint32_t slots;     // slots_for(capacity)
  std::uint32_t capacity;  // the most sessions that may hold a seat
  std::uint32_t reserved;
  std::array<std::uint8_t, 16> boot_id;
  std::uint64_t pid_namespace;   // inode of /proc/self/ns/pid of the creator
  std::uint64_t time_namespace;  // and of /proc/self/ns/time; 0 where the kernel has none
  std::int64_t created_realtime_ms;
  std::array<std::uint8_t, 16> hash_key;  // random; keys every hash of a name in this file
  std::uint64_t stamp;                    // hash over all of the above, written last
};
static_assert(sizeof(HeaderImage) == 96 && std::is_trivially_copyable_v<HeaderImage>);

enum class RecordKind : std::uint32_t { reservation = 1, session = 2, exempt = 3 };

enum class RecordFlags : std::uint32_t { none = 0, may_use_reserved = 1 };

enum class VictimFate : std::uint32_t {
  freed = 0,
  parked = 1,
  evicted = 2,
  evicted_at_bind = 3,  // parked until the reservation that took its seat is bound
};

inline constexpr std::uint32_t kNoSlot = 0xffffffff;
inline constexpr std::size_t kMaxGroups = 32;

// One user session, written while its slot is claimed and never again. Strings are NUL-padded and
// may be cut short: they are shown; the hashes decide. What looks at limits and searches read comes
// first: it shares the cache line of the slot's own words.
struct RecordImage {
  std::array<std::uint8_t, 16> user_hash;
  std::uint32_t idle_after_s;  // 0: never idle
  std::uint32_t ttl_s;         // 0: none
  std::uint64_t groups;        // bit i: counts in limited group i
  std::array<std::uint8_t, 16> id;
  std::uint32_t epoch;              // the generation of the claim this was written under
  std::uint32_t victim_slot;        // MOVE: whose seat is taken over; kNoSlot: none
  std::uint32_t victim_generation;  // MOVE: the victim's generation while seated
  VictimFate victim_fate;           // MOVE: what becomes of the victim
  std::uint32_t uid;
  RecordKind kind;
  std::int32_t user_limit;  // of the seats of its user, when it was admitted; negative: none
  RecordFlags flags;
  std::uint32_t leader_pid;  // of the process that opened the session or made the reservation
  std::uint32_t parent_pid;
  std::uint64_t leader_start_ticks;  // /proc/PID/stat field 22
  std::uint64_t parent_start_ticks;
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
static_assert(offsetof(RecordImage, victim_slot) % 8 == 4 &&
              offsetof(RecordImage, victim_generation) % 8 == 0 &&
              offsetof(RecordImage, idle_after_s) % 8 == 0 &&
              offsetof(RecordImage, kind) % 8 == 4 && offsetof(RecordImage, user_limit) % 8 == 0 &&
              offsetof(RecordImage, id) == 32);

inline constexpr std::size_t kReasonWords = 8;
inline constexpr std::size_t kReasonBytes = kReasonWords * 8;

// `Atom` is std::atomic<std::uint64_t>; tests put one that calls a scheduler in its place.
template <class Atom>
struct alignas(64) Slot {
  Atom state;          // StateWord
  Atom stray;          // StrayWord, of the bucket that this slot's index is
  Atom last_activity;  // epoch << 32 | CLOCK_BOOTTIME in kActivityUnit_ms << 2 | ActivityBits
  Atom mark;           // epoch << 32 | reason checksum << 16 | grace in s << 2 | MarkStage
  std::array<Atom, kRecordWords> record;
  std::array<Atom, kReasonWords> reason;
};

// 30 bits of them are 6 years of uptime; whole seconds are told exactly.
inline constexpr std::uint64_t kActivityUnit_ms = 200;

enum ActivityBits : std::uint64_t {
  kWaking = 1,      // the NOP that makes older idle looks fail may not have happened yet
  kTokenShown = 2,  // the session's token was shown at least once
};

enum class MarkStage : std::uint32_t { none = 0, writing = 1, revoked = 2 };
inline constexpr std::uint32_t kLongestGrace_s = 0x3fff;  // longer ones are told as that

enum Counter : std::size_t {
  kAdmissions,
  kRefusedSiteFull,
  kRefusedDrain,
  kRefusedTableFull,
  kRefusedUserFull,
  kRefusedLocked,
  kRefusedGroupFull,
  kRefusedBlacklisted,
  kReapedSessions,
  kReapedReservations,
  kReapedClaims,
  kHighWater,
  kParked,       // idle sessions whose seat was wanted
  kReturned,     // parked sessions that took a seat again
  kEvicted,      // sessions that gave way to a newer one of their user
  kFailedAuths,  // failed authentications counted
  kCounters
};
inline constexpr std::size_t kCounterWords = 24;  // with room for more
static_assert(kCounters <= kCounterWords);

template <class Atom>
struct GroupEntry {
  Atom name_hash;  // 0: unused; set once
  Atom seats;      // GateWord: the count, and the gate operation that last changed it
  Atom limit;      // kLimitSet | limit, as the last login found it; 0: none
};

template <class Atom>
struct SharedWords {
  alignas(64) Atom gate;    // GateWord
  alignas(64) Atom nop;     // generation of the pseudo-slot
  Atom configured;          // configuration identity << 32 | limit (two's complement)
  Atom override_limit;      // kLimitSet | limit; 0: none
  alignas(64) Atom search;  // SearchWord
  Atom clock_offset_ms;     // CLOCK_REALTIME - CLOCK_BOOTTIME at the last look at terminals
  alignas(64) std::array<Atom, kCounterWords> counters;
  alignas(64) Atom daemon_seen_ms;  // CLOCK_BOOTTIME
  Atom daemon_pid;
  alignas(64) std::array<GroupEntry<Atom>, kMaxGroups> groups;
};

inline constexpr std::uint64_t kLimitSet = std::uint64_t{1} << 32;
inline constexpr std::size_t kSharedOffset = 256;
inline constexpr std::size_t kFailuresOffset = kHeaderBytes;
inline constexpr std::size_t kSlotsOffset = 329792;

}  // namespace sessreg
