#include "registry/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"
#include "base/hash.h"

namespace sessreg {
namespace {

// The number that the kernel gives the inode of its first PID namespace: PROC_PID_INIT_INO.
constexpr std::uint64_t kFirstNamespace = 0xeffffffc;

// Behind the end of any file.
constexpr off_t kBegin = off_t{1} << 61;
constexpr off_t kBytes = off_t{1} << 61;

struct flock lock_of(short type, off_t begin, off_t bytes) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = begin;
  lock.l_len = bytes;
  return lock;
}

// The calling process's own byte. By its start time too: a child may keep its dead parent's.
off_t own_byte() {
  constexpr HashKey kKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                            'p', 'r', 'e', 's', 'e', 'n', 'c', 'e'};
  const ProcessId self = self_id();
  const std::array<std::uint64_t, 2> words = {static_cast<std::uint64_t>(self.pid),
                                              self.start_ticks};
  const std::uint64_t hash =
      hash64(kKey, {reinterpret_cast<const char*>(words.data()), sizeof words});
  return kBegin + static_cast<off_t>(hash % static_cast<std::uint64_t>(kBytes));
}

Presence look_at(int fd, off_t begin, off_t bytes) {
  struct flock lock = lock_of(F_WRLCK, begin, bytes);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return Presence::some;
  if (lock.l_type == F_UNLCK) return Presence::none;
  return lock.l_type == F_WRLCK ? Presence::being_replaced : Presence::some;
}

// The same file, as a description of its own, by which nothing can be written.
Fd open_again(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return Fd(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
}

// False: somebody is replacing the file. Where it cannot be locked at all, nothing is shown.
bool lock_byte(int fd, off_t byte) {
  struct flock lock = lock_of(F_RDLCK, byte, 1);
  return fcntl(fd, F_OFD_SETLK, &lock) == 0 || errno != EAGAIN;
}

}  // namespace

bool is_container(std::uint64_t pid_namespace) {
  return pid_namespace != kFirstNamespace;
}

bool can_show_presence(int fd) {
  struct flock lock = lock_of(F_WRLCK, kBegin, kBytes);
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && open_again(fd);
}

bool show_presence(int fd) {
  const off_t own = own_byte();
  const Presence already = look_at(fd, own, 1);
  if (already != Presence::none) return already == Presence::some;
  Fd locked = open_again(fd);
  if (!locked) return true;
  if (!lock_byte(locked.get(), own)) return false;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const mapping = mmap(nullptr, page, PROT_NONE, MAP_SHARED, locked.get(), 0);
  if (mapping != MAP_FAILED) madvise(mapping, page, MADV_DONTFORK);
  locked = Fd();
  if (look_at(fd, own, 1) == Presence::some) return true;
  // overlayfs maps the file that lies beneath, and the description is gone: a descriptor keeps it.
  if (mapping != MAP_FAILED) munmap(mapping, page);
  locked = open_again(fd);
  if (!locked) return true;
  if (!lock_byte(locked.get(), own)) return false;
  // Not one of the standard ones, to which something may be written.
  fcntl(locked.get(), F_DUPFD_CLOEXEC, 3);
  return true;
}

Presence look_for_presence(int fd) {
  return look_at(fd, kBegin, kBytes);
}

Presence claim_if_deserted(int fd) {
  struct flock lock = lock_of(F_WRLCK, kBegin, kBytes);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return Presence::none;
  const Presence found = look_for_presence(fd);
  // It was unlocked in between: ask again.
  return found == Presence::none ? Presence::being_replaced : found;
}

}  // namespace sessreg
