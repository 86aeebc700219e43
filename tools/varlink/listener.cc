#include "varlink/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>

#include <string>
#include <utility>

#include "varlink/write.h"

namespace sessreg::varlink {
namespace {

// A flood must not fill the log.
constexpr std::chrono::seconds kLogEvery{10};

std::optional<Peer> peer_of(const Fd& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return std::nullopt;
  Peer peer{credentials.uid, credentials.gid, credentials.pid, std::vector<gid_t>(kMostPeerGroups)};
  size = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) size = 0;
  peer.groups.resize(size / sizeof(gid_t));
  peer.groups.shrink_to_fit();
  return peer;
}

bool is_listening_unix_stream(const Fd& socket) {
  const auto option = [&](int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(socket.get(), SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_STREAM &&
         option(SO_ACCEPTCONN) == 1;
}

// Who has hung up already costs no more than that look.
bool has_gone(const Fd& socket) {
  char first = 0;
  return recv(socket.get(), &first, sizeof first, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace

std::optional<Error> Listener::add(Fd socket) {
  if (!is_listening_unix_stream(socket))
    return Error{Errc::system, "descriptor " + std::to_string(socket.get()) +
                                   " is not a listening unix stream socket"};
  const int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0)
    return system_error(errno, "cannot set up the listening socket");
  if (!resume_) {
    // Made now, because its timer needs a descriptor, and is used when none is left.
    sd_event_source* timer = nullptr;
    const int made =
        sd_event_add_time_relative(core_.loop, &timer, CLOCK_MONOTONIC, 0, 1000, on_resume, this);
    if (made < 0) return system_error(-made, "cannot make a timer");
    resume_.reset(timer);
    sd_event_source_set_enabled(timer, SD_EVENT_OFF);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(core_.poller.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0)
    return system_error(errno, "cannot watch the listening socket");
  sockets_.push_back(std::move(socket));
  return std::nullopt;
}

// The service manager holds the sockets that it passed: they stay open.
void Listener::stop() {
  for (const Fd& socket : sockets_)
    epoll_ctl(core_.poller.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
  sockets_.clear();
}

void Listener::accept_waiting() {
  try {
    const auto ends = std::chrono::steady_clock::now() + core_.limits.accept_time;
    for (const Fd& socket : sockets_)
      accept_from(socket.get(), ends);
  } catch (const std::exception& e) {
    core_.log(LOG_ERR, std::string("a connection was not accepted: ") + e.what());
    pause(ENOMEM);
  }
}

void Listener::accept_from(int listening, std::chrono::steady_clock::time_point ends) {
  do {
    Fd socket(accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      admit(std::move(socket));
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno != EINTR && errno != ECONNABORTED) return pause(errno);
  } while (std::chrono::steady_clock::now() < ends);
}

void Listener::admit(Fd socket) {
  if (has_gone(socket)) return;
  const auto peer = peer_of(socket);
  if (!peer) return;
  if (const char* refusal = core_.accounts.add_connection(peer->uid)) {
    std::string message;
    append_error(message, std::string(kConnectionInterface) + ".TooManyConnections",
                 {{"reason", refusal}});
    // The socket's buffer is empty: this fits, or the peer has gone.
    (void)send(socket.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return log_refusal(peer->uid, refusal);
  }
  std::shared_ptr<Connection> connection;
  try {
    connection = std::make_shared<Connection>(core_, std::move(socket), *peer);
  } catch (...) {
    core_.remove_connection(peer->uid);
    throw;
  }
  on_connection_(connection);
  if (!connection->start()) {
    connection->close();
    return pause(ENOMEM);
  }
  // Mostly its call has arrived already.
  connection->note(EPOLLIN);
}

void Listener::log_refusal(uid_t uid, const char* reason) {
  ++unlogged_;
  const auto now = std::chrono::steady_clock::now();
  if (logged_.time_since_epoch().count() != 0 && now - logged_ < kLogEvery) return;
  std::string line = "a connection of uid " + std::to_string(uid) + " was refused: " + reason;
  if (unlogged_ > 1) line += " (and " + std::to_string(unlogged_ - 1) + " before it)";
  core_.log(LOG_NOTICE, line);
  logged_ = now;
  unlogged_ = 0;
}

// The socket stays readable while nothing can be accepted; watching it would spin.
void Listener::pause(int error) {
  core_.log(LOG_WARNING, system_error(error, "cannot accept connections for a moment").what);
  const auto pause_us = std::chrono::microseconds(core_.limits.accept_pause).count();
  sd_event_source_set_time_relative(resume_.get(), static_cast<std::uint64_t>(pause_us));
  sd_event_source_set_enabled(resume_.get(), SD_EVENT_ONESHOT);
  watch(false);
}

int Listener::on_resume(sd_event_source*, std::uint64_t, void* self) {
  auto& listener = *static_cast<Listener*>(self);
  listener.watch(true);
  return 0;
}

void Listener::watch(bool watched) {
  epoll_event event{};
  if (watched) event.events = EPOLLIN;
  for (const Fd& socket : sockets_)
    epoll_ctl(core_.poller.get(), EPOLL_CTL_MOD, socket.get(), &event);
}

}  // namespace sessreg::varlink
