#include "sessreg/lint/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/fd.h"

namespace sessreg {
namespace {

Unread failed(int error) {
  using Why = Unread::Why;
  const Why why = error == ENOENT || error == ENOTDIR ? Why::missing
                  : error == EACCES || error == EPERM ? Why::forbidden
                                                      : Why::unreadable;
  return {why, error};
}

}  // namespace

Result<std::string, Unread> read_host_file(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return failed(errno);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return failed(errno);
  if (!S_ISREG(status.st_mode)) return Unread{Unread::Why::not_regular};

  std::string text;
  std::array<char, 16384> block;
  for (;;) {
    const ssize_t got = read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(got));
    if (text.size() > kMostHostFileBytes) return Unread{Unread::Why::too_large};
  }
}

std::vector<std::string> files_matching(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return files;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

std::string in_lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

Complaint complaint_of(const Unread& unread) {
  switch (unread.why) {
    case Unread::Why::missing:
      return {"does not exist", "create it, or remove what names it"};
    case Unread::Why::forbidden:
      if (geteuid() != 0) return {"cannot be read", "run as root"};
      break;
    case Unread::Why::not_regular:
      return {"is not a regular file", "put a text file there"};
    case Unread::Why::too_large:
      return {fmt::format("is larger than {} bytes", kMostHostFileBytes),
              "put the right file there"};
    default:
      break;
  }
  return {fmt::format("cannot be read: {}", strerrordesc_np(unread.error)), "mend that first"};
}

}  // namespace sessreg
