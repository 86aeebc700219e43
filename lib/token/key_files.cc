#include "token/key_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"

namespace sessreg {
namespace {

bool is_trusted_owner(uid_t uid) {
  return uid == 0 || uid == geteuid();
}

Error write_error(int errno_value, const std::string& shown) {
  Error error = system_error(errno_value, "cannot write " + shown);
  if (errno_value == ENOSPC || errno_value == EDQUOT)
    error.what += "; free some space there";
  else if (errno_value == EROFS)
    error.what += "; mount it writable, or set 'key_file' to a place that is";
  return error;
}

// 0 or an errno.
int write_and_sync(int fd, std::string_view content, mode_t mode) {
  // Whatever the umask of the login service was.
  if (fchmod(fd, mode) != 0) return errno;
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return fsync(fd) == 0 ? 0 : errno;
}

// 0 or an errno: that of a failed write, not that of the clean-up after it.
int write_named(int directory, const std::string& name, std::string_view content, mode_t mode) {
  const Fd fd(openat(directory, name.c_str(),
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
  if (!fd) return errno;
  const int why = write_and_sync(fd.get(), content, mode);
  if (why != 0) unlinkat(directory, name.c_str(), 0);
  return why;
}

// For file systems without unnamed files.
int make_by_rename(const KeyPlace& at, std::string_view content, mode_t mode) {
  HashKey random;
  if (!random_bytes(random)) return EIO;
  std::string hidden = "." + at.name + ".";
  for (const std::uint8_t byte : random) {
    constexpr std::string_view kHex = "0123456789abcdef";
    hidden += kHex[byte >> 4];
    hidden += kHex[byte & 15];
  }
  const int directory = at.directory.get();
  if (const int why = write_named(directory, hidden, content, mode); why != 0) return why;
  // Not link(2): until the other name is gone a reader would see two links.
  if (renameat2(directory, hidden.c_str(), directory, at.name.c_str(), RENAME_NOREPLACE) == 0)
    return 0;
  const int why = errno;
  unlinkat(directory, hidden.c_str(), 0);
  return why == EINVAL || why == ENOSYS ? EOPNOTSUPP : why;
}

int make_file(const KeyPlace& at, std::string_view content, mode_t mode) {
  const Fd fd(openat(at.directory.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) {
    const bool has_none = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL;
    return has_none ? make_by_rename(at, content, mode) : errno;
  }
  if (const int why = write_and_sync(fd.get(), content, mode); why != 0) return why;
  char proc_path[32];
  snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", fd.get());
  return linkat(AT_FDCWD, proc_path, at.directory.get(), at.name.c_str(), AT_SYMLINK_FOLLOW) == 0
             ? 0
             : errno;
}

}  // namespace

Result<KeyPlace> open_key_place(const std::string& path, bool make) {
  const std::size_t slash = path.rfind('/');
  KeyPlace at;
  at.shown = escape_for_terminal(path);
  at.directory_path = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  at.name = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string shown_directory = escape_for_terminal(at.directory_path);
  if (at.name.empty())
    return Error{Errc::not_found, "'" + at.shown + "' does not name a file; give one"};

  const auto open_it = [&at] {
    return Fd(open(at.directory_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  };
  bool made = false;
  at.directory = open_it();
  if (!at.directory && errno == ENOENT && make) {
    made = mkdir(at.directory_path.c_str(), 0755) == 0;
    if (!made && errno == ENOENT)
      return Error{Errc::not_found, "cannot make the directory " + shown_directory +
                                        ": there is none that it could lie in; make that first"};
    if (!made && errno != EEXIST) return write_error(errno, "the directory " + shown_directory);
    at.directory = open_it();
  }
  if (!at.directory) {
    if (errno == ENOENT)
      return Error{Errc::not_found, at.shown + " does not exist (there is no such directory)"};
    return system_error(errno, "cannot open the directory " + shown_directory);
  }
  // Whatever the umask of the login service was.
  if (made && fchmod(at.directory.get(), 0755) != 0)
    return system_error(errno, "cannot set the mode of " + shown_directory);
  struct stat status {};
  if (fstat(at.directory.get(), &status) != 0)
    return system_error(errno, "cannot look at the directory " + shown_directory);
  if (!is_trusted_owner(status.st_uid) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return Error{Errc::insecure_file,
                 shown_directory +
                     " may be written by others, who could plant a key; keep keys in a directory "
                     "that only root can write, such as /var/lib/sessreg"};
  return at;
}

Result<OpenedFile> open_key_file(const KeyPlace& at, mode_t forbidden_mode) {
  // Again where a successor took the name between the two calls.
  for (int attempt = 0; attempt < 16; ++attempt) {
    OpenedFile file;
    file.fd = Fd(openat(at.directory.get(), at.name.c_str(),
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    if (!file.fd) {
      if (errno == ENOENT) return Error{Errc::not_found, at.shown + " does not exist"};
      if (errno == ELOOP || errno == ENXIO)
        return Error{Errc::insecure_file,
                     at.shown + " is not a regular file; put the file itself there"};
      return system_error(errno, "cannot open " + at.shown);
    }
    if (fstat(file.fd.get(), &file.status) != 0)
      return system_error(errno, "cannot look at " + at.shown);
    if (!S_ISREG(file.status.st_mode))
      return Error{Errc::insecure_file,
                   at.shown + " is not a regular file; put the file itself there"};
    if (!is_trusted_owner(file.status.st_uid))
      return Error{Errc::insecure_file, at.shown + " is owned by uid " +
                                            std::to_string(file.status.st_uid) +
                                            "; check where it is from, then give it to root"};
    if ((file.status.st_mode & forbidden_mode) != 0) {
      const bool secret = (forbidden_mode & S_IROTH) != 0;
      return Error{Errc::insecure_file,
                   at.shown + (secret ? " is open to its group or to others; run chmod 600 on it, "
                                        "and rotate the key if somebody may have read it"
                                      : " can be written by its group or by others; run chmod go-w "
                                        "on it")};
    }
    if (file.status.st_nlink == 1) return file;
    if (file.status.st_nlink > 1)
      return Error{Errc::insecure_file,
                   at.shown + " has a second name (a hard link); remove the other one"};
  }
  return Error{Errc::system, at.shown + " is replaced again and again; try again later"};
}

Result<std::size_t> read_key_file(const OpenedFile& file, const std::string& shown,
                                  std::span<char> ret) {
  std::size_t size = 0;
  while (true) {
    char beyond = 0;
    const bool full = size == ret.size();
    const ssize_t got =
        read(file.fd.get(), full ? &beyond : ret.data() + size, full ? 1 : ret.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "cannot read " + shown);
    if (got == 0) return size;
    if (full) return Error{Errc::bad_key, shown + " is too long to be a file of keys"};
    size += static_cast<std::size_t>(got);
  }
}

Result<bool> make_key_file(const KeyPlace& at, std::string_view content, mode_t mode) {
  const int why = make_file(at, content, mode);
  if (why == EEXIST) return Error{Errc::already_exists, at.shown + " exists already"};
  if (why == EOPNOTSUPP)
    return Error{Errc::unsupported_fs,
                 "cannot write " + at.shown +
                     ": its file system cannot make a file at once; set 'key_file' to another one"};
  if (why != 0) return write_error(why, at.shown);
  fsync(at.directory.get());
  return true;
}

Result<std::string> write_successor(const KeyPlace& at, std::string_view content, mode_t mode) {
  std::string hidden = "." + at.name + ".new";
  unlinkat(at.directory.get(), hidden.c_str(), 0);
  if (const int why = write_named(at.directory.get(), hidden, content, mode); why != 0)
    return write_error(why, at.shown);
  return hidden;
}

Result<bool> put_in_place(const KeyPlace& at, const std::string& successor) {
  const int directory = at.directory.get();
  if (renameat(directory, successor.c_str(), directory, at.name.c_str()) != 0) {
    const int why = errno;
    remove_successor(at, successor);
    return write_error(why, at.shown);
  }
  fsync(directory);
  return true;
}

void remove_successor(const KeyPlace& at, const std::string& successor) {
  unlinkat(at.directory.get(), successor.c_str(), 0);
}

}  // namespace sessreg
