#include "session/ended.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "base/fd.h"
#include "session/activity.h"
#include "token/token.h"

namespace sessreg {
namespace {

// Some 20,000 sessions.
constexpr off_t kMostBytes = 1 << 20;

std::string line_of(const EndedSession& session) {
  return to_hex(session.id) + " " + std::to_string(session.token_ends_s) + "\n";
}

Result<std::string> read_all(int fd, const std::string& path) {
  std::string text;
  char block[16384];
  // Whatever it has grown to, no more is looked at than is kept.
  while (text.size() <= 2 * static_cast<std::size_t>(kMostBytes)) {
    const ssize_t got = read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "cannot read " + path);
    if (got == 0) break;
    text.append(block, static_cast<std::size_t>(got));
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

// What is still of use, at most half of what there may be.
std::string pruned(std::string_view text, std::int64_t now_s) {
  std::string kept;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // half a line: its writer was killed
    if (end_in(text.substr(0, end)) > now_s) kept += text.substr(0, end + 1);
    text.remove_prefix(end + 1);
  }
  constexpr auto kHalf = static_cast<std::size_t>(kMostBytes / 2);
  if (kept.size() > kHalf) kept.erase(0, kept.find('\n', kept.size() - kHalf) + 1);
  return kept;
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

std::optional<Error> rewrite(const std::string& path, int old, std::int64_t now_s) {
  auto text = read_all(old, path);
  if (!text) return text.error();
  const std::string next = path + ".next";
  unlink(next.c_str());
  const Fd fd(open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd || !write_all(fd.get(), pruned(*text, now_s)) || fsync(fd.get()) != 0 ||
      rename(next.c_str(), path.c_str()) != 0)
    return system_error(errno, "cannot write " + next);
  return std::nullopt;
}

}  // namespace

std::string ended_path(const Config& config) {
  const std::size_t slash = config.key_file.rfind('/');
  return config.key_file.substr(0, slash + 1) + config.site + ".ended";
}

EndedSession ended_session(const RecordImage& record) {
  return {record.id, token_end_s(record)};
}

std::optional<Error> note_ended(const Config& config, std::span<const EndedSession> sessions,
                                std::int64_t now_s) {
  if (sessions.empty()) return std::nullopt;
  const std::string path = ended_path(config);
  const Fd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return system_error(errno, "cannot open " + path);
  std::string lines;
  for (const EndedSession& session : sessions)
    lines += line_of(session);
  if (!write_all(fd.get(), lines) || fdatasync(fd.get()) != 0)
    return system_error(errno, "cannot write " + path);
  struct stat st {};
  if (fstat(fd.get(), &st) == 0 && st.st_size > kMostBytes) return rewrite(path, fd.get(), now_s);
  return std::nullopt;
}

Result<bool> was_ended(const Config& config, const SessionId& id) {
  const std::string path = ended_path(config);
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return false;
  if (!fd) return system_error(errno, "cannot open " + path);
  const auto text = read_all(fd.get(), path);
  if (!text) return text.error();
  const std::string wanted = to_hex(id) + " ";
  return text->starts_with(wanted) || text->find("\n" + wanted) != std::string::npos;
}

}  // namespace sessreg
