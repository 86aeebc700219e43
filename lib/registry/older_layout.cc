#include "registry/older_layout.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace sessreg {
namespace {

// Version 2: slots begin right after a header of 2048 bytes, and there are 1024 more than seats.
constexpr std::uint32_t kVersion2 = 2;
constexpr std::uint32_t kHeaderBytes2 = 2048;
constexpr std::uint32_t kSlotBytes2 = 384;
constexpr std::uint32_t kMoreSlots2 = 1024;
constexpr off_t kOverride2 = 336;
constexpr std::uint64_t kActivityUnit2_ms = 100;

struct Record2 {
  std::array<std::uint8_t, 16> id;
  std::array<std::uint8_t, 16> user_hash;
  std::uint32_t uid;
  RecordKind kind;
  std::uint32_t leader_pid;
  std::uint32_t parent_pid;
  std::uint64_t leader_start_ticks;
  std::uint64_t parent_start_ticks;
  std::uint64_t opened_boottime_ms;
  std::int64_t opened_realtime_ms;
  std::uint64_t ends_boottime_ms;  // of reservations
  std::uint64_t service_hash;
  std::uint64_t connection_hash;
  std::uint32_t epoch;
  std::uint32_t victim_slot;
  std::uint32_t victim_generation;
  std::uint32_t victim_fate;
  std::uint64_t groups;  // of none: no configuration had limited groups
  std::uint32_t idle_after_s;
  std::uint32_t ttl_s;
  std::array<char, 40> user;
  std::array<char, 32> service;
  std::array<char, 56> host;
  std::array<char, 24> tty;
};

struct Slot2 {
  std::uint64_t state;  // the stage in its lowest bits
  std::uint64_t stray;
  std::uint64_t last_activity;  // epoch << 32 | CLOCK_BOOTTIME in kActivityUnit2_ms
  std::uint64_t mark;           // epoch << 32 | checksum of the reason << 16 | MarkStage
  Record2 record;
  std::array<char, 64> reason;
};
static_assert(sizeof(Record2) == 288 && sizeof(Slot2) == kSlotBytes2);

// What no longer fits is cut; it is only shown.
template <std::size_t N, std::size_t M>
void copy_cut(const std::array<char, M>& from, std::array<char, N>& to) {
  std::copy_n(from.begin(), std::min(N, M), to.begin());
}

std::optional<CarriedSession> carried(const Slot2& slot) {
  const auto stage = static_cast<Stage>(slot.state & ((1u << kStageBits) - 1));
  const Record2& old = slot.record;
  const bool is_listed = stage == Stage::seated || stage == Stage::parked ||
                         stage == Stage::evicted || stage == Stage::exempt;
  const bool is_session = old.kind == RecordKind::session || old.kind == RecordKind::exempt;
  if (!is_listed || !is_session || (stage == Stage::exempt) != (old.kind == RecordKind::exempt))
    return std::nullopt;

  CarriedSession session{};
  RecordImage& record = session.record;
  record.user_hash = old.user_hash;
  record.idle_after_s = old.idle_after_s;
  record.ttl_s = old.ttl_s;
  record.id = old.id;
  record.victim_slot = kNoSlot;
  record.uid = old.uid;
  record.kind = old.kind;
  record.user_limit = -1;
  record.leader_pid = old.leader_pid;
  record.parent_pid = old.parent_pid;
  record.leader_start_ticks = old.leader_start_ticks;
  record.parent_start_ticks = old.parent_start_ticks;
  record.opened_boottime_ms = old.opened_boottime_ms;
  record.opened_realtime_ms = old.opened_realtime_ms;
  record.service_hash = old.service_hash;
  record.connection_hash = old.connection_hash;
  copy_cut(old.user, record.user);
  copy_cut(old.service, record.service);
  copy_cut(old.host, record.host);
  copy_cut(old.tty, record.tty);

  session.stage = stage;
  session.last_activity_ms = old.opened_boottime_ms;
  if (slot.last_activity >> 32 == old.epoch)
    session.last_activity_ms =
        std::max(session.last_activity_ms, (slot.last_activity & 0xffffffff) * kActivityUnit2_ms);
  session.is_revoked =
      slot.mark >> 32 == old.epoch && static_cast<MarkStage>(slot.mark & 3) == MarkStage::revoked;
  if (session.is_revoked)
    session.reason.assign(slot.reason.data(), strnlen(slot.reason.data(), slot.reason.size()));
  return session;
}

// Version 3: as it is now. A reader of it takes pid 0, which is what a session without a process has,
// for a process that never ends.
constexpr std::uint32_t kVersion3 = 3;
static_assert(kLayoutVersion == 4 && sizeof(RecordImage) == 288 && kSlotsOffset == 329792,
              "version 3 needs a reader of its own by now");

struct Slot3 {
  std::uint64_t state;
  std::uint64_t stray;
  std::uint64_t last_activity;
  std::uint64_t mark;
  RecordImage record;
  std::array<char, kReasonBytes> reason;
};
static_assert(sizeof(Slot3) == kSlotBytes);

std::optional<CarriedSession> carried(const Slot3& slot) {
  const auto stage = static_cast<Stage>(slot.state & ((1u << kStageBits) - 1));
  const RecordKind kind = slot.record.kind;
  const bool is_listed = stage == Stage::seated || stage == Stage::parked ||
                         stage == Stage::evicted || stage == Stage::exempt;
  const bool is_session = kind == RecordKind::session || kind == RecordKind::exempt;
  if (!is_listed || !is_session || (stage == Stage::exempt) != (kind == RecordKind::exempt))
    return std::nullopt;

  CarriedSession session{};
  session.record = slot.record;
  session.record.victim_slot = kNoSlot;
  session.record.victim_generation = 0;
  session.record.victim_fate = VictimFate::freed;
  session.stage = stage;
  session.last_activity_ms = slot.record.opened_boottime_ms;
  if (slot.last_activity >> 32 == slot.record.epoch) {
    session.last_activity_ms = std::max(
        session.last_activity_ms, ((slot.last_activity & 0xffffffff) >> 2) * kActivityUnit_ms);
    session.use_is_told = (slot.last_activity & kUseIsTold) != 0;
  }
  if (slot.mark >> 32 == slot.record.epoch) {
    session.revoked_by = static_cast<MarkStage>(slot.mark & 3);
    session.grace_s = static_cast<std::uint32_t>(slot.mark & 0xffff) >> 2;
  }
  session.is_revoked = session.revoked_by >= MarkStage::revoked;
  if (session.is_revoked)
    session.reason.assign(slot.reason.data(), strnlen(slot.reason.data(), slot.reason.size()));
  return session;
}

// One that was replaced while it was read is another session, and read again.
template <class AnySlot>
bool read_slot(int fd, off_t offset, AnySlot& ret) {
  constexpr int kTurns = 8;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::uint64_t state_after = 0;
    if (pread(fd, &ret, sizeof ret, offset) != static_cast<ssize_t>(sizeof ret) ||
        pread(fd, &state_after, sizeof state_after, offset) !=
            static_cast<ssize_t>(sizeof state_after))
      return false;
    if (state_after == ret.state) return true;
  }
  ret.state = 0;  // it comes and goes: a login under way
  return true;
}

Result<OlderRegistry> read_version_2(int fd, const HeaderImage& header, const std::string& path) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return system_error(errno, "cannot look at the registry " + path);
  if (header.header_bytes != kHeaderBytes2 || header.slot_bytes != kSlotBytes2 ||
      header.capacity == 0 || header.capacity > kMaxRegistryCapacity ||
      header.slots != header.capacity + kMoreSlots2 ||
      static_cast<std::uint64_t>(st.st_size) !=
          kHeaderBytes2 + std::uint64_t{header.slots} * kSlotBytes2)
    return Error{Errc::corrupt, path + " is damaged (its header)"};

  OlderRegistry older{header, std::nullopt, {}, {}};
  std::uint64_t limit = 0;
  if (pread(fd, &limit, sizeof limit, kOverride2) != static_cast<ssize_t>(sizeof limit))
    return Error{Errc::truncated, path + " is cut short"};
  if ((limit & kLimitSet) != 0) older.override_limit = static_cast<std::int32_t>(limit);
  Slot2 slot;
  for (std::uint32_t i = 0; i < header.slots; ++i) {
    if (!read_slot(fd, static_cast<off_t>(kHeaderBytes2 + std::uint64_t{i} * kSlotBytes2), slot))
      return Error{Errc::truncated, path + " is cut short"};
    if (auto session = carried(slot)) older.sessions.push_back(std::move(*session));
  }
  return older;
}

Result<OlderRegistry> read_version_3(int fd, const HeaderImage& header, const std::string& path) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return system_error(errno, "cannot look at the registry " + path);
  if (header.header_bytes != kHeaderBytes || header.slot_bytes != kSlotBytes ||
      header.capacity == 0 || header.capacity > kMaxRegistryCapacity ||
      header.slots != slots_for(header.capacity) ||
      static_cast<std::uint64_t>(st.st_size) !=
          kSlotsOffset + std::uint64_t{header.slots} * kSlotBytes)
    return Error{Errc::corrupt, path + " is damaged (its header)"};

  using Shared = SharedWords<std::uint64_t>;
  OlderRegistry older{header, std::nullopt, {}, {}};
  Shared shared{};
  if (pread(fd, &shared, sizeof shared, kSharedOffset) != static_cast<ssize_t>(sizeof shared))
    return Error{Errc::truncated, path + " is cut short"};
  if ((shared.override_limit & kLimitSet) != 0)
    older.override_limit = static_cast<std::int32_t>(shared.override_limit);
  for (const auto& group : shared.groups) {
    if (group.name_hash == 0) break;
    older.groups.push_back({group.name_hash, (group.limit & kLimitSet) == 0
                                                 ? -1
                                                 : static_cast<std::int32_t>(group.limit)});
  }
  Slot3 slot;
  for (std::uint32_t i = 0; i < header.slots; ++i) {
    if (!read_slot(fd, static_cast<off_t>(kSlotsOffset + std::uint64_t{i} * kSlotBytes), slot))
      return Error{Errc::truncated, path + " is cut short"};
    if (auto session = carried(slot)) older.sessions.push_back(std::move(*session));
  }
  return older;
}

}  // namespace

bool is_older_layout(std::uint32_t version) {
  return version == kVersion2 || version == kVersion3;
}

Result<OlderRegistry> read_older_registry(int fd, const HeaderImage& header,
                                          const std::string& path) {
  return header.version == kVersion2 ? read_version_2(fd, header, path)
                                     : read_version_3(fd, header, path);
}

}  // namespace sessreg
