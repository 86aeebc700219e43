// The simulated users of the playground: real processes on real terminals, whose sessions are in a
// private registry. Started by tools/playground/run; never installed.
//
// usage: playground_people CONFIGURATION
//
// Writes "ready" when all are there, plays on until its standard input ends, and then ends every
// process it started. No process outlives it, whatever ends it. Beside the configuration it leaves the
// token of a session (ben.token), and what each user sees on the terminal (NAME.terminal).
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/policy.h"
#include "config/remote_host.h"
#include "host/process.h"
#include "session/login.h"
#include "session/messages.h"

namespace sessreg {
namespace {

constexpr const char* kSite = "playground";

[[noreturn]] void die(const std::string& why) {
  fprintf(stderr, "playground_people: %s\n", why.c_str());
  exit(1);
}

enum class Place { terminal, nowhere };

struct Person {
  pid_t pid = -1;
  int terminal = -1;  // the user's side
};

// Sleeps until somebody ends it, or until everyone who looks after it has gone.
[[noreturn]] void live(pid_t stage, pid_t parent) {
  for (;;) {
    const pid_t now = getppid();
    if (now != stage && now != parent) _exit(0);
    sleep(1);
  }
}

// A process in a session of its own, as a login service has for each user. With `leaves_job` it has
// a child that ignores hangups, as with nohup(1).
Person start(Place place, bool leaves_job = false) {
  const pid_t stage = getpid();
  Person person;
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) die("cannot make a pipe");
  person.pid =
      place == Place::terminal ? forkpty(&person.terminal, nullptr, nullptr, nullptr) : fork();
  if (person.pid < 0) die("cannot start a process");
  if (person.pid == 0) {
    if (place == Place::nowhere) setsid();
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE})
      signal(number, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != stage) _exit(0);
    if (leaves_job && fork() == 0) {
      signal(SIGHUP, SIG_IGN);
      live(stage, getppid());
    }
    if (write(ready[1], "r", 1) != 1) _exit(1);
    live(stage, stage);
  }
  close(ready[1]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) die("a process of the playground did not start");
  close(ready[0]);
  if (person.terminal >= 0) {
    fcntl(person.terminal, F_SETFD, FD_CLOEXEC);
    fcntl(person.terminal, F_SETFL, O_NONBLOCK);
  }
  return person;
}

// Sets the time that typing sets: the kernel itself updates it only in steps of 8 seconds.
void type_something(const Person& person) {
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  if (const char* name = ptsname(person.terminal)) utimensat(AT_FDCWD, name, times, 0);
}

Login login_of(const char* user, const char* service, const char* host, const Person& person) {
  Login login;
  login.user = user;
  login.uid = geteuid();  // the owner of the terminals
  login.service = service;
  login.host = host;
  if (person.terminal >= 0) {
    const char* name = ptsname(person.terminal);
    login.tty = std::string(name).substr(sizeof "/dev/" - 1);
  }
  const auto stat = read_process_stat(person.pid);
  if (!stat) die("cannot read /proc");
  login.self = {person.pid, stat->start_ticks};
  login.parent = self_id();
  return login;
}

Rulebook rules(const Site& site, const Login& login) {
  return rules_for(site.config, login.user, login.service,
                   [](const std::string&) { return false; });
}

Admission log_in(Site& site, const Login& login) {
  const auto admission = find_and_bind_or_admit(site, login, rules(site, login), std::nullopt);
  if (!admission) die(admission.error().what);
  if (!admission->admitted())
    die(login.user + " was refused: " + message_of(*admission, site.config, *site.registry, login));
  return *admission;
}

void append(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::app).write(text.data(), static_cast<std::streamsize>(text.size()));
}

// A user of a web application, whose session has no process.
SlotRef log_in_by_browser(Site& site, const char* user, const char* host, const char* browser) {
  Login login;
  login.user = user;
  login.uid = geteuid();
  login.service = "shop";
  login.host = host;
  login.tty = browser;
  login.self = login.parent = self_id();
  login.no_process = true;
  login.device = std::string(user) + "'s cookie";
  return log_in(site, login).ref;
}

void reserve(Site& site, const Login& login) {
  const auto admission = reserve(site, login, rules(site, login));
  if (!admission) die(admission.error().what);
}

bool has_child_left() {
  for (const pid_t pid : all_pids().value_or(std::vector<pid_t>())) {
    const auto stat = read_process_stat(pid);
    if (stat && stat->ppid == getpid()) return true;
  }
  return false;
}

// Orphans have become children of this process. A child's pid is not reused until it has been
// waited for.
void end_all() {
  while (has_child_left()) {
    for (const pid_t pid : all_pids().value_or(std::vector<pid_t>())) {
      const auto stat = read_process_stat(pid);
      if (stat && stat->ppid == getpid()) kill(pid, SIGKILL);
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    usleep(10'000);
  }
}

// Waits for the end of standard input, and ignores anything written there.
bool is_over(int most_ms) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, most_ms) <= 0) return false;
  char ignored[64];
  return read(STDIN_FILENO, ignored, sizeof ignored) <= 0;
}

void play(const std::string& path) {
  auto config = load_config(kSite, path);
  if (!config) die(config.error().what);
  auto opened = Site::open(*config, path, Site::IfMissing::create);
  if (!opened) die(opened.error().what);
  Site& site = *opened;
  const std::string scene = path.substr(0, path.rfind('/') + 1);

  // Eight seats. The first to log in will be idle longest.
  const Person emil = start(Place::terminal), ben = start(Place::terminal),
               anna = start(Place::terminal), carla = start(Place::nowhere),
               dora = start(Place::terminal, true), gina = start(Place::nowhere),
               fred = start(Place::terminal);
  log_in(site, login_of("emil", "sshd", "192.0.2.14", emil));
  usleep(500'000);
  issue_tokens(site, "ben", [](const Error& error) { die(error.what); });
  const Admission of_ben = log_in(site, login_of("ben", "sshd", "192.0.2.11", ben));
  site.registry->set_token_maker(nullptr);
  append(scene + "ben.token", of_ben.token + "\n");
  log_in(site, login_of("anna", "sshd", "192.0.2.10", anna));
  log_in(site, login_of("carla", "vsftpd", "192.0.2.12", carla));
  log_in(site, login_of("dora", "cockpit", "192.0.2.13", dora));
  reserve(site, login_of("gina", "sshd", "192.0.2.16", gina));
  const SlotRef ida = log_in_by_browser(site, "ida", "192.0.2.18", "Firefox Linux");
  const SlotRef jan = log_in_by_browser(site, "jan", "192.0.2.19", "Safari iPhone");

  // Full, and nobody idle yet.
  const Login hana = login_of("hana", "sshd", "192.0.2.17", fred);
  reserve(site, hana);
  reserve(site, hana);
  const RemoteHost guesser = RemoteHost::from_rhost("192.0.2.66");
  for (int i = 0; i < 5; ++i) {
    if (auto failures = failures_of(site, guesser))
      failures->failed(guesser, "root", boottime_ms());
    site.registry->count(kFailedAuths);
  }

  // The process that opened dora's session dies without closing it.
  kill(dora.pid, SIGKILL);
  waitpid(dora.pid, nullptr, 0);

  // By now emil is idle, and yields his seat.
  for (int i = 0; i < 35; ++i) {
    type_something(anna);
    for (const SlotRef& browser : {ida, jan})
      site.registry->touch(browser, boottime_ms());
    if (is_over(100)) return;
  }
  log_in(site, login_of("fred", "sshd", "192.0.2.15", fred));
  printf("ready\n");
  fflush(stdout);

  const std::pair<const char*, const Person*> writers[] = {
      {"emil", &emil}, {"ben", &ben}, {"anna", &anna}, {"dora", &dora}, {"fred", &fred}};
  while (!is_over(1000)) {
    type_something(anna);
    type_something(fred);
    site.registry->touch(ida, boottime_ms());
    // Reads what is written to their terminals, as a real user's side would.
    for (const auto& [name, person] : writers) {
      char text[4096];
      for (ssize_t got = 0; (got = read(person->terminal, text, sizeof text)) > 0;)
        append(scene + name + ".terminal", {text, static_cast<std::size_t>(got)});
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

}  // namespace
}  // namespace sessreg

int main(int argc, char** argv) {
  using namespace sessreg;
  if (argc != 2) die("usage: playground_people CONFIGURATION");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  // The end of standard input is what says that it is over, not a signal.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE})
    signal(number, SIG_IGN);
  atexit(end_all);
  play(argv[1]);
  return 0;
}
