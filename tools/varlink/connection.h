// One connection of a server: reads, has its calls handled in turn, writes.
//
// What has happened on its socket is only noted, and then looked at when the connection has its turn.
//
// Every call has a number, by which an exchange answers it. An answer to any other number than that
// of the call being handled does nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "varlink/core.h"

namespace sessreg::varlink {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // The connection MUST have been charged to the account of `peer`.
  Connection(Core& core, Fd socket, const Peer& peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False: no memory.
  [[nodiscard]] bool start();

  // This has happened on the socket (EPOLLIN, ...).
  void note(std::uint32_t events);
  // Handles what has happened and arrived, up to the bounds of a turn.
  void take_turn();
  // Ends what has taken too long. False: nothing here waits with a time limit.
  bool look_at_clock(std::chrono::steady_clock::time_point now);
  void close();

  // For exchanges.
  bool is_handling(std::uint64_t call) const { return handling_ && call == call_; }
  void answer(std::uint64_t call, std::string_view message, bool last);
  bool push(std::uint64_t call, std::string_view message);
  void stream(std::uint64_t call, Exchange::Next next);
  void go_on(std::uint64_t call, Exchange::Step step);
  void set_on_close(std::uint64_t call, std::function<void()> callback);
  bool has_hung_up() const;
  void abandon(std::uint64_t call);
  Core& core() { return core_; }

 private:
  enum class Stage {
    open,
    ended,    // the peer sends no more
    refused,  // the peer was told why; what it still sends is thrown away
    closed,
  };

  void wait_for_turn();
  void handle_events(std::uint32_t events);
  void read();
  void discard();
  void handle_ready();
  void dispatch(std::string_view message);
  void take_step();
  void ask_stream();
  void fail(std::uint64_t call);
  void answer_failure(const Exchange& exchange);
  void finish_call();

  void send(std::string_view message);
  void write(std::string_view bytes);
  bool flush();
  void refuse(std::string_view error, const Json& parameters);
  bool settle();
  void update_events();

  std::size_t unsent_bytes() const { return output_.size() - sent_; }
  bool is_output_full() const {
    return unsent_bytes() + (has_turn_ ? core_.turn_output.size() : 0) >= core_.limits.output_bytes;
  }
  bool may_read() const {
    return stage_ == Stage::open && !handling_ && !ready_ &&
           unsent_bytes() < core_.limits.output_bytes;
  }

  Core& core_;
  const Fd socket_;
  const Peer peer_;
  Account account_;
  std::uint32_t events_ = 0;  // that are watched
  std::uint32_t noted_ = 0;   // that have happened

  Stage stage_ = Stage::open;
  bool has_turn_ = false;
  bool waits_ = false;      // for a turn
  bool ready_ = false;      // the next turn is for more than what happens on the socket
  bool shut_down_ = false;  // a refused peer has been sent everything

  Input input_;
  std::string output_;  // what the socket did not take at once; it has taken [0, sent_) since
  std::size_t sent_ = 0;

  std::uint64_t call_ = 0;
  bool handling_ = false;
  bool oneway_ = false;
  Exchange::Next next_;
  Exchange::Step step_;  // its call is the next message of the input again
  std::function<void()> on_close_;
  std::shared_ptr<Exchange::State> spare_;  // of the call before, to save an allocation

  // Since when a message has been incomplete, or the peer refused.
  std::optional<std::chrono::steady_clock::time_point> waiting_since_;
  std::size_t discarded_bytes_ = 0;
};

struct Exchange::State {
  ~State();
  std::shared_ptr<Connection> open() const;  // nullptr: nothing can be answered any more

  std::weak_ptr<Connection> connection;
  std::uint64_t call = 0;
  Peer peer{};
  bool more = false;
  bool oneway = false;
};

}  // namespace sessreg::varlink
