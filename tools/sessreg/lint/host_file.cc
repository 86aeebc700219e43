#include "sessreg/lint/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"

namespace sessreg {
namespace {

HostFile failed(int error) {
  using State = HostFile::State;
  const State state = error == ENOENT || error == ENOTDIR ? State::missing
                      : error == EACCES || error == EPERM ? State::forbidden
                                                          : State::unreadable;
  return {state, error, {}};
}

}  // namespace

HostFile read_host_file(const std::string& path) {
  using State = HostFile::State;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return failed(errno);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return failed(errno);
  if (!S_ISREG(status.st_mode)) return {State::not_regular, 0, {}};

  HostFile file{State::read, 0, {}};
  std::array<char, 16384> block;
  for (;;) {
    const ssize_t got = read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) return file;
    file.text.append(block.data(), static_cast<std::size_t>(got));
    if (file.text.size() > kMostHostFileBytes) return {State::too_large, 0, {}};
  }
}

Complaint complaint_of(const HostFile& file) {
  switch (file.state) {
    case HostFile::State::missing:
      return {"does not exist", "create it, or remove what names it"};
    case HostFile::State::forbidden:
      if (geteuid() != 0) return {"cannot be read", "run as root"};
      break;
    case HostFile::State::not_regular:
      return {"is not a regular file", "put a text file there"};
    case HostFile::State::too_large:
      return {fmt::format("is larger than {} bytes", kMostHostFileBytes),
              "put the right file there"};
    default:
      break;
  }
  return {fmt::format("cannot be read: {}", strerrordesc_np(file.error)), "mend that first"};
}

}  // namespace sessreg
