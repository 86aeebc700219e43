#include "registry/this_boot.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>

#include "base/clock.h"
#include "registry/older_layout.h"
#include "registry/unmapped.h"

namespace sessreg {
namespace {

using Shared = SharedWords<std::atomic<std::uint64_t>>;

std::optional<std::uint64_t> shared_word(int fd, std::size_t offset) {
  std::uint64_t word = 0;
  const auto place = static_cast<off_t>(kSharedOffset + offset);
  if (pread(fd, &word, sizeof word, place) != static_cast<ssize_t>(sizeof word))
    return std::nullopt;
  return word;
}

// Such a file was made since the kernel started.
bool is_in_memory(int fd) {
  struct statfs fs {};
  return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

// The wall clock stands to the time since the boot as it did for who used the registry last. Two
// boots that agree in this have begun within kClockStep_ms.
bool does_clock_agree(std::uint64_t recorded) {
  if (recorded == 0) return false;  // never noted
  const auto offset_ms = static_cast<std::int64_t>(recorded);
  // However long it takes to read both clocks.
  const std::uint64_t before_ms = boottime_ms();
  const std::int64_t most_ms = clock_offset_ms({before_ms, now().realtime_ms});
  const std::int64_t least_ms = most_ms - static_cast<std::int64_t>(boottime_ms() - before_ms);
  return offset_ms >= least_ms - kClockStep_ms && offset_ms <= most_ms + kClockStep_ms;
}

// Only a start time that is known and equal shows anything. Not the caller itself: after a boot the
// first login may well have the pid and the start time of the boot before.
bool is_maker_alive(const RecordImage& record) {
  const auto leader = leader_of(record);
  return leader && leader->start_ticks != 0 && leader->pid != getpid() &&
         record.opened_boottime_ms <= boottime_ms() &&
         SystemProcesses().start_ticks_if_alive(leader->pid) == leader->start_ticks;
}

bool is_any_maker_alive(int fd, const HeaderImage& header) {
  if (header.version == kLayoutVersion)
    return !for_each_unmapped(
        fd, header.slots, [](Stage, const RecordImage& record) { return !is_maker_alive(record); });
  const auto older = read_older_registry(fd, header, "");
  return older && std::any_of(older->sessions.begin(), older->sessions.end(),
                              [](const CarriedSession& s) { return is_maker_alive(s.record); });
}

}  // namespace

bool is_of_this_boot(int fd, const HeaderImage& header, const HostIdentity& host) {
  if (header.boot_id == host.boot_id) return true;
  // 0: a kernel without time namespaces.
  const bool has_our_clock = header.time_namespace == host.time_namespace ||
                             header.time_namespace == 0 || host.time_namespace == 0;
  const bool has_words = header.version == kLayoutVersion;
  if (has_our_clock && has_words) {
    const auto seen_ms = shared_word(fd, offsetof(Shared, daemon_seen_ms));
    if (seen_ms && *seen_ms > boottime_ms()) return false;  // that time is still to come
  }
  if (is_in_memory(fd)) return true;
  // Nothing that it says of times means anything here.
  if (!has_our_clock) return true;
  if (has_words) {
    const auto offset_ms = shared_word(fd, offsetof(Shared, clock_offset_ms));
    if (offset_ms && does_clock_agree(*offset_ms)) return true;
  }
  return header.pid_namespace == host.pid_namespace && is_any_maker_alive(fd, header);
}

}  // namespace sessreg
