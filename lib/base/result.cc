#include "base/result.h"

#include <string.h>

#include <cerrno>

namespace sessreg {

const char* text(Errc code) {
  switch (code) {
    case Errc::invalid_config:
      return "invalid configuration";
    case Errc::config_missing:
      return "no such configuration file";
    case Errc::not_found:
      return "not found";
    case Errc::permission_denied:
      return "permission denied";
    case Errc::insecure_file:
      return "file or directory is not safe to use";
    case Errc::foreign_file:
      return "not a session registry";
    case Errc::other_layout:
      return "session registry of another sessreg version";
    case Errc::older_layout:
      return "session registry of an earlier sessreg version";
    case Errc::truncated:
      return "truncated session registry";
    case Errc::corrupt:
      return "corrupt session registry";
    case Errc::other_boot:
      return "session registry from before the last boot";
    case Errc::other_pid_namespace:
      return "session registry of another process id namespace";
    case Errc::no_space:
      return "no space left";
    case Errc::unsupported_fs:
      return "file system cannot make unnamed files";
    case Errc::bad_key:
      return "not a usable key";
    case Errc::already_exists:
      return "exists already";
    case Errc::bad_claims:
      return "not what a token can say";
    case Errc::system:
      return "system call failed";
  }
  return "unknown error";
}

static Errc code_of(int errno_value) {
  switch (errno_value) {
    case EACCES:
    case EPERM:
      return Errc::permission_denied;
    case ENOENT:
      return Errc::not_found;
    case ENOSPC:
    case EDQUOT:
      return Errc::no_space;
    case EOPNOTSUPP:
      return Errc::unsupported_fs;
    default:
      return Errc::system;
  }
}

Error system_error(int errno_value, const std::string& action) {
  // strerror() would translate and share a buffer between threads.
  const char* description = strerrordesc_np(errno_value);
  std::string what = action + ": ";
  what += description != nullptr ? std::string(description)
                                 : "error number " + std::to_string(errno_value);
  return Error{code_of(errno_value), std::move(what)};
}

}  // namespace sessreg
