// The calling side of Varlink on a unix stream socket; blocks, with a timeout.
//
// Thread safety: none; one client belongs to one thread. A client that threw cannot be used again.
// (`no_daemon` leaves no client behind.)
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "varlink/message.h"
#include "varlink/write.h"

namespace sessreg::varlink {

enum class ClientErrc {
  no_daemon,          // no socket there, or nobody listens on it
  permission_denied,  // the socket may not be opened
  untrusted,          // somebody other than root or our own user listens
  timeout,
  disconnected,    // closed before the answer
  invalid_answer,  // not Varlink
  too_long,        // an answer above ClientOptions::reply_bytes
  system,          // any other system call failed
};

// `what` is one line: the socket, what is wrong, and the mend if there is one.
class ClientError : public std::runtime_error {
 public:
  ClientError(ClientErrc code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ClientErrc code() const { return code_; }

 private:
  ClientErrc code_;
};

struct ClientOptions {
  // The time for a call to be sent and answered, and between the answers of call_more(). Negative:
  // for ever.
  std::chrono::milliseconds timeout{5'000};
  // The longest answer accepted. Services send longer ones as a stream.
  std::size_t reply_bytes = 16 << 20;
  // Whether to connect only if root or our own user listens.
  bool trusted_only = true;
};

class Client {
 public:
  // Throws ClientError.
  static Client connect(const std::string& path, const ClientOptions& options = {});
  // nullopt for no_daemon.
  static std::optional<Client> connect_if_there(const std::string& path,
                                                const ClientOptions& options = {});
  Client(Client&&) = default;

  // The answer, valid until the next call; an error of the service is an answer as well.
  Reply call(std::string_view method, const Json& parameters = Json::object());

  // Passes every answer to `each`, including the last one. If that returns false, the call ends,
  // and the connection with it.
  void call_more(std::string_view method, const Json& parameters,
                 const std::function<bool(const Reply&)>& each);

  // A call in steps, so that more can be sent before the answers to earlier ones are read. Messages
  // are made by varlink/write.h. Answers that arrive while sending are kept, up to reply_bytes.
  // Beyond that sending waits, so a caller that sends more without receiving gets a timeout.
  void send(std::string_view messages);
  Reply receive();

  int fd() const { return socket_.get(); }  // to poll; receive() may hold answers already

 private:
  Client(Fd socket, std::string path, const ClientOptions& options);
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  Deadline deadline() const;
  void wait_for(short events, Deadline deadline, short& ret_events);
  bool read_some();
  bool find_message(std::string_view& ret_message);
  std::size_t buffered_bytes() const { return end_ - begin_; }
  [[noreturn]] void fail(ClientErrc code, const std::string& what);

  Fd socket_;
  std::string path_;
  ClientOptions options_;
  MessageParser parser_;
  std::vector<char>
      buffer_;  // [begin_, end_) arrived and is not given out; [begin_, scanned_) has no NUL
  std::size_t begin_ = 0, end_ = 0, scanned_ = 0;
};

}  // namespace sessreg::varlink
