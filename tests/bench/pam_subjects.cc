#include "pam_subjects.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utmp.h>

#include <fstream>
#include <stdexcept>

#include "ours.h"

namespace bench {
namespace {

int converse(int count, const pam_message**, pam_response** responses, void*) {
  *responses =
      static_cast<pam_response*>(calloc(static_cast<std::size_t>(count), sizeof(pam_response)));
  return PAM_SUCCESS;
}

utmp record_of(const std::string& line, pid_t pid, bool logged_in) {
  utmp record{};
  record.ut_type = logged_in ? USER_PROCESS : DEAD_PROCESS;
  record.ut_pid = pid;
  line.copy(record.ut_line, sizeof record.ut_line);
  line.copy(record.ut_id, sizeof record.ut_id);
  if (logged_in) memcpy(record.ut_user, kUser, strlen(kUser));
  return record;
}

}  // namespace

PamHost::PamHost(const std::string& directory, std::uint32_t limit, std::uint32_t sessions)
    : directory_(directory),
      site_(std::make_unique<Site>(directory + "/registry", limit, sessions)) {
  const std::string number = std::to_string(limit);
  write("site.conf", "registry = " + directory + "/registry\nkey_file = " + directory +
                         "/site.key\nsessions_limit = " + number + "\ncapacity = " + number + "\n");
  write("limits.conf", "* - maxsyslogins " + number + "\n");
  const std::string permit = " required pam_permit.so\n";
  write("permit", "account" + permit + "session" + permit);
  write("limits",
        "account" + permit + "session required pam_limits.so conf=" + directory + "/limits.conf\n");
  const std::string ours = " required " BENCH_MODULE " conf=" + directory + "/site.conf\n";
  write("sessreg", "account" + ours + "session" + ours);
  fill_utmp(sessions);
}

PamHost::~PamHost() = default;

void PamHost::write(const std::string& name, const std::string& text) const {
  std::ofstream(directory_ + "/" + name) << text;
}

void PamHost::fill_utmp(std::uint32_t sessions) const {
  std::ofstream out(directory_ + "/utmp", std::ios::binary);
  for (std::uint32_t i = 0; i < sessions; ++i) {
    // A living pid: pam_limits looks.
    const utmp record = record_of(std::to_string(i), getpid(), true);
    out.write(reinterpret_cast<const char*>(&record), sizeof record);
  }
}

void PamHost::use_utmp() const {
  utmpname((directory_ + "/utmp").c_str());
}

void PamHost::write_utmp(unsigned index, bool logged_in) const {
  const utmp record = record_of("w" + std::to_string(index), getpid(), logged_in);
  setutent();
  if (pututline(&record) == nullptr) throw std::runtime_error("pututline");
  endutent();
}

PamLogin::PamLogin(const PamHost& host, const char* service) {
  const pam_conv conversation{converse, nullptr};
  if (pam_start_confdir(service, kUser, &conversation, host.directory().c_str(), &pamh_) !=
      PAM_SUCCESS)
    throw std::runtime_error("pam_start_confdir");
  pam_set_item(pamh_, PAM_RHOST, "192.0.2.7");
  pam_set_item(pamh_, PAM_TTY, "ssh");
}

PamLogin::~PamLogin() {
  pam_end(pamh_, last_);
}

bool PamLogin::open() {
  last_ = pam_acct_mgmt(pamh_, 0);
  if (last_ == PAM_SUCCESS) last_ = pam_open_session(pamh_, 0);
  return last_ == PAM_SUCCESS;
}

bool PamLogin::close() {
  last_ = pam_close_session(pamh_, 0);
  return last_ == PAM_SUCCESS;
}

}  // namespace bench
