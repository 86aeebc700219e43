#include "registry/salvage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "base/fd.h"
#include "host/process.h"
#include "registry/layout.h"
#include "registry/record.h"
#include "registry/words.h"

namespace sessreg {
namespace {

// After state, stray, activity and mark.
constexpr std::size_t kRecordOffset = 4 * sizeof(std::uint64_t);
static_assert(offsetof(Slot<std::atomic<std::uint64_t>>, record) == kRecordOffset);

constexpr std::uint32_t kMostSlots = slots_for(kMaxRegistryCapacity);

// The stage lies in the lowest bits whatever the number of slots; see words.h.
Stage stage_of(std::uint64_t state) {
  return static_cast<Stage>(state & ((1u << kStageBits) - 1));
}

}  // namespace

LostRecords read_lost_records(const std::string& path) {
  LostRecords lost;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  struct stat st {};
  HeaderImage header{};
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return lost;
  if (pread(fd.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      header.magic != kMagic || header.version != kLayoutVersion)
    return lost;
  lost.readable = true;
  lost.complete =
      header.slots <= kMostSlots && static_cast<std::uint64_t>(st.st_size) >=
                                        kSlotsOffset + std::uint64_t{header.slots} * kSlotBytes;

  const SystemProcesses processes;
  const LiveSids sids = processes.live_sids();
  std::array<char, kSlotBytes> slot;
  for (std::uint32_t i = 0; i < kMostSlots; ++i) {
    const auto offset = static_cast<off_t>(kSlotsOffset + std::uint64_t{i} * kSlotBytes);
    if (pread(fd.get(), slot.data(), slot.size(), offset) != static_cast<ssize_t>(slot.size()))
      break;
    std::uint64_t state = 0;
    memcpy(&state, slot.data(), sizeof state);
    if (stage_of(state) == Stage::free || stage_of(state) == Stage::claimed) continue;
    RecordImage record{};
    memcpy(&record, slot.data() + kRecordOffset, sizeof record);
    if (record.kind != RecordKind::session && record.kind != RecordKind::exempt) continue;
    const auto leader = static_cast<pid_t>(record.leader_pid);
    const Life life = processes.life({leader, record.leader_start_ticks});
    if (life == Life::reused || (life == Life::gone && !sids.contains(leader))) continue;
    lost.sessions.push_back({to_hex(record.id), std::string(text_of(record.user)),
                             std::string(text_of(record.service)), leader});
  }
  return lost;
}

}  // namespace sessreg
