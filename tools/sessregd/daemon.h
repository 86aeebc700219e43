// The parts of `sessregd`: the sites, the socket, and the loop that serves both.
//
// The loop is sd-event(3), not Boost.Asio. Its C library is needed anyway to talk to the service
// manager, and has a loop with priorities, signals, pidfds, the watchdog and socket activation.
// Nothing here needs threads or coroutines, and it compiles in a tenth of the time.
//
// Thread safety: none; one thread runs it.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sessregd/event_source.h"
#include "sessregd/log.h"
#include "sessregd/logind.h"
#include "sessregd/sessions_service.h"
#include "sessregd/watched_site.h"
#include "varlink/server.h"

namespace sessreg {

struct DaemonOptions {
  std::vector<std::string> sites;  // empty: every site of this host
  std::string conf;                // empty: each site's own file
  std::string socket;
};

class Daemon {
 public:
  // Listens on the sockets that the service manager passed, or else on its own. Throws Failure.
  Daemon(DaemonOptions options, Log log);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Runs until SIGTERM or SIGINT, and returns the exit code. SIGHUP reads the configuration again.
  // When the daemon is ready, it tells the service manager and calls `ready`.
  int run(const std::function<void()>& ready);

 private:
  void listen();
  void open_sites();
  void tick();
  void reload();
  void guarded(const std::function<void()>& work);
  void log_of_peers(int priority, const std::string& line);
  static int on_stop(sd_event_source*, const struct signalfd_siginfo*, void* self);
  static int on_hangup(sd_event_source*, const struct signalfd_siginfo*, void* self);

  DaemonOptions options_;
  Log log_;
  std::unique_ptr<sd_event, sd_event* (*)(sd_event*)> loop_;
  Logind logind_;
  SessionsService::Sites sites_;
  SessionsService service_{sites_};
  std::unique_ptr<varlink::Server> server_;
  std::string first_error_;  // of a site that cannot be served
  // The socket file, if the daemon made it.
  std::optional<std::pair<dev_t, ino_t>> made_socket_;
  EventSource tick_;
  std::chrono::steady_clock::time_point lines_since_{};
  unsigned lines_ = 0;
};

}  // namespace sessreg
