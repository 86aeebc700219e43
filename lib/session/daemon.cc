#include "session/daemon.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"

namespace sessreg {
namespace {

constexpr std::string_view kInterface = "org.sessreg.Sessions.";
// More of a host or device the daemon does not take.
constexpr std::size_t kMostValueBytes = 255;
// A refusal names up to a hundred sessions of the user.
constexpr std::size_t kMostAnswerBytes = 256 << 10;

// What a call failed by. `path` is root's word, or the administrator's.
struct Call {
  const std::string& path;
  std::uint64_t ends_ms = boottime_ms() + std::uint64_t{kDaemonWait.count()};

  Error failed(const std::string& what) const {
    return {Errc::system, escape_for_terminal(path) + ": " + what};
  }
  Error failed(const char* what, int error) const {
    return failed(std::string(what) + ": " + strerror(error));
  }
};

std::optional<Error> wait_for(const Call& call, const Fd& socket, short events) {
  while (true) {
    const std::uint64_t now_ms = boottime_ms();
    if (now_ms >= call.ends_ms) return call.failed("sessregd does not answer in time");
    pollfd wait{socket.get(), events, 0};
    const int ready = poll(&wait, 1, static_cast<int>(call.ends_ms - now_ms));
    if (ready > 0) return std::nullopt;
    if (ready < 0 && errno != EINTR) return call.failed("cannot wait for sessregd", errno);
  }
}

// Rule 1.
std::optional<Error> distrust(const Call& call, const Fd& socket) {
  ucred listener{};
  socklen_t size = sizeof listener;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
    return call.failed("cannot tell who listens", errno);
  if (listener.uid == 0 || listener.uid == geteuid()) return std::nullopt;
  return call.failed("uid " + std::to_string(listener.uid) +
                     " listens there, and not root; find out who put it there");
}

Result<Fd> connect_to(const Call& call) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (call.path.empty() || call.path.size() >= sizeof address.sun_path)
    return call.failed("is no path of a socket");
  memcpy(address.sun_path, call.path.data(), call.path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return call.failed("cannot make a socket", errno);
  // connect() waits while the daemon's queue is full, and poll() knows nothing of that.
  const timeval wait{kDaemonWait.count() / 1000, kDaemonWait.count() % 1000 * 1000};
  if (setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0)
    return call.failed("cannot bound the wait", errno);
  while (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return call.failed("sessregd is busy: it accepts no connection");
    if (errno != EINTR || boottime_ms() >= call.ends_ms)
      return call.failed("cannot ask sessregd, which has to run for this service", errno);
  }
  if (auto error = distrust(call, socket)) return std::move(*error);
  return socket;
}

std::optional<Error> send_all(const Call& call, const Fd& socket, std::string_view message) {
  while (!message.empty()) {
    const ssize_t sent =
        send(socket.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      message.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return std::nullopt;  // it may have said why before
    } else if (errno != EAGAIN && errno != EINTR) {
      return call.failed("cannot ask sessregd", errno);
    } else if (auto error = wait_for(call, socket, POLLOUT)) {
      return error;
    }
  }
  return std::nullopt;
}

// One message, up to its NUL.
Result<std::string> receive(const Call& call, const Fd& socket) {
  std::string answer;
  char buffer[4096];
  while (true) {
    if (auto error = wait_for(call, socket, POLLIN)) return std::move(*error);
    const ssize_t got = recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return call.failed("sessregd closed the connection before it answered");
    const std::string_view part(buffer, static_cast<std::size_t>(got));
    const std::size_t end = part.find('\0');
    answer += part.substr(0, end);
    if (end != std::string_view::npos) return answer;
    if (answer.size() > kMostAnswerBytes) return call.failed("the answer has no end");
  }
}

std::string question(const std::string& site, const Login& login) {
  std::string text = "{\"method\":\"" + std::string(kInterface) + "Use\",\"parameters\":{\"site\":";
  text += json_string(site);
  const auto add = [&](const char* name, const std::string& value) {
    text.append(",\"").append(name).append("\":");
    text += json_string(utf8_prefix(value, kMostValueBytes));
  };
  add("service", login.service);
  text += ",\"user\":" + json_string(login.user);
  if (!login.host.empty()) add("host", login.host);
  if (!login.tty.empty()) add("label", login.tty);
  add("device", login.device);
  text += "}}";
  text += '\0';
  return text;
}

// Rule 3.
std::string shown(const std::optional<std::string>& text) {
  return text && is_safe_to_show(*text) ? one_line(*text) : std::string();
}

std::uint32_t count_in(const JsonObject& object, std::string_view name) {
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(object.integer(name).value_or(0), 0, kMost));
}

// What the log has of an error that is no answer to the login.
std::string mend_of(std::string_view error, const JsonObject& parameters, const Login& login) {
  const std::string service = escape_for_terminal(login.service);
  if (error == "PermissionDenied")
    return "uid " + std::to_string(geteuid()) + " is no client of the service " + service +
           "; name its user in 'clients' of [service " + service + "]";
  if (error == "NoSuchSite")
    return "sessregd does not serve this site; run 'systemctl reload sessregd'";
  if (error == "CannotDecide") return shown(parameters.string("reason"));
  return "sessregd answers " + escape_for_terminal(error);
}

Result<LoginAnswer> read_answer(const Call& call, const std::string& text, const Login& login) {
  const auto object = JsonObject::parse(text);
  if (!object) return call.failed("the answer is not Varlink");
  const JsonObject parameters = object->object("parameters").value_or(JsonObject());
  const std::optional<std::string> error = object->string("error");
  LoginAnswer answer;
  if (!error) {
    const auto opened = parameters.boolean("opened");
    if (!opened) return call.failed("the answer is none to what was asked");
    answer.what = *opened ? LoginAnswer::What::opened : LoginAnswer::What::already;
    return answer;
  }
  std::string_view name = *error;
  if (name.starts_with(kInterface)) name.remove_prefix(kInterface.size());
  answer.refused.message = shown(parameters.string("message"));
  if (name == "SessionRevoked") {
    answer.what = LoginAnswer::What::ended;
    answer.reason = shown(parameters.string("reason"));
    return answer;
  }
  if (name != "Refused") return call.failed(mend_of(name, parameters, login));
  const std::string reason = parameters.string("reason").value_or("");
  const auto known = refusals();
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const RefusalFacts& facts) { return reason == facts.name; });
  if (found == known.end()) return call.failed("the answer is a refusal for no known reason");
  answer.what = LoginAnswer::What::refused;
  answer.refused.refusal = found->refusal;
  answer.refused.limit = static_cast<std::int32_t>(
      std::clamp<std::int64_t>(parameters.integer("limit").value_or(-1), -1, kMaxCapacity));
  answer.refused.count = count_in(parameters, "count");
  answer.refused.seconds = count_in(parameters, "seconds");
  return answer;
}

}  // namespace

Result<LoginAnswer> ask_daemon_to_use(const std::string& socket, const std::string& site,
                                      const Login& login) {
  const Call call{socket};
  const auto connection = connect_to(call);
  if (!connection) return connection.error();
  if (auto error = send_all(call, *connection, question(site, login))) return std::move(*error);
  const auto answer = receive(call, *connection);
  if (!answer) return answer.error();
  return read_answer(call, *answer, login);
}

}  // namespace sessreg
