#include "varlink/connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>

#include <stdexcept>
#include <utility>

#include "base/text.h"
#include "varlink/write.h"

namespace sessreg::varlink {
namespace {

using Clock = std::chrono::steady_clock;

std::string connection_error(std::string_view name) {
  return std::string(kConnectionInterface).append(".").append(name);
}

// Frees a buffer that has grown, and keeps a small one for the next turn.
void clear_output(std::string& output) {
  constexpr std::size_t kKeptBytes = 1 << 20;
  output.clear();
  if (output.capacity() > kKeptBytes) output.shrink_to_fit();
}

}  // namespace

Connection::Connection(Core& core, Fd socket, const Peer& peer)
    : core_(core),
      socket_(std::move(socket)),
      peer_(peer),
      account_(core.accounts, peer.uid),
      input_(core.limits.message_bytes, core.scratch) {}

Connection::~Connection() {
  // Before the connection is given back: the user's entry goes with the last one.
  (void)account_.hold(0);
  core_.remove_connection(peer_.uid);
}

bool Connection::start() {
  events_ = EPOLLIN;
  epoll_event event{};
  event.events = events_;
  event.data.ptr = this;
  return epoll_ctl(core_.poller.get(), EPOLL_CTL_ADD, socket_.get(), &event) == 0;
}

void Connection::note(std::uint32_t events) {
  noted_ |= events;
  wait_for_turn();
}

void Connection::wait_for_turn() {
  if (waits_) return;
  // A call that was begun is finished first: its user holds one message for later, not one for each
  // connection.
  if (step_)
    core_.turns.add_first(peer_.uid, this);
  else
    core_.turns.add(peer_.uid, this);
  waits_ = true;
  core_.turns_are_due();
}

void Connection::handle_events(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !flush()) return close();
  if (stage_ == Stage::refused) return discard();
  if (may_read()) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !ready_) {
    // The peer has gone while a call waits for its answer: nobody is there to get it.
    close();
  }
}

void Connection::read() {
  const std::span<char> space = input_.space();
  const ssize_t got = recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
  if (got > 0) {
    input_.add(static_cast<std::size_t>(got));
  } else if (got == 0) {
    stage_ = Stage::ended;
  } else if (errno != EAGAIN && errno != EINTR) {
    close();
  }
}

void Connection::discard() {
  for (int i = 0; i < 4; ++i) {
    const ssize_t got =
        recv(socket_.get(), core_.scratch.begin(), core_.scratch.bytes(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got <= 0) return close();
    discarded_bytes_ += static_cast<std::size_t>(got);
    if (discarded_bytes_ > core_.limits.linger_bytes) return close();
  }
  update_events();
}

void Connection::take_turn() {
  waits_ = false;
  if (const std::uint32_t events = std::exchange(noted_, 0); events != 0) handle_events(events);
  ready_ = false;
  if (stage_ == Stage::closed) return;
  if (stage_ != Stage::refused) {
    has_turn_ = true;
    core_.turn_output.clear();
    try {
      handle_ready();
    } catch (...) {
      has_turn_ = false;
      throw;
    }
    has_turn_ = false;
    if (stage_ == Stage::closed) return;
    write(core_.turn_output);
    clear_output(core_.turn_output);
  }
  if (stage_ == Stage::closed) return;
  if (stage_ == Stage::ended && !ready_ && !handling_ && unsent_bytes() == 0) return close();
  if (settle()) update_events();
}

void Connection::handle_ready() {
  std::size_t messages = 0, bytes = 0;
  const auto ends = Clock::now() + core_.limits.turn_time;
  while (stage_ == Stage::open || stage_ == Stage::ended) {
    if (is_output_full()) {
      write(core_.turn_output);
      bytes += core_.turn_output.size();
      core_.turn_output.clear();
      if (is_output_full()) return;
    }
    if (messages >= core_.limits.turn_messages || bytes >= core_.limits.turn_bytes ||
        (messages > 0 && Clock::now() >= ends)) {
      if (!handling_ || next_ || step_) {
        ready_ = true;
        wait_for_turn();
      }
      return;
    }
    if (handling_) {
      if (!next_ && !step_) return;
      if (step_)
        take_step();
      else
        ask_stream();
      ++messages;
      continue;
    }
    std::string_view message;
    const Input::Next next = input_.next(message);
    if (next == Input::Next::too_long)
      return refuse("MessageTooLong", {{"limit_bytes", core_.limits.message_bytes}});
    if (next == Input::Next::incomplete) return;
    bytes += message.size();
    ++messages;
    dispatch(message);
    if (step_) input_.put_back(message);
  }
}

void Connection::dispatch(std::string_view message) {
  Call call;
  if (const Fault fault = core_.parser.parse_call(message, call); fault != Fault::none)
    return refuse("InvalidMessage", {{"reason", text(fault)}});
  auto state = std::move(spare_);
  if (!state) state = std::make_shared<Exchange::State>();
  state->connection = weak_from_this();
  state->call = ++call_;
  state->peer = peer_;
  state->more = call.more;
  state->oneway = call.oneway;
  handling_ = true;
  oneway_ = call.oneway;
  waiting_since_.reset();
  try {
    Exchange exchange(state);
    if (call.upgrade) throw method_not_implemented(call.method);
    core_.route(call, exchange);
  } catch (...) {
    answer_failure(Exchange(state));
  }
  // If nobody else holds the exchange, nobody can answer any more.
  if (state.use_count() == 1) {
    if (!next_) abandon(state->call);
    spare_ = std::move(state);
  }
}

void Connection::take_step() {
  const std::uint64_t number = call_;
  std::string_view message;
  Call call;
  Fault fault = Fault::not_json;
  if (input_.next(message) == Input::Next::message) fault = core_.parser.parse_call(message, call);
  // The function may end its own call.
  auto step = std::exchange(step_, nullptr);
  if (fault != Fault::none) {
    // It was understood before: there is no memory.
    finish_call();
    return refuse("OutOfMemory", Json::object());
  }
  try {
    step(call);
  } catch (...) {
    fail(number);
  }
  if (!is_handling(number)) return;
  if (!step_) step_ = std::move(step);
  input_.put_back(message);
}

void Connection::ask_stream() {
  const std::uint64_t call = call_;
  // The function may end its own call.
  auto next = std::exchange(next_, nullptr);
  bool last = false;
  std::string message;
  try {
    const std::optional<std::string> item = next(last);
    if (!is_handling(call)) return;
    next_ = std::move(next);
    last |= !item.has_value();
    if (!append_formatted_reply(message, item ? std::string_view(*item) : "{}", !last))
      throw std::invalid_argument("a NUL in an answer");
  } catch (...) {
    return fail(call);
  }
  answer(call, message, last);
}

// This one and the next are called where an exception was caught.
void Connection::fail(std::uint64_t call) {
  auto state = std::make_shared<Exchange::State>();
  state->connection = weak_from_this();
  state->call = call;
  state->oneway = oneway_;
  answer_failure(Exchange(state));
}

void Connection::answer_failure(const Exchange& failed) {
  Exchange exchange = failed;
  try {
    throw;
  } catch (const CallError& error) {
    exchange.error(error.name(), error.parameters());
  } catch (const std::exception& e) {
    core_.log(LOG_ERR, "a call failed: " + escape_for_terminal(e.what()));
    exchange.error(connection_error("InternalError"));
  } catch (...) {
    core_.log(LOG_ERR, "a call failed");
    exchange.error(connection_error("InternalError"));
  }
}

void Connection::abandon(std::uint64_t call) {
  if (!is_handling(call)) return;
  core_.log(LOG_ERR, "a call was left without an answer");
  std::string message;
  if (!oneway_) append_error(message, connection_error("InternalError"), Json::object());
  answer(call, message, true);
}

void Connection::finish_call() {
  handling_ = false;
  // All may hold exchanges, whose destructors call back into this object.
  const auto next = std::exchange(next_, nullptr);
  const auto step = std::exchange(step_, nullptr);
  const auto on_close = std::exchange(on_close_, nullptr);
}

void Connection::answer(std::uint64_t call, std::string_view message, bool last) {
  if (!is_handling(call)) return;
  const auto keep_alive = shared_from_this();
  if (last) finish_call();
  if (!message.empty()) send(message);
  if (last && !has_turn_ && stage_ != Stage::closed && !ready_) {
    ready_ = true;
    wait_for_turn();
  }
}

bool Connection::push(std::uint64_t call, std::string_view message) {
  if (!is_handling(call)) return false;
  const auto keep_alive = shared_from_this();
  send(message);
  if (stage_ != Stage::closed && unsent_bytes() > core_.limits.push_bytes) {
    core_.log(LOG_NOTICE, "a watcher of uid " + std::to_string(peer_.uid) +
                              " reads too slowly, and was dropped");
    close();
  }
  return is_handling(call);
}

void Connection::stream(std::uint64_t call, Exchange::Next next) {
  if (!is_handling(call)) return;
  next_ = std::move(next);
  if (has_turn_ || ready_) return;
  ready_ = true;
  wait_for_turn();
}

// Only while the call is being handled or in a step of its own: later its message has gone.
void Connection::go_on(std::uint64_t call, Exchange::Step step) {
  if (is_handling(call) && has_turn_) step_ = std::move(step);
}

bool Connection::has_hung_up() const {
  pollfd socket{socket_.get(), 0, 0};
  return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLHUP | POLLERR)) != 0;
}

void Connection::set_on_close(std::uint64_t call, std::function<void()> callback) {
  if (is_handling(call)) on_close_ = std::move(callback);
}

void Connection::send(std::string_view message) {
  if (has_turn_) {
    core_.turn_output.append(message);
    return;
  }
  write(message);
  if (stage_ != Stage::closed && settle()) update_events();
}

// Whatever the socket does not take at once waits in output_.
void Connection::write(std::string_view bytes) {
  if (stage_ == Stage::closed) return;
  if (unsent_bytes() == 0) {
    while (!bytes.empty()) {
      const ssize_t sent =
          ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) break;
      if (sent < 0) return close();
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  if (!bytes.empty()) output_.append(bytes);
}

// False: the peer has gone.
bool Connection::flush() {
  while (unsent_bytes() > 0) {
    const ssize_t sent =
        ::send(socket_.get(), output_.data() + sent_, unsent_bytes(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      if (errno != EAGAIN) return false;
      break;
    }
    sent_ += static_cast<std::size_t>(sent);
  }
  if (unsent_bytes() == 0) {
    output_ = std::string();
    sent_ = 0;
  } else if (sent_ >= output_.size() / 2) {
    output_.erase(0, sent_);
    sent_ = 0;
    output_.shrink_to_fit();
  }
  return true;
}

void Connection::refuse(std::string_view error, const Json& parameters) {
  std::string message;
  append_error(message, connection_error(error), parameters);
  input_.clear();
  stage_ = Stage::refused;
  waiting_since_ = Clock::now();
  core_.watch_clock();
  send(message);
}

// Accounts for what is held after a turn. False: it is too much, and the connection is closed.
bool Connection::settle() {
  input_.keep();
  if (stage_ != Stage::refused) {
    const bool half = may_read() && !input_.is_empty();
    if (!half) {
      waiting_since_.reset();
    } else if (!waiting_since_) {
      waiting_since_ = Clock::now();
      core_.watch_clock();
    }
  }
  const std::size_t output_bytes = unsent_bytes() == 0 ? 0 : output_.capacity();
  if (account_.hold(input_.held_bytes() + output_bytes)) return true;
  core_.log(LOG_NOTICE, "connections of uid " + std::to_string(peer_.uid) +
                            " hold too much memory: one was closed");
  if (output_bytes == 0 && !handling_) {
    // The peer wrote too much, but still reads: it can be told.
    refuse("OutOfMemory", Json::object());
    return stage_ != Stage::closed;
  }
  close();
  return false;
}

void Connection::update_events() {
  if (stage_ == Stage::closed) return;
  std::uint32_t events = 0;
  if (may_read() || stage_ == Stage::refused) events |= EPOLLIN;
  if (unsent_bytes() > 0) events |= EPOLLOUT;
  if (stage_ == Stage::refused && unsent_bytes() == 0 && !shut_down_) {
    shut_down_ = true;
    shutdown(socket_.get(), SHUT_WR);
  }
  if (events == events_) return;
  events_ = events;
  epoll_event event{};
  event.events = events_;
  event.data.ptr = this;
  if (epoll_ctl(core_.poller.get(), EPOLL_CTL_MOD, socket_.get(), &event) != 0) close();
}

bool Connection::look_at_clock(Clock::time_point now) {
  if (!waiting_since_ || stage_ == Stage::closed) return false;
  const auto waited = now - *waiting_since_;
  if (stage_ == Stage::refused) {
    if (waited < core_.limits.linger) return true;
    close();
    return false;
  }
  if (waited < core_.limits.half_message) return true;
  refuse("HalfMessage", {{"limit_ms", core_.limits.half_message.count()}});
  if (stage_ != Stage::closed) update_events();
  return stage_ != Stage::closed;
}

void Connection::close() {
  if (stage_ == Stage::closed) return;
  const auto keep_alive = shared_from_this();
  stage_ = Stage::closed;
  epoll_ctl(core_.poller.get(), EPOLL_CTL_DEL, socket_.get(), nullptr);
  if (std::exchange(waits_, false)) core_.turns.remove(peer_.uid, this);
  handling_ = false;
  const auto next = std::exchange(next_, nullptr);
  const auto step = std::exchange(step_, nullptr);
  const auto on_close = std::exchange(on_close_, nullptr);
  core_.forget(*this);
  if (!on_close) return;
  try {
    on_close();
  } catch (const std::exception& e) {
    core_.log(LOG_ERR, "after a connection's end: " + escape_for_terminal(e.what()));
  }
}

}  // namespace sessreg::varlink
