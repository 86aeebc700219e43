// A user as the system knows it. Not by pam_modutil_getpwnam, which keeps every answer in the PAM
// handle, and without memory tries that two thousand million times.
//
// Thread safety: none of these keeps state.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace sessreg {

struct PasswdEntry {
  std::string name;  // as the system spells it
  uid_t uid;
  gid_t gid;
};

// nullopt: there is no such user, or nobody can tell now. May throw std::bad_alloc.
std::optional<PasswdEntry> find_user(const std::string& name);

// The same where there is no memory to be had: its uid alone.
std::optional<uid_t> find_uid(const char* name) noexcept;

}  // namespace sessreg
