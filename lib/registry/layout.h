// What a registry file looks like. It is native-endian and belongs to one boot of one machine.
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
//           | failed authentications    |  a table of its own; see failure_store.h
//   329792  +---------------------------+
//           | slot 0                    |  384 bytes: state, stray, last activity, revoke mark,
//           | slot 1                    |  the record, the reason of a revocation
//           | …                         |
//           +---------------------------+  kSlotsOffset + slots * kSlotBytes
//
// There are more slots than the capacity promises: a quarter more, so that even in a full registry
// a free one is found after a few steps; and kHandoverSlots more, because a bind needs a second
// slot for a moment, and logins that will be refused hold a claim for a moment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "registry/capacity.h"
#include "registry/counters.h"
#include "registry/record.h"

namespace sessreg {

inline constexpr std::array<char, 8> kMagic = {'s', 'e', 's', 's', 'r', 'e', 'g', '\n'};
inline constexpr std::uint32_t kLayoutVersion = 4;
inline constexpr std::uint32_t kHeaderBytes = 2048;
inline constexpr std::uint32_t kSlotBytes = 384;

// Of HeaderImage::flags: who takes a seat shows that its container lives (presence.h).
inline constexpr std::uint32_t kShowsPresence = 1;

struct HeaderImage {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint32_t slot_bytes;
  std::uint32_t slots;     // slots_for(capacity)
  std::uint32_t capacity;  // the most sessions that may hold a seat
  std::uint32_t flags;
  std::array<std::uint8_t, 16> boot_id;
  std::uint64_t pid_namespace;   // inode of /proc/self/ns/pid of the creator
  std::uint64_t time_namespace;  // and of /proc/self/ns/time; 0 where the kernel has none
  std::int64_t created_realtime_ms;
  std::array<std::uint8_t, 16> hash_key;  // random; keys every hash of a name in this file
  std::uint64_t stamp;                    // hash over all of the above, written last
};
static_assert(sizeof(HeaderImage) == 96 && std::is_trivially_copyable_v<HeaderImage>);

static_assert(offsetof(RecordImage, victim_slot) % 8 == 4 &&
              offsetof(RecordImage, victim_generation) % 8 == 0 &&
              offsetof(RecordImage, idle_after_s) % 8 == 0 &&
              offsetof(RecordImage, kind) % 8 == 4 && offsetof(RecordImage, user_limit) % 8 == 0 &&
              offsetof(RecordImage, flags) == offsetof(RecordImage, user_limit) + 4 &&
              offsetof(RecordImage, ttl_s) == offsetof(RecordImage, idle_after_s) + 4 &&
              offsetof(RecordImage, leader_start_ticks) % 8 == 0 &&
              offsetof(RecordImage, parent_start_ticks) ==
                  offsetof(RecordImage, leader_start_ticks) + 8);

// `Atom` is std::atomic<std::uint64_t>; tests put one that calls a scheduler in its place.
template <class Atom>
struct alignas(64) Slot {
  Atom state;          // StateWord
  Atom stray;          // StrayWord of the bucket with this slot's index
  Atom last_activity;  // epoch << 32 | CLOCK_BOOTTIME in kActivityUnit_ms << 2 | ActivityBits
  Atom mark;           // epoch << 32 | reason checksum << 16 | grace in s << 2 | MarkStage
  std::array<Atom, kRecordWords> record;
  std::array<Atom, kReasonWords> reason;
};

enum ActivityBits : std::uint64_t {
  kWaking = 1,     // the NOP that makes older idle looks fail may not have happened yet
  kUseIsTold = 2,  // see UseIsTold
};

inline constexpr std::uint32_t kLongestGrace_s = 0x3fff;  // longer ones are shown as this

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
  Atom whole_key;           // keyed hash of the signing key last found whole; 0: none
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
