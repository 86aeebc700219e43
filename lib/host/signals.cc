#include "host/signals.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"

// glibc 2.36 does not declare these as C functions, so that is done around its header.
extern "C" {
#include <sys/pidfd.h>
}

namespace sessreg {
namespace {

// What is sent to the leader or its children.
enum class Manner {
  term_leader,      // sshd, su, runuser, vsftpd: closes the session, ends its children
  term_hup_leader,  // sudo: passes on what it is sent, and an interactive shell ignores SIGTERM
  hup_children,     // login: waits for its shell whatever it is sent
  // cron waits until nobody has the job's output open; cockpit for its bridge, which leaves helpers
  // behind; xrdp-sesman 0.9, which ignores SIGTERM, for the window manager.
  term_members,
};

struct Program {
  std::string_view name;
  Manner manner;
};

constexpr std::array kPrograms = {
    Program{"sshd", Manner::term_leader},
    Program{"sshd-session", Manner::term_leader},
    Program{"login", Manner::hup_children},
    Program{"su", Manner::term_leader},
    Program{"su-l", Manner::term_leader},
    Program{"runuser", Manner::term_leader},
    Program{"runuser-l", Manner::term_leader},
    Program{"sudo", Manner::term_hup_leader},
    Program{"sudo-i", Manner::term_hup_leader},
    Program{"vsftpd", Manner::term_leader},
    Program{"cron", Manner::term_members},
    Program{"crond", Manner::term_members},
    Program{"xrdp-sesman", Manner::term_members},
    Program{"xrdp-sesexec", Manner::term_members},
    Program{"cockpit-session", Manner::term_members},
    Program{"cockpit", Manner::term_members},
};

const Program* find_program(std::string_view name) {
  for (const Program& program : kPrograms)
    if (program.name == name) return &program;
  return nullptr;
}

// The name of the file it runs; empty if that may not be known.
std::string program_of(pid_t pid) {
  std::array<char, PATH_MAX> target;
  const ssize_t size =
      readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target.data(), target.size());
  if (size <= 0) return {};
  std::string_view path(target.data(), static_cast<std::size_t>(size));
  // A package upgrade replaces the file under a running process.
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return std::string(path.substr(path.rfind('/') + 1));
}

// Where a unit has PAMName=login, or machinectl(1) starts a shell, systemd opens the session and
// then becomes the user's own program. A login program stays root's.
bool is_users_program(pid_t leader) {
  const auto uids = read_process_uids(leader);
  return uids && uids->real != geteuid();
}

Manner manner_of(pid_t leader, std::string_view service) {
  for (const std::string& name : {program_of(leader), process_command(leader)})
    if (const Program* program = find_program(name)) return program->manner;
  const Program* const program = find_program(service);
  if (program == nullptr) return Manner::term_leader;
  const bool is_shell = program->manner == Manner::hup_children && is_users_program(leader);
  return is_shell ? Manner::term_hup_leader : program->manner;
}

// Whether that user could signal the process; false where /proc does not tell.
bool could_signal(uid_t user, pid_t pid) {
  const auto uids = read_process_uids(pid);
  return uids && (uids->real == user || uids->saved == user);
}

}  // namespace

bool signal_process(const ProcessId& id, int signal_number, std::optional<uid_t> as) {
  // A start time that is not known cannot be compared.
  if (id.pid <= 1 || id.start_ticks == 0 || id.pid == getpid()) return false;
  const Fd fd(pidfd_open(id.pid, 0));
  if (!fd) return false;
  // While the descriptor is open its process keeps the number, so what is read now belongs to it.
  const auto stat = read_process_stat(id.pid);
  if (!stat || stat->start_ticks != id.start_ticks) return false;
  if (as && !could_signal(*as, id.pid)) return false;
  if (pidfd_send_signal(fd.get(), signal_number, nullptr, 0) != 0) return false;
  if (signal_number != SIGKILL) pidfd_send_signal(fd.get(), SIGCONT, nullptr, 0);
  return true;
}

FirstSignal first_signal(const ProcessId& leader, std::string_view service,
                         const std::vector<ProcessTable::Entry>& members) {
  std::vector<ProcessId> children, others;
  for (const auto& member : members) {
    if (member.id != leader) others.push_back(member.id);
    if (member.parent == leader.pid) children.push_back(member.id);
  }
  const Manner manner = manner_of(leader.pid, service);
  if (manner == Manner::term_hup_leader) return {{leader}, {SIGTERM, SIGHUP}};
  if (manner == Manner::term_leader || children.empty()) return {{leader}, {SIGTERM}};
  if (manner == Manner::hup_children) return {children, {SIGHUP}};
  return {others, {SIGTERM}};
}

}  // namespace sessreg
