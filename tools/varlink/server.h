// A Varlink service on unix stream sockets, on an sd-event loop. Source: https://varlink.org.
//
// Thread safety: none. Everything here, exchanges too, belongs to the loop's thread.
//
// 1. Calls of a connection are answered in their order; while one is unanswered, later ones of that
//    connection wait, and nobody else does.
// 2. Nothing a peer sends, or does not read, costs others more than varlink/limits.h says.
// 3. A peer that is turned away is told why, by an error of kConnectionInterface.
// 4. Who wants to connect is let in before calls are served, and calls are served a user at a time,
//    root first, by the rules of varlink/turns.h.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "varlink/limits.h"
#include "varlink/message.h"

namespace sessreg::varlink {

// Its errors: InvalidMessage (reason: string), MessageTooLong (limit_bytes: int), HalfMessage
// (limit_ms: int), TooManyConnections (reason: string), OutOfMemory (), InternalError ().
inline constexpr std::string_view kConnectionInterface = "org.sessreg.Connection";

// Who is at the other end, according to the kernel (SO_PEERCRED): whoever connected, not whoever
// holds the descriptor now.
struct Peer {
  uid_t uid;
  gid_t gid;
  pid_t pid;
  std::vector<gid_t> groups;  // besides gid; none if there are more than kMostPeerGroups
};
inline constexpr std::size_t kMostPeerGroups = 256;

// Answers one call, now or later: copy it to keep it. After the answer, or when the connection has
// gone, every function may still be called, and does nothing. If the last copy is destroyed before
// there is an answer, the peer gets InternalError.
class Exchange {
 public:
  const Peer& peer() const;
  bool wants_more() const;
  bool is_oneway() const;  // nothing is sent, whatever the answer
  bool is_open() const;    // not answered yet, and the peer is still there
  // The peer has closed the connection, which nobody may have noticed yet. Asks the system.
  bool has_hung_up() const;

  // The answer.
  void reply(const Json& parameters = Json::object());
  // The same from text: a JSON object in valid UTF-8.
  void reply_formatted(std::string_view parameters);
  void error(std::string_view name, const Json& parameters = Json::object());

  // One answer of several. Only for a call with `more`; any other gets ExpectedMore.
  void reply_continues(const Json& parameters = Json::object());

  // Several answers: `next` is called for each one when there is room for it. The last one sets
  // `ret_last`; nullopt is an empty last answer. It may throw CallError, which is then the last
  // answer. For a oneway call it is never called. Only for a call with `more`.
  // It gives text as reply_formatted() takes it.
  using Next = std::function<std::optional<std::string>(bool& ret_last)>;
  void stream(Next next);

  // For a call that takes long: `step` gets the call again at each of the user's next turns until
  // there is an answer, and others are served in between. MUST be called before Service::call() or a
  // step returns. What `call` points to is valid until `step` returns, which may throw like
  // Service::call().
  using Step = std::function<void(const Call& call)>;
  void go_on(Step step);

  // Like reply_continues(), from text, for events that do not wait for the peer. False: the peer has
  // gone, or was dropped just now because it left push_bytes unread.
  bool push_formatted(std::string_view parameters);

  // `callback` is called once if the peer goes before the answer, and never after the answer. It
  // replaces an earlier one.
  void on_close(std::function<void()> callback);

  struct State;
  explicit Exchange(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

// One interface.
class Service {
 public:
  virtual ~Service() = default;
  virtual std::string_view interface_name() const = 0;
  // The interface in Varlink's definition language.
  virtual std::string_view description() const = 0;
  // `call` and what it points to are only valid until this returns. May throw CallError
  // (method_not_found for an unknown member). Anything else it throws is logged, and answered with
  // InternalError.
  virtual void call(const Call& call, Exchange& exchange) = 0;
};

// What org.varlink.service.GetInfo says.
struct ServiceInfo {
  std::string vendor, product, version, url;
};

// `priority` as in syslog(3); `line` is safe to show.
using Log = std::function<void(int priority, const std::string& line)>;

class Server {
 public:
  // The loop and the services must outlive the server.
  Server(sd_event* loop, ServiceInfo info, Log log, Limits limits = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void add(Service& service);

  // A listening unix stream socket, made or passed by the service manager.
  [[nodiscard]] std::optional<Error> listen(Fd socket);
  // Accepts no new connections; those that exist stay.
  void stop_listening();

  std::size_t connections() const;
  std::size_t buffered_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// A listening socket bound to `path` with those access bits. Replaces a socket that nobody listens
// on any more. Errors: somebody listens there already, or something else is in the way.
Result<Fd> make_listening_socket(const std::string& path, mode_t mode);

// Raises the soft limit of open descriptors to the hard one.
void raise_descriptor_limit();

}  // namespace sessreg::varlink
