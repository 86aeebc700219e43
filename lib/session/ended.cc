#include "session/ended.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "session/activity.h"

namespace sessreg {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::string_view kRevoked = " revoked\n";
constexpr std::string_view kClosed = " closed\n";

std::string line_of(const EndedSession& session, EndedHow how) {
  std::string line = to_hex(session.id) + " " + std::to_string(session.token_ends_s);
  return line.append(how == EndedHow::revoked ? kRevoked : kClosed);
}

Result<std::string> read_all(int fd, const std::string& path) {
  std::string text;
  char block[16384];
  off_t at = 0;
  // Whatever it has grown to, no more is looked at than is kept.
  while (text.size() <= 2 * kMostBytes) {
    const ssize_t got = pread(fd, block, sizeof block, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "cannot read " + path);
    if (got == 0) break;
    text.append(block, static_cast<std::size_t>(got));
    at += got;
  }
  return text;
}

std::int64_t end_in(std::string_view line) {
  const std::size_t space = line.find(' ');
  std::int64_t end_s = 0;
  if (space != std::string_view::npos)
    std::from_chars(line.data() + space + 1, line.data() + line.size(), end_s);
  return end_s;
}

// Calls visit(line), its end included, with each line that is whole: the writer of the last one may
// have been killed.
template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;
       text.remove_prefix(end + 1))
    visit(text.substr(0, end + 1));
}

void keep_latest(std::string& lines, std::size_t most_bytes) {
  if (lines.size() > most_bytes) lines.erase(0, lines.find('\n', lines.size() - most_bytes) + 1);
}

// What is still of use, at most half of what there may be, so that this is not done at each line.
std::string pruned(std::string_view text, std::int64_t now_s) {
  std::string revoked, closed;
  for_each_line(text, [&](std::string_view line) {
    if (end_in(line) > now_s) (line.ends_with(kRevoked) ? revoked : closed) += line;
  });
  constexpr std::size_t kHalf = kMostBytes / 2;
  keep_latest(revoked, kHalf);
  keep_latest(closed, kHalf - revoked.size());
  return revoked + closed;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

bool sync_directory_of(const std::string& path) {
  const Fd directory(
      open(path.substr(0, path.rfind('/') + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory && fsync(directory.get()) == 0;
}

// The file as it is by that name, which nobody else changes as long as this descriptor is open.
Result<Fd> open_locked(const std::string& path) {
  constexpr int kTurns = 100;  // it is written anew once in thousands of lines
  for (int turn = 0; turn < kTurns; ++turn) {
    Fd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return system_error(errno, "cannot open " + path);
    if (flock(fd.get(), LOCK_EX) != 0) return system_error(errno, "cannot lock " + path);
    struct stat opened {
    }, named{};
    if (fstat(fd.get(), &opened) == 0 && lstat(path.c_str(), &named) == 0 &&
        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
      return fd;
  }
  return Error{Errc::system, path + " is replaced faster than it can be opened"};
}

std::optional<Error> rewrite(const std::string& path, int old) {
  const auto text = read_all(old, path);
  if (!text) return text.error();
  const std::string next = path + ".next";
  unlink(next.c_str());  // of one who was killed: whoever writes has the lock
  const Fd fd(open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd || !write_all(fd.get(), pruned(*text, now().realtime_ms / 1000)) ||
      fsync(fd.get()) != 0 || rename(next.c_str(), path.c_str()) != 0 || !sync_directory_of(path))
    return system_error(errno, "cannot write " + next);
  return std::nullopt;
}

}  // namespace

std::string ended_path(const Config& config) {
  const std::size_t slash = config.key_file.rfind('/');
  return config.key_file.substr(0, slash + 1) + config.site + ".ended";
}

std::optional<EndedSession> ended_session(const RecordImage& record) {
  if (has_process(record) || record.token_digest == decltype(record.token_digest){})
    return std::nullopt;
  return EndedSession{record.id, token_end_s(record)};
}

std::optional<Error> note_ended(const Config& config, std::span<const EndedSession> sessions,
                                EndedHow how) {
  if (sessions.empty()) return std::nullopt;
  const std::string path = ended_path(config);
  const auto fd = open_locked(path);
  if (!fd) return fd.error();
  struct stat st {};
  if (fstat(fd->get(), &st) != 0) return system_error(errno, "cannot look at " + path);
  std::string lines;
  for (const EndedSession& session : sessions)
    lines += line_of(session, how);
  if (!write_all(fd->get(), lines)) return system_error(errno, "cannot write " + path);
  if (how == EndedHow::revoked &&
      (fdatasync(fd->get()) != 0 || (st.st_size == 0 && !sync_directory_of(path))))
    return system_error(errno, "cannot write " + path);
  if (static_cast<std::size_t>(st.st_size) + lines.size() > kMostBytes)
    return rewrite(path, fd->get());
  return std::nullopt;
}

Result<bool> was_ended(const Config& config, const SessionId& id) {
  const std::string path = ended_path(config);
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return false;
  if (!fd) return system_error(errno, "cannot open " + path);
  const auto text = read_all(fd.get(), path);
  if (!text) return text.error();
  bool found = false;
  const std::string wanted = to_hex(id) + " ";
  for_each_line(*text, [&](std::string_view line) { found |= line.starts_with(wanted); });
  return found;
}

}  // namespace sessreg
