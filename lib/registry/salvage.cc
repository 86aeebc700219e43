#include "registry/salvage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "host/process.h"
#include "registry/layout.h"
#include "registry/record.h"
#include "registry/unmapped.h"

namespace sessreg {
namespace {

constexpr std::uint32_t kMostSlots = slots_for(kMaxRegistryCapacity);

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
  const LiveAuditSessions audit_sessions = processes.live_audit_sessions();
  const std::uint64_t now_ms = boottime_ms();
  for_each_unmapped(fd.get(), kMostSlots, [&](Stage stage, const RecordImage& record) {
    if (record.kind != RecordKind::session && record.kind != RecordKind::exempt) return true;
    const auto leader = leader_of(record);
    if (leader) {
      const Life life = processes.life(*leader);
      const bool is_over =
          life == Life::reused || (life == Life::gone && !sids.contains(leader->pid));
      if (is_over && !audit_sessions.contains(leftovers_of(record))) return true;
    } else if (has_process(record) || stage == Stage::evicted ||
               (record.ends_boottime_ms != 0 && now_ms >= record.ends_boottime_ms)) {
      return true;
    }
    lost.sessions.push_back({to_hex(record.id), std::string(text_of(record.user)),
                             std::string(text_of(record.service)), leader ? leader->pid : 0});
    return true;
  });
  return lost;
}

}  // namespace sessreg
