#include "registry/registry_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "registry/older_layout.h"
#include "registry/presence.h"
#include "registry/this_boot.h"

namespace sessreg {
namespace {

namespace ipc = boost::interprocess;

// What mapped_region wants of a mappable object.
class DescriptorMapping {
 public:
  explicit DescriptorMapping(int fd) : fd_(fd) {}
  ipc::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }  // not System V's

 private:
  int fd_;
};

constexpr const char* kRebuild = ": run '" SESSREG_TOOL_NAME " purge --rebuild'";

struct Location {
  std::string directory;
  std::string name;
};

Location split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// Not a secret: the stamp tells damage and foreign layouts, not forgery (only root can write here).
std::uint64_t stamp_of(const HeaderImage& header) {
  constexpr HashKey kStampKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                 'h', 'e', 'a', 'd', 'e', 'r', ' ', '1'};
  return hash64(kStampKey, std::string_view(reinterpret_cast<const char*>(&header),
                                            offsetof(HeaderImage, stamp)));
}

std::uint64_t file_bytes(std::uint32_t slots) {
  return std::uint64_t{kSlotsOffset} + std::uint64_t{slots} * kSlotBytes;
}

// A root process believes only root; others also believe themselves.
bool is_trusted_owner(uid_t uid) {
  return uid == 0 || uid == geteuid();
}

// Returns an error number. Allocates piece by piece, as kernels give up a whole call at any signal:
// a host process with a timer would never come to the end of a large file.
int allocate(const Fd& fd, std::uint64_t bytes) {
  constexpr std::uint64_t kPiece_bytes = 1 << 20;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t piece = std::min(kPiece_bytes, bytes - done);
    const int error =
        posix_fallocate(fd.get(), static_cast<off_t>(done), static_cast<off_t>(piece));
    if (error == 0) done += piece;
    if (error != 0 && error != EINTR) return error;
  }
  return 0;
}

Result<Fd> open_directory(const Location& at, bool create) {
  bool made = false;
  if (create) {
    made = mkdir(at.directory.c_str(), 0755) == 0;
    if (!made && errno != EEXIST)
      return system_error(errno, "cannot make the directory " + at.directory);
  }
  Fd dir(open(at.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    if (errno == ENOENT) return Error{Errc::not_found, "there is no directory " + at.directory};
    return system_error(errno, "cannot open the directory " + at.directory);
  }
  // Whatever the umask of the login service was.
  if (made && fchmod(dir.get(), 0755) != 0)
    return system_error(errno, "cannot set the mode of " + at.directory);
  struct stat st {};
  if (fstat(dir.get(), &st) != 0)
    return system_error(errno, "cannot look at the directory " + at.directory);
  if (!is_trusted_owner(st.st_uid) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return Error{
        Errc::insecure_file,
        at.directory +
            " may be written by others: put the registry in a directory that only root can "
            "write, such as /run/sessreg"};
  return dir;
}

Result<MappedRegistry> map_descriptor(const Fd& fd, const HeaderImage& header,
                                      const std::string& path) {
  try {
    return MappedRegistry(ipc::mapped_region(DescriptorMapping(fd.get()), ipc::read_write, 0,
                                             static_cast<std::size_t>(file_bytes(header.slots))),
                          header);
  } catch (const ipc::interprocess_exception& e) {
    return system_error(e.get_native_error(), "cannot map " + path);
  }
}

bool shows_presence(const HeaderImage& header) {
  return (header.flags & kShowsPresence) != 0;
}

// Whether it is of a container of which no process is left.
bool is_deserted(const Fd& fd, const HeaderImage& header, const HostIdentity& host) {
  return header.pid_namespace != host.pid_namespace && shows_presence(header) &&
         look_for_presence(fd.get()) != Presence::some;
}

// The file and its header, of this layout or (with the error older_layout) an earlier one that is
// known. ret_inode tells which file an error is about.
std::optional<Error> open_in(const Fd& dir, const std::string& path, const std::string& name,
                             const HostIdentity& host, ino_t* ret_inode, Fd& ret_fd,
                             HeaderImage& header) {
  struct stat st {};
  if (fstatat(dir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) *ret_inode = st.st_ino;
  // O_NONBLOCK: a FIFO planted here must not hang sshd.
  Fd& fd = ret_fd;
  fd = Fd(openat(dir.get(), name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return Error{Errc::not_found, "there is no registry " + path};
    if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
      return Error{Errc::insecure_file, path + " is not a regular file" + kRebuild};
    return system_error(errno, "cannot open the registry " + path);
  }
  if (fstat(fd.get(), &st) != 0) return system_error(errno, "cannot look at the registry " + path);
  *ret_inode = st.st_ino;
  if (!S_ISREG(st.st_mode))
    return Error{Errc::insecure_file, path + " is not a regular file" + kRebuild};
  if (!is_trusted_owner(st.st_uid) || (st.st_mode & 077) != 0 || st.st_nlink != 1)
    return Error{
        Errc::insecure_file,
        path + " is not a file of mode 0600 that is root's alone, with one link" + kRebuild};

  const ssize_t got = pread(fd.get(), &header, sizeof header, 0);
  if (got < 0) return system_error(errno, "cannot read the registry " + path);
  if (static_cast<std::size_t>(got) < sizeof header)
    return Error{Errc::truncated, path + " is cut short" + kRebuild};
  if (header.magic != kMagic)
    return Error{Errc::foreign_file, path + " is not a session registry" + kRebuild};
  if (header.stamp != stamp_of(header))
    return Error{Errc::corrupt, path + " is damaged (its header)" + kRebuild};
  if (header.version > kLayoutVersion)
    return Error{Errc::other_layout, path + " is of a newer version: upgrade what reads it"};
  const bool is_older = is_older_layout(header.version);
  if (header.version != kLayoutVersion && !is_older)
    return Error{Errc::other_layout,
                 path + " is of a version that is not known any more" + kRebuild};
  if (!is_of_this_boot(fd.get(), header, host))
    return Error{Errc::other_boot, path + " is left over from before the last boot"};
  if (header.pid_namespace != host.pid_namespace || header.time_namespace != host.time_namespace) {
    if (is_deserted(fd, header, host))
      return Error{Errc::other_boot, path + " is left over from a container that has ended"};
    return Error{Errc::other_pid_namespace,
                 path +
                     " belongs to another container (PID or time namespace): give each a registry "
                     "of its own, as in a /run of its own (if that one is gone for good: "
                     "'" SESSREG_TOOL_NAME " purge --rebuild')"};
  }
  if (is_older)
    return Error{Errc::older_layout, path +
                                         " is of an earlier version: the next login carries its "
                                         "sessions over, or '" SESSREG_TOOL_NAME " purge' now"};
  if (header.header_bytes != kHeaderBytes || header.slot_bytes != kSlotBytes ||
      header.capacity == 0 || header.capacity > kMaxRegistryCapacity ||
      header.slots != slots_for(header.capacity))
    return Error{Errc::corrupt, path + " is damaged (its header)" + kRebuild};
  const auto expected = file_bytes(header.slots);
  if (static_cast<std::uint64_t>(st.st_size) < expected)
    return Error{Errc::truncated, path + " is cut short" + kRebuild};
  if (static_cast<std::uint64_t>(st.st_size) > expected)
    return Error{Errc::corrupt, path + " is damaged (its size)" + kRebuild};
  return std::nullopt;
}

Result<MappedRegistry> map_in(const Fd& dir, const std::string& path, const std::string& name,
                              const HostIdentity& host, ino_t* ret_inode, HeaderImage& header) {
  Fd fd;
  if (const auto error = open_in(dir, path, name, host, ret_inode, fd, header)) return *error;
  return map_descriptor(fd, header, path);
}

bool is_tmpfs(const char* directory) {
  struct statfs fs {};
  return statfs(directory, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

// A new registry without a name. `older`: the one whose hashes of names it is to understand.
Result<Fd> make_in(const Fd& dir, const std::string& path, const HostIdentity& host,
                   std::uint32_t capacity, const HeaderImage* older, HeaderImage& header) {
  Fd fd(openat(dir.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) {
    if (errno == EOPNOTSUPP || errno == EISDIR)
      return Error{Errc::unsupported_fs,
                   "cannot create " + path +
                       ": its file system has no unnamed files (O_TMPFILE): " +
                       (is_tmpfs("/run") ? "put it below /run" : "mount a tmpfs there")};
    return system_error(errno, "cannot create the registry " + path);
  }
  if (fchmod(fd.get(), 0600) != 0) return system_error(errno, "cannot set the mode of " + path);

  header = {};
  header.magic = kMagic;
  header.version = kLayoutVersion;
  header.header_bytes = kHeaderBytes;
  header.slot_bytes = kSlotBytes;
  header.capacity = capacity;
  header.slots = slots_for(capacity);
  header.boot_id = host.boot_id;
  header.pid_namespace = host.pid_namespace;
  header.time_namespace = host.time_namespace;
  // Whoever is carried over from an older layout has not shown presence.
  if (older == nullptr && is_container(host.pid_namespace) && can_show_presence(fd.get()))
    header.flags = kShowsPresence;
  header.created_realtime_ms = now().realtime_ms;
  if (older != nullptr) {
    header.hash_key = older->hash_key;
    header.created_realtime_ms = older->created_realtime_ms;
  } else if (!random_bytes(header.hash_key)) {
    return system_error(errno, "cannot get random bytes");
  }
  header.stamp = stamp_of(header);

  if (const int error = allocate(fd, file_bytes(header.slots)))
    return system_error(error, "cannot allocate " + std::to_string(file_bytes(header.slots)) +
                                   " bytes for " + path +
                                   " (free space there, or lower 'capacity')");
  // All zeros is a valid empty registry: gate 0, every slot free. The clock shows which boot it is
  // of, from the moment it has a name.
  const std::int64_t offset_ms = clock_offset_ms(now());
  constexpr auto kClockPlace =
      static_cast<off_t>(kSharedOffset + offsetof(SharedWords<ProcessAtom>, clock_offset_ms));
  if (pwrite(fd.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      pwrite(fd.get(), &offset_ms, sizeof offset_ms, kClockPlace) !=
          static_cast<ssize_t>(sizeof offset_ms))
    return system_error(errno, "cannot write the registry " + path);
  return fd;
}

// False: see errno; EEXIST is somebody else's file.
bool give_name(const Fd& fd, const Fd& dir, const std::string& name) {
  char proc_path[32];
  snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", fd.get());
  return linkat(AT_FDCWD, proc_path, dir.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

// The file has no name until the last step. ret_lost_race: somebody else gave it that name first.
Result<MappedRegistry> create_in(const Fd& dir, const std::string& path, const std::string& name,
                                 const HostIdentity& host, std::uint32_t capacity,
                                 bool* ret_lost_race) {
  *ret_lost_race = false;
  HeaderImage header{};
  const auto fd = make_in(dir, path, host, capacity, nullptr, header);
  if (!fd) return fd.error();
  if (!give_name(*fd, dir, name)) {
    *ret_lost_race = errno == EEXIST;
    return system_error(errno, "cannot create the registry " + path);
  }
  return map_descriptor(*fd, header, path);
}

// Renames to a name made of the file's identity alone: not of the boot id, which others are shown
// differently. The first who saw that file succeeds, and as long as that name exists nobody else
// who saw it can move its successor by mistake. What is left lying is the administrator's to look
// at; tmpfs forgets it by itself.
Result<std::string> move_aside(const Fd& dir, const std::string& name, ino_t inode,
                               const HeaderImage& header) {
  char suffix[80];
  snprintf(suffix, sizeof suffix, ".stale-%llu-%08x", static_cast<unsigned long long>(inode),
           static_cast<unsigned>(stamp_of(header)));
  const std::string aside = name + suffix;
  if (renameat2(dir.get(), name.c_str(), dir.get(), aside.c_str(), RENAME_NOREPLACE) != 0 &&
      errno != EEXIST && errno != ENOENT)
    return system_error(errno, "cannot move aside " + name);
  return aside;
}

bool is_about_the_file(Errc code) {
  switch (code) {
    case Errc::insecure_file:
    case Errc::foreign_file:
    case Errc::other_layout:
    case Errc::older_layout:
    case Errc::truncated:
    case Errc::corrupt:
    case Errc::other_boot:
    case Errc::other_pid_namespace:
      return true;
    default:
      return false;
  }
}

// Whether `name` is still that file.
bool is_at(const Fd& dir, const std::string& name, ino_t inode) {
  struct stat st {};
  return fstatat(dir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode;
}

// Makes room for a new file. ret_aside: where the old one is now; empty: it was a container's that
// has ended, and nobody will look at it. False: somebody else is at it.
Result<bool> make_room(const Fd& dir, const Fd& old, const std::string& name, ino_t inode,
                       const HeaderImage& header, bool is_deserted, std::string* ret_aside) {
  // Whoever claims it is the only one who moves it, so that what has its name now is not moved.
  if (is_deserted && (claim_if_deserted(old.get()) != Presence::none || !is_at(dir, name, inode)))
    return false;
  auto aside = move_aside(dir, name, inode, header);
  if (!aside) return aside.error();
  if (is_deserted) {
    // A volume outlives many containers, and would keep a file of each.
    unlinkat(dir.get(), aside->c_str(), 0);
    aside->clear();
  }
  *ret_aside = std::move(*aside);
  return true;
}

// While somebody else replaces the file.
void pause_shortly(int* waits) {
  const timespec pause{0, 5'000'000};
  nanosleep(&pause, nullptr);
  ++*waits;
}

// Opens, creates, or moves aside a file if `replaces` says so of its error.
// ret_aside: its new name.
template <class Replaces>
Result<MappedRegistry> open_create_replace(const std::string& path, const HostIdentity& host,
                                           std::uint32_t capacity, Replaces replaces,
                                           std::string* ret_aside) {
  const Location at = split(path);
  const auto dir = open_directory(at, true);
  if (!dir) return dir.error();
  Error last{Errc::system, path + " is replaced again and again"};
  bool succeeds_container = false;
  // Each further turn means that somebody else created or replaced the file in between.
  int turns = 8;
  // Or that a container's is being replaced, which takes a few system calls.
  for (int waits = 0; turns > 0 && waits < 200;) {
    ino_t inode = 0;
    HeaderImage header{};
    Fd fd;
    const auto error = open_in(*dir, path, at.name, host, &inode, fd, header);
    const bool is_containers = fd && shows_presence(header);
    if (!error) {
      if (is_containers && (!show_presence(fd.get()) || !is_at(*dir, at.name, inode))) {
        pause_shortly(&waits);
        continue;
      }
      auto mapped = map_descriptor(fd, header, path);
      if (mapped && succeeds_container) mapped->note_successor();
      return mapped;
    }
    if (error->code != Errc::not_found) {
      if (!replaces(error->code)) return *error;
      const bool is_deserted = error->code == Errc::other_boot && is_containers &&
                               is_of_this_boot(fd.get(), header, host);
      std::string moved;
      const auto made = make_room(*dir, fd, at.name, inode, header, is_deserted, &moved);
      if (!made) return made.error();
      if (!*made) {
        pause_shortly(&waits);
        continue;
      }
      if (!moved.empty()) *ret_aside = at.directory + "/" + moved;
      succeeds_container |= is_deserted;
    }
    bool lost_race = false;
    auto created = create_in(*dir, path, at.name, host, capacity, &lost_race);
    if (!created && !lost_race) return created;
    if (created && !is_container(host.pid_namespace)) return created;
    --turns;
    if (!created) last = created.error();
  }
  return last;
}

}  // namespace

void MappedRegistry::hide_from_children() {
  // Fails only for arguments that are wrong.
  madvise(region_.get_address(), region_.get_size(), MADV_DONTFORK);
}

Result<MappedRegistry> open_registry_file(const std::string& path, const HostIdentity& host) {
  const Location at = split(path);
  const auto dir = open_directory(at, false);
  if (!dir) {
    if (dir.error().code == Errc::not_found)
      return Error{Errc::not_found, "there is no registry " + path};
    return dir.error();
  }
  ino_t inode = 0;
  HeaderImage header{};
  return map_in(*dir, path, at.name, host, &inode, header);
}

void show_presence_at(const std::string& path, const HostIdentity& host) {
  const Location at = split(path);
  ino_t inode = 0;
  HeaderImage header{};
  Fd fd;
  const auto dir = open_directory(at, false);
  if (dir && !open_in(*dir, path, at.name, host, &inode, fd, header) && shows_presence(header))
    show_presence(fd.get());
}

Result<MappedRegistry> open_or_create_registry_file(const std::string& path,
                                                    const HostIdentity& host,
                                                    std::uint32_t capacity) {
  std::string aside;
  return open_create_replace(
      path, host, capacity, [](Errc code) { return code == Errc::other_boot; }, &aside);
}

// The new file is complete before it takes the old one's place, in one step: whoever comes
// meanwhile finds one of the two, and a process that stops before has changed nothing. The places
// are exchanged, so that a process that stopped just before the exchange, and goes on when another
// has done it, sees that it has taken that one's place, and takes it back.
std::optional<Error> replace_older_registry_file(const std::string& path, const HostIdentity& host,
                                                 std::uint32_t capacity, const FillRegistry& fill) {
  const Location at = split(path);
  const auto dir = open_directory(at, false);
  if (!dir) return dir.error();
  Fd old;
  HeaderImage old_header{};
  ino_t inode = 0;
  const auto error = open_in(*dir, path, at.name, host, &inode, old, old_header);
  if (!error) return std::nullopt;  // somebody else was faster
  if (error->code != Errc::older_layout) return *error;
  const auto older = read_older_registry(old.get(), old_header, path);
  if (!older) return Error{older.error().code, older.error().what + kRebuild};

  HeaderImage header{};
  const auto made =
      make_in(*dir, path, host, std::max(capacity, old_header.capacity), &old_header, header);
  if (!made) return made.error();
  auto mapped = map_descriptor(*made, header, path);
  if (!mapped) return mapped.error();
  fill(*older, std::move(*mapped));

  // One for each who tries; what a dead one left is nobody's.
  const std::string next = at.name + ".next-" + std::to_string(gettid());
  unlinkat(dir->get(), next.c_str(), 0);
  if (!give_name(*made, *dir, next))
    return system_error(errno, "cannot create the registry " + path);
  const auto exchange = [&] {
    return renameat2(dir->get(), next.c_str(), dir->get(), at.name.c_str(), RENAME_EXCHANGE) == 0;
  };
  std::optional<Error> failure;
  if (is_at(*dir, at.name, inode)) {
    if (!exchange()) {
      if (errno != ENOENT) failure = system_error(errno, "cannot replace the registry " + path);
    } else if (!is_at(*dir, next, inode)) {
      exchange();
    }
  }
  unlinkat(dir->get(), next.c_str(), 0);
  return failure;
}

Result<MappedRegistry> rebuild_registry_file(const std::string& path, const HostIdentity& host,
                                             std::uint32_t capacity, std::string* ret_aside) {
  ret_aside->clear();
  return open_create_replace(path, host, capacity, is_about_the_file, ret_aside);
}

}  // namespace sessreg
