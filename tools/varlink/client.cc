#include "varlink/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace sessreg::varlink {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;

std::string system_text(int error) {
  return strerror(error);
}

void connect_or_throw(const Fd& socket, const std::string& path, const sockaddr_un& address) {
  while (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    switch (errno) {
      case EINTR:
        continue;
      case ENOENT:
      case ENOTDIR:
      case ECONNREFUSED:
        throw ClientError(ClientErrc::no_daemon, "nobody listens on " + path);
      case EACCES:
      case EPERM:
        throw ClientError(ClientErrc::permission_denied, "may not connect to " + path);
      case EAGAIN:
        throw ClientError(ClientErrc::timeout, path + " is busy: it accepts no connection");
      default:
        throw ClientError(ClientErrc::system,
                          "cannot connect to " + path + ": " + system_text(errno));
    }
  }
}

void require_trusted(const Fd& socket, const std::string& path) {
  ucred listener{};
  socklen_t size = sizeof listener;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
    throw ClientError(ClientErrc::system, "cannot tell who listens on " + path);
  if (listener.uid != 0 && listener.uid != geteuid())
    throw ClientError(ClientErrc::untrusted,
                      "uid " + std::to_string(listener.uid) + " listens on " + path +
                          ", and is neither root nor you: find out who put it there");
}

}  // namespace

Client::Client(Fd socket, std::string path, const ClientOptions& options)
    : socket_(std::move(socket)),
      path_(std::move(path)),
      options_(options),
      parser_(options.reply_bytes) {}

Client Client::connect(const std::string& path, const ClientOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string shown = escape_for_terminal(path);
  if (path.empty() || path.size() >= sizeof address.sun_path)
    throw ClientError(ClientErrc::system, "not a socket's path: " + shown);
  memcpy(address.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw ClientError(ClientErrc::system, "cannot make a socket: " + system_text(errno));
  if (options.timeout.count() >= 0) {
    // For connect() too, which waits while the daemon's queue is full. Zero would be for ever.
    const auto us = std::max<long>(std::chrono::microseconds(options.timeout).count(), 1000);
    const timeval wait{us / 1'000'000, us % 1'000'000};
    (void)setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  }
  connect_or_throw(socket, shown, address);
  if (options.trusted_only) require_trusted(socket, shown);
  return Client(std::move(socket), std::move(shown), options);
}

std::optional<Client> Client::connect_if_there(const std::string& path,
                                               const ClientOptions& options) {
  try {
    return connect(path, options);
  } catch (const ClientError& error) {
    if (error.code() != ClientErrc::no_daemon) throw;
    return std::nullopt;
  }
}

Reply Client::call(std::string_view method, const Json& parameters) {
  std::string message;
  append_call(message, method, parameters);
  send(message);
  return receive();
}

void Client::call_more(std::string_view method, const Json& parameters,
                       const std::function<bool(const Reply&)>& each) {
  std::string message;
  append_call(message, method, parameters, {.more = true});
  send(message);
  while (true) {
    const Reply reply = receive();
    const bool last = !reply.continues || !reply.error.empty();
    const bool wanted = each(reply);
    if (last) return;
    if (wanted) continue;
    socket_ = Fd();
    return;
  }
}

void Client::fail(ClientErrc code, const std::string& what) {
  socket_ = Fd();
  throw ClientError(code, path_ + ": " + what);
}

Client::Deadline Client::deadline() const {
  if (options_.timeout.count() < 0) return std::nullopt;
  return std::chrono::steady_clock::now() + options_.timeout;
}

void Client::wait_for(short events, Deadline deadline, short& ret_events) {
  while (true) {
    int wait_ms = -1;
    if (deadline) {
      const auto left = *deadline - std::chrono::steady_clock::now();
      const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
      wait_ms = static_cast<int>(std::clamp<long>(left_ms, 0, 1'000'000));
    }
    pollfd wait{socket_.get(), events, 0};
    const int ready = poll(&wait, 1, wait_ms);
    if (ready > 0) {
      ret_events = wait.revents;
      return;
    }
    if (ready < 0 && errno != EINTR)
      fail(ClientErrc::system, "cannot wait for an answer: " + system_text(errno));
    if (deadline && std::chrono::steady_clock::now() >= *deadline)
      fail(ClientErrc::timeout, "no answer in time");
  }
}

// False: the daemon has closed the connection.
bool Client::read_some() {
  if (begin_ == end_) begin_ = end_ = scanned_ = 0;
  if (buffer_.size() - end_ < kReadBytes + kPaddingBytes) {
    if (begin_ > 0) {
      memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      scanned_ -= begin_;
      begin_ = 0;
    }
    if (buffer_.size() - end_ < kReadBytes + kPaddingBytes)
      buffer_.resize(2 * end_ + kReadBytes + kPaddingBytes);
  }
  const std::size_t space = buffer_.size() - end_ - kPaddingBytes;
  const ssize_t got = recv(socket_.get(), buffer_.data() + end_, space, MSG_DONTWAIT);
  if (got > 0) {
    end_ += static_cast<std::size_t>(got);
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  return false;
}

void Client::send(std::string_view messages) {
  if (!socket_) throw ClientError(ClientErrc::disconnected, path_ + ": the connection was closed");
  const Deadline until = deadline();
  while (!messages.empty()) {
    const ssize_t sent =
        ::send(socket_.get(), messages.data(), messages.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      messages.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    // It may have said why before it closed the connection: receive() finds that.
    if (errno == EPIPE || errno == ECONNRESET) return;
    if (errno != EAGAIN) fail(ClientErrc::system, "cannot send: " + system_text(errno));
    const bool room = buffered_bytes() < options_.reply_bytes;
    short events = 0;
    wait_for(static_cast<short>(room ? POLLIN | POLLOUT : POLLOUT), until, events);
    if ((events & POLLIN) != 0 && !read_some()) return;
  }
}

bool Client::find_message(std::string_view& ret_message) {
  const void* nul =
      scanned_ == end_ ? nullptr : memchr(buffer_.data() + scanned_, '\0', end_ - scanned_);
  if (nul == nullptr) {
    scanned_ = end_;
    return false;
  }
  const auto at = static_cast<std::size_t>(static_cast<const char*>(nul) - buffer_.data());
  ret_message = {buffer_.data() + begin_, at - begin_};
  begin_ = scanned_ = at + 1;
  return true;
}

Reply Client::receive() {
  if (!socket_) throw ClientError(ClientErrc::disconnected, path_ + ": the connection was closed");
  const Deadline until = deadline();
  std::string_view message;
  while (!find_message(message)) {
    if (buffered_bytes() > options_.reply_bytes)
      fail(ClientErrc::too_long,
           "an answer is longer than " + std::to_string(options_.reply_bytes) + " bytes");
    short events = 0;
    wait_for(POLLIN, until, events);
    if (!read_some()) fail(ClientErrc::disconnected, "closed before it answered");
  }
  Reply reply;
  const Fault fault = parser_.parse_reply(message, reply);
  if (fault == Fault::too_long)
    fail(ClientErrc::too_long,
         "an answer is longer than " + std::to_string(options_.reply_bytes) + " bytes");
  if (fault != Fault::none)
    fail(ClientErrc::invalid_answer, std::string("the answer is not Varlink: ") + text(fault));
  return reply;
}

}  // namespace sessreg::varlink
