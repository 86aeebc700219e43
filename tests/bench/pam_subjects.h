// PAM services to compare, each with a private configuration: the module under measurement, the
// pam_limits of the system with maxsyslogins, and pam_permit alone.
#pragma once

#include <security/pam_appl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

class Site;

// The user of every login; not root, whom both modules let through.
inline constexpr const char* kUser = "daemon";

// A directory with the services "permit", "limits" and "sessreg", the utmp file and the registry
// they look at; with `sessions` sessions, against a limit.
class PamHost {
 public:
  PamHost(const std::string& directory, std::uint32_t limit, std::uint32_t sessions);
  ~PamHost();

  const std::string& directory() const { return directory_; }
  // A login service's own part: the record it writes behind pam_open_session, and takes away.
  // Only in a process that called use_utmp().
  void use_utmp() const;
  void write_utmp(unsigned index, bool logged_in) const;

 private:
  void write(const std::string& name, const std::string& text) const;
  void fill_utmp(std::uint32_t sessions) const;

  const std::string directory_;
  const std::unique_ptr<Site> site_;
};

// One login: account, open, close, as login services do it.
class PamLogin {
 public:
  PamLogin(const PamHost& host, const char* service);
  ~PamLogin();
  PamLogin(const PamLogin&) = delete;
  PamLogin& operator=(const PamLogin&) = delete;

  bool open();
  bool close();

 private:
  pam_handle_t* pamh_ = nullptr;
  int last_ = PAM_SUCCESS;
};

}  // namespace bench
