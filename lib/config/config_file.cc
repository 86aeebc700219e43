// Where a site's configuration lies, and reading it. What is read decides who may log in, so:
//
//  1. The opened file is checked, not its name: a regular file of root or of the caller that nobody
//     else may write. A symbolic link is followed; administrators use them.
//  2. Opening never blocks, whatever the name leads to.
//  3. Only a default file that is not there at all means the defaults; a dangling link does not.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"
#include "base/text.h"
#include "config/config.h"
#include "config/config_internal.h"
#include "config/config_values.h"

namespace sessreg {
namespace {

// Why the opened file is not to be trusted; "" if it is.
std::string file_fault(const struct stat& status) {
  if (!S_ISREG(status.st_mode)) return " is not a regular file; put a text file there";
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    return " is owned by uid " + std::to_string(status.st_uid) +
           ", who could change it; give it to root";
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return " can be written by its group or by others; run chmod go-w on it";
  }
  return {};
}

// Reads little more than the parser takes.
Result<std::string> read_all(int fd, const std::string& shown_path) {
  constexpr std::size_t kEnough = (1U << 20) + 1;
  std::string text;
  std::array<char, 16384> block;
  while (text.size() < kEnough) {
    const ssize_t got = read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "cannot read " + shown_path);
    if (got == 0) break;
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

bool is_valid_site_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

Error invalid_site_name(std::string_view name) {
  return Error{Errc::invalid_config,
               "site name " + quoted(name) +
                   " is not valid; use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with "
                   "a letter, a digit or _"};
}

std::string default_config_path(std::string_view site) {
  if (site == "default") return "/etc/security/sessreg.conf";
  return "/etc/security/sessreg.d/" + std::string(site) + ".conf";
}

Result<Config> load_config(std::string_view site, const std::string& path) {
  if (!is_valid_site_name(site)) return invalid_site_name(site);
  const std::string file = path.empty() ? default_config_path(site) : path;
  const std::string shown = escape_for_terminal(file);

  const Fd opened(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) {
    const int why = errno;
    if (why != ENOENT) return system_error(why, "cannot open " + shown);
    struct stat status;
    if (lstat(file.c_str(), &status) == 0) {
      return Error{Errc::config_missing,
                   shown + " is a link to a file that does not exist; mend or remove the link"};
    }
    if (path.empty() && site == "default") return parse_config({}, file, site);
    return Error{Errc::config_missing,
                 shown + " does not exist; create it (an empty file means the defaults)"};
  }

  struct stat status;
  if (fstat(opened.get(), &status) != 0) return system_error(errno, "cannot examine " + shown);
  const std::string fault = file_fault(status);
  if (!fault.empty()) return Error{Errc::insecure_file, shown + fault};
  const Result<std::string> text = read_all(opened.get(), shown);
  if (!text) return text.error();
  return parse_config(*text, file, site);
}

}  // namespace sessreg
