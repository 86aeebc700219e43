#include "sessregd/daemon.h"

#include <fmt/core.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "common/errors.h"
#include "common/tool_name.h"

namespace sessreg {
namespace {

sd_event* make_loop() {
  sd_event* loop = nullptr;
  const int result = sd_event_new(&loop);
  if (result < 0)
    throw Failure(kExitFailed, "system", fmt::format("no event loop: {}", strerror(-result)));
  return loop;
}

// With fewer descriptors there are fewer connections, so that root's are not refused for want of one.
// Half are for the processes that are watched (see event_source.cc), some are for a moment.
varlink::Limits limits_of_connections() {
  varlink::Limits limits;
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
    limits.connections = std::min<rlim_t>(limits.connections, descriptors.rlim_cur / 5 * 2);
  return limits;
}

// nullopt: there is none.
std::optional<std::pair<dev_t, ino_t>> identity_of(const std::string& path) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return std::nullopt;
  return std::pair(file.st_dev, file.st_ino);
}

}  // namespace

Daemon::Daemon(DaemonOptions options, Log log)
    : options_(std::move(options)),
      log_(std::move(log)),
      loop_(make_loop(), &sd_event_unref),
      logind_(loop_.get(), log_) {
  varlink::raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const auto on_signal = [this](int number, sd_event_signal_handler_t handler) {
    sd_event_source* source = nullptr;
    const int result = sd_event_add_signal(loop_.get(), &source, number, handler, this);
    if (result < 0)
      throw Failure(kExitFailed, "system", fmt::format("no signals: {}", strerror(-result)));
    // Whatever peers do, the daemon can be stopped.
    sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
    sd_event_source_set_floating(source, 1);
    sd_event_source_unref(source);
  };
  on_signal(SIGTERM, &Daemon::on_stop);
  on_signal(SIGINT, &Daemon::on_stop);
  on_signal(SIGHUP, &Daemon::on_hangup);
  // Only with WatchdogSec= in the unit.
  sd_event_set_watchdog(loop_.get(), 1);

  server_ = std::make_unique<varlink::Server>(
      loop_.get(), varlink::ServiceInfo{"sessreg", "sessregd", kVersion, ""},
      [this](int priority, const std::string& line) { log_of_peers(priority, line); },
      limits_of_connections());
  server_->add(service_);
  open_sites();
  if (sites_.empty() && !options_.sites.empty())
    throw Failure(kExitUnusable, "no_site", first_error_);
  listen();
}

Daemon::~Daemon() {
  server_.reset();
  // Somebody may have put another socket in its place.
  if (made_socket_ && identity_of(options_.socket) == made_socket_) unlink(options_.socket.c_str());
}

void Daemon::listen() {
  const int passed = sd_listen_fds(1);
  for (int i = 0; i < passed; ++i)
    if (const auto error = server_->listen(Fd(SD_LISTEN_FDS_START + i)))
      throw failure_of(*error, kToolName);
  if (passed > 0) return;
  constexpr mode_t kForEverybody = 0666;  // each call is authorized by who the peer is
  auto socket = varlink::make_listening_socket(options_.socket, kForEverybody);
  if (!socket) throw failure_of(socket.error(), kToolName);
  made_socket_ = identity_of(options_.socket);
  if (const auto error = server_->listen(std::move(*socket))) throw failure_of(*error, kToolName);
}

// Opens the sites that are configured now, and leaves open ones as they are.
void Daemon::open_sites() {
  std::vector<std::string> names = options_.sites;
  if (names.empty()) {
    try {
      names = all_sites();
    } catch (const Failure& failure) {
      log_(LOG_ERR, failure.what());
      return;
    }
  }
  std::erase_if(sites_, [&](const auto& site) {
    if (std::find(names.begin(), names.end(), site->name()) != names.end()) return false;
    log_(LOG_NOTICE,
         fmt::format("the site {} is not configured any more, and not served", site->name()));
    return true;
  });
  for (const std::string& name : names) {
    const auto is_it = [&](const auto& site) { return site->name() == name; };
    if (std::any_of(sites_.begin(), sites_.end(), is_it)) continue;
    GlobalOptions global;
    global.site = name;
    global.conf = options_.conf;
    try {
      sites_.push_back(std::make_unique<WatchedSite>(
          loop_.get(), logind_, std::move(global),
          [this](Change change, const Session& session) { service_.changed(change, session); },
          log_));
    } catch (const Failure& failure) {
      const std::string line = fmt::format("{}; the site {} is not served", failure.what(), name);
      if (first_error_.empty()) first_error_ = line;
      log_(LOG_ERR, line);
    }
  }
}

// Peers must not be able to fill the log.
void Daemon::log_of_peers(int priority, const std::string& line) {
  constexpr std::chrono::seconds kPeriod{10};
  constexpr unsigned kMostLines = 10;
  const auto now = std::chrono::steady_clock::now();
  if (lines_since_.time_since_epoch().count() == 0 || now - lines_since_ >= kPeriod) {
    if (lines_ > kMostLines)
      log_(LOG_NOTICE, fmt::format("and {} more lines about connections", lines_ - kMostLines));
    lines_since_ = now;
    lines_ = 0;
  }
  if (++lines_ <= kMostLines) log_(priority, line);
}

// The loop is C code: nothing may be thrown through it.
void Daemon::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    log_(LOG_ERR, error.what());
  }
}

void Daemon::tick() {
  tick_ = EventSource::after(loop_.get(), WatchedSite::kTick, [this] { tick(); });
  for (const auto& site : sites_)
    guarded([&] { site->tick(); });
}

void Daemon::reload() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
             static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
  log_(LOG_INFO, "reading the configuration again");
  for (const auto& site : sites_)
    site->reload();
  open_sites();
  sd_notify(0, "READY=1");
}

int Daemon::run(const std::function<void()>& ready) {
  tick();
  sd_notify(0, "READY=1");
  ready();
  const int result = sd_event_loop(loop_.get());
  if (result >= 0) return result;
  log_(LOG_CRIT, fmt::format("the event loop failed: {}", strerror(-result)));
  return kExitFailed;
}

int Daemon::on_stop(sd_event_source* source, const signalfd_siginfo*, void* self) {
  static_cast<Daemon*>(self)->log_(LOG_INFO, "stopping");
  sd_notify(0, "STOPPING=1");
  return sd_event_exit(sd_event_source_get_event(source), kExitDone);
}

int Daemon::on_hangup(sd_event_source*, const signalfd_siginfo*, void* self) {
  auto& daemon = *static_cast<Daemon*>(self);
  daemon.guarded([&] { daemon.reload(); });
  return 0;
}

}  // namespace sessreg
