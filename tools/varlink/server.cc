#include "varlink/server.h"

#include <syslog.h>
#include <time.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>
#include <vector>

#include "varlink/connection.h"
#include "varlink/core.h"
#include "varlink/introspection.h"
#include "varlink/listener.h"

namespace sessreg::varlink {

Core::Core(sd_event* its_loop, const Limits& its_limits, Log its_log)
    : loop(its_loop),
      limits(its_limits),
      accounts(limits),
      parser(limits.message_bytes),
      scratch(limits.turn_bytes),
      log_(std::move(its_log)) {}

void Core::log(int priority, const std::string& line) const {
  if (log_) log_(priority, line);
}

class Server::Impl final : public Core {
 public:
  Impl(sd_event* its_loop, ServiceInfo info, Log its_log, const Limits& its_limits)
      : Core(its_loop, its_limits, std::move(its_log)),
        introspection(std::move(info)),
        listener(*this, [this](std::shared_ptr<Connection> connection) {
          const Connection* key = connection.get();
          connections_.emplace(key, std::move(connection));
        }) {}

  ~Impl() override {
    listener.stop();
    const auto last = connections_;
    for (const auto& [key, connection] : last)
      connection->close();
  }

  void route(const Call& call, Exchange& exchange) override { introspection.route(call, exchange); }
  void make_ready(const std::shared_ptr<Connection>& connection) override;
  void watch_clock() override;
  void forget(Connection& connection) override { connections_.erase(&connection); }

  Introspection introspection;
  Listener listener;

 private:
  static int on_turn(sd_event_source*, void* self);
  static int on_clock(sd_event_source*, std::uint64_t, void* self);

  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> ready_;
  EventSource turn_;
  EventSource clock_;
};

// Makes a new source each time: it queues behind what has happened already, where an old one would
// always come first.
void Server::Impl::make_ready(const std::shared_ptr<Connection>& connection) {
  ready_.push_back(connection);
  if (turn_) return;
  sd_event_source* source = nullptr;
  if (sd_event_add_defer(loop, &source, on_turn, this) < 0) throw std::bad_alloc();
  turn_.reset(source);
}

int Server::Impl::on_turn(sd_event_source*, void* self) {
  auto& impl = *static_cast<Impl*>(self);
  impl.turn_.reset();
  const auto due = std::exchange(impl.ready_, {});
  const auto ends = std::chrono::steady_clock::now() + impl.limits.turns_time;
  for (auto next = due.begin(); next != due.end(); ++next) {
    const auto& connection = *next;
    try {
      connection->take_turn();
      if (std::chrono::steady_clock::now() < ends) continue;
      // Connections that had no turn yet come before those that want another one.
      const auto again = std::exchange(impl.ready_, {});
      std::for_each(std::next(next), due.end(), [&](const auto& late) { impl.make_ready(late); });
      std::for_each(again.begin(), again.end(), [&](const auto& late) { impl.make_ready(late); });
      break;
    } catch (const std::exception& e) {
      impl.log(LOG_ERR, std::string("a connection was closed: ") + e.what());
      connection->close();
    }
  }
  return 0;
}

// No connection needs a timer of its own: all that wait are looked at together, and only while
// there are any.
void Server::Impl::watch_clock() {
  if (clock_) return;
  using std::chrono::microseconds;
  const microseconds shortest = std::min(limits.half_message, limits.linger);
  const microseconds every =
      std::clamp<microseconds>(shortest / 4, std::chrono::milliseconds(1), std::chrono::seconds(1));
  sd_event_source* source = nullptr;
  if (sd_event_add_time_relative(loop, &source, CLOCK_MONOTONIC,
                                 static_cast<std::uint64_t>(every.count()), 1000, on_clock,
                                 this) < 0)
    throw std::bad_alloc();
  clock_.reset(source);
}

int Server::Impl::on_clock(sd_event_source*, std::uint64_t, void* self) {
  auto& impl = *static_cast<Impl*>(self);
  impl.clock_.reset();
  const auto now = std::chrono::steady_clock::now();
  bool waiting = false;
  try {
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(impl.connections_.size());
    for (const auto& [key, connection] : impl.connections_)
      all.push_back(connection);
    for (const auto& connection : all)
      waiting |= connection->look_at_clock(now);
    if (waiting) impl.watch_clock();
  } catch (const std::exception& e) {
    impl.log(LOG_ERR, std::string("time limits were not looked at: ") + e.what());
  }
  return 0;
}

Server::Server(sd_event* loop, ServiceInfo info, Log log, Limits limits)
    : impl_(std::make_unique<Impl>(loop, std::move(info), std::move(log), limits)) {}
Server::~Server() = default;

void Server::add(Service& service) {
  impl_->introspection.add(service);
}
std::optional<Error> Server::listen(Fd socket) {
  return impl_->listener.add(std::move(socket));
}
void Server::stop_listening() {
  impl_->listener.stop();
}
std::size_t Server::connections() const {
  return impl_->accounts.connections();
}
std::size_t Server::buffered_bytes() const {
  return impl_->accounts.bytes();
}

}  // namespace sessreg::varlink
