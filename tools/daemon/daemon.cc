#include "daemon.h"

#include <fmt/core.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>

#include "errors.h"
#include "text.h"
#include "tool_name.h"

namespace sessreg {
namespace {

sd_event* make_loop() {
  sd_event* loop = nullptr;
  const int result = sd_event_new(&loop);
  if (result < 0)
    throw Failure(kExitFailed, "system", fmt::format("no event loop: {}", strerror(-result)));
  return loop;
}

}  // namespace

Daemon::Daemon(DaemonOptions options, Log log)
    : options_(std::move(options)), log_(std::move(log)), loop_(make_loop(), &sd_event_unref) {
  varlink::raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  sd_event_add_signal(loop_.get(), nullptr, SIGTERM, &Daemon::on_stop, this);
  sd_event_add_signal(loop_.get(), nullptr, SIGINT, &Daemon::on_stop, this);
  sd_event_add_signal(loop_.get(), nullptr, SIGHUP, &Daemon::on_hangup, this);
  // Only with WatchdogSec= in the unit.
  sd_event_set_watchdog(loop_.get(), 1);

  server_ = std::make_unique<varlink::Server>(
      loop_.get(), varlink::ServiceInfo{"sessreg", "sessregd", kVersion, ""}, log_);
  server_->add(service_);
  open_sites();
  if (sites_.empty() && !options_.sites.empty())
    throw Failure(kExitUnusable, "no_site", "none of the sites can be served");
  listen();
}

Daemon::~Daemon() {
  server_.reset();
  if (made_socket_) unlink(options_.socket.c_str());
}

void Daemon::listen() {
  const int passed = sd_listen_fds(1);
  for (int i = 0; i < passed; ++i)
    if (const auto error = server_->listen(Fd(SD_LISTEN_FDS_START + i)))
      throw failure_of(*error, kToolName);
  if (passed > 0) return;
  constexpr mode_t kForEverybody = 0666;  // who may what is decided by who it is
  auto socket = varlink::make_listening_socket(options_.socket, kForEverybody);
  if (!socket) throw failure_of(socket.error(), kToolName);
  made_socket_ = true;
  if (const auto error = server_->listen(std::move(*socket))) throw failure_of(*error, kToolName);
}

// Those that are configured now; one that is there already is left as it is.
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
    return std::find(names.begin(), names.end(), site->name()) == names.end();
  });
  for (const std::string& name : names) {
    const auto is_it = [&](const auto& site) { return site->name() == name; };
    if (std::any_of(sites_.begin(), sites_.end(), is_it)) continue;
    GlobalOptions global;
    global.site = name;
    global.conf = options_.conf;
    try {
      sites_.push_back(std::make_unique<WatchedSite>(
          loop_.get(), std::move(global),
          [this](Change change, const Session& session) { service_.changed(change, session); },
          log_));
    } catch (const Failure& failure) {
      log_(LOG_ERR, fmt::format("{}; the site {} is not served", failure.what(), name));
    }
  }
}

void Daemon::tick() {
  for (const auto& site : sites_)
    site->tick();
  tick_ = EventSource::after(loop_.get(), WatchedSite::kTick, [this] { tick(); });
}

void Daemon::reload() {
  sd_notify(0, "RELOADING=1");
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
  static_cast<Daemon*>(self)->reload();
  return 0;
}

}  // namespace sessreg
