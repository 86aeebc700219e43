// The registry's file: opened distrustfully, created whole or not at all.
//
// Rules this file keeps:
//   1. The directory and the file MUST belong to root or to the caller; nobody else may be able to
//      write to either. Symbolic links to the file are refused; so is a second hard link.
//   2. Sizes and offsets MUST be checked against the file's real size before anything is mapped,
//      and are never read from the mapping again.
//   3. A file MUST be complete before it has a name (O_TMPFILE, posix_fallocate, then linkat), so
//      a creator that is killed leaves nothing behind, and a full tmpfs is an error and not SIGBUS.
//   4. A file that must go is moved aside or replaced by name, never written over: somebody
//      may have it mapped.
//   5. No descriptor or mapping may outlive the object: login services fork without exec. (In a
//      container one does: presence.h.)
//
// Thread safety: functions keep no state. A MappedRegistry is as a unique_ptr.
#pragma once

#include <atomic>
#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "host/process.h"
#include "registry/failure_store.h"
#include "registry/layout.h"
#include "registry/older_layout.h"

namespace sessreg {

using ProcessAtom = std::atomic<std::uint64_t>;
static_assert(ProcessAtom::is_always_lock_free && sizeof(ProcessAtom) == 8);
static_assert(sizeof(SharedWords<ProcessAtom>) <= kHeaderBytes - kSharedOffset);
static_assert(sizeof(Slot<ProcessAtom>) == kSlotBytes);
// As drawn in layout.h.
static_assert(kSharedOffset + offsetof(SharedWords<ProcessAtom>, counters) == 448 &&
              kSharedOffset + offsetof(SharedWords<ProcessAtom>, daemon_seen_ms) == 640 &&
              kSharedOffset + offsetof(SharedWords<ProcessAtom>, groups) == 704);
static_assert(kFailuresOffset + sizeof(FailureWords<ProcessAtom>) == kSlotsOffset &&
              kSlotsOffset % alignof(Slot<ProcessAtom>) == 0);

class MappedRegistry {
 public:
  MappedRegistry(boost::interprocess::mapped_region region, const HeaderImage& header)
      : region_(std::move(region)), header_(header) {}

  // For a process with threads that fork meanwhile. A child that uses the object after the fork is
  // killed by SIGSEGV, so not for an object that children are to share.
  void hide_from_children();

  // It was made in place of one whose container has ended.
  bool is_successor() const { return is_successor_; }
  void note_successor() { is_successor_ = true; }

  const HeaderImage& header() const { return header_; }  // a private copy
  SharedWords<ProcessAtom>& shared() {
    return *reinterpret_cast<SharedWords<ProcessAtom>*>(base() + kSharedOffset);
  }
  FailureWords<ProcessAtom>& failures() {
    return *reinterpret_cast<FailureWords<ProcessAtom>*>(base() + kFailuresOffset);
  }
  std::span<Slot<ProcessAtom>> slots() {
    return {reinterpret_cast<Slot<ProcessAtom>*>(base() + kSlotsOffset), header_.slots};
  }

 private:
  char* base() { return static_cast<char*>(region_.get_address()); }

  boost::interprocess::mapped_region region_;
  HeaderImage header_;
  bool is_successor_ = false;
};

// Errors: not_found, permission_denied, insecure_file, foreign_file, other_layout, older_layout,
// truncated, corrupt, other_boot, other_pid_namespace, system.
Result<MappedRegistry> open_registry_file(const std::string& path, const HostIdentity& host);

// As above, but a missing file is created for `capacity` seats, with its directory (0755) if only
// that is missing, and a file of an earlier boot, or of a container of which no process is left, is
// replaced. In a container the caller shows its presence from then on. Further errors: no_space,
// unsupported_fs.
Result<MappedRegistry> open_or_create_registry_file(const std::string& path,
                                                    const HostIdentity& host,
                                                    std::uint32_t capacity);

// For a process that lives long and takes no seat: in a container it shows its presence (presence.h).
void show_presence_at(const std::string& path, const HostIdentity& host);

// Replaces a registry of an earlier layout (older_layout) by one of this layout, once `fill` has
// put into it what the older one held. No error if somebody else has done so meanwhile. What a
// process of the earlier version changes in the older file after it was read, and before it is
// replaced, is lost.
using FillRegistry = std::function<void(const OlderRegistry& older, MappedRegistry made)>;
std::optional<Error> replace_older_registry_file(const std::string& path, const HostIdentity& host,
                                                 std::uint32_t capacity, const FillRegistry& fill);

// As above, but a file that is itself unusable (any error above that is about the file) is moved
// aside as well, to *ret_aside. Empty: the file there was usable and stayed, or there was none.
Result<MappedRegistry> rebuild_registry_file(const std::string& path, const HostIdentity& host,
                                             std::uint32_t capacity, std::string* ret_aside);

}  // namespace sessreg
