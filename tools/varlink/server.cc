#include "varlink/server.h"

#include <errno.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <time.h>

#include <algorithm>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "varlink/connection.h"
#include "varlink/core.h"
#include "varlink/introspection.h"
#include "varlink/listener.h"

namespace sessreg::varlink {

namespace {

Fd make_poller() {
  Fd poller(epoll_create1(EPOLL_CLOEXEC));
  if (!poller) throw std::system_error(errno, std::generic_category(), "no epoll(7)");
  return poller;
}

Turns<Connection*>::Time processor_time() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace

Core::Core(sd_event* its_loop, const Limits& its_limits, Log its_log)
    : loop(its_loop),
      limits(its_limits),
      poller(make_poller()),
      accounts(limits),
      turns(limits.uid_time),
      parser(limits.message_bytes),
      scratch(limits.turn_bytes),
      log_(std::move(its_log)) {}

void Core::remove_connection(uid_t uid) {
  if (accounts.remove_connection(uid)) turns.forget(uid);
}

void Core::log(int priority, const std::string& line) const {
  if (log_) log_(priority, line);
}

class Server::Impl final : public Core {
 public:
  Impl(sd_event* its_loop, ServiceInfo info, Log its_log, const Limits& its_limits)
      : Core(its_loop, its_limits, std::move(its_log)),
        introspection(std::move(info)),
        listener(*this,
                 [this](std::shared_ptr<Connection> connection) {
                   const Connection* key = connection.get();
                   connections_.emplace(key, std::move(connection));
                 }),
        events_(limits.connections + kSpareEvents) {
    sd_event_source* source = nullptr;
    if (sd_event_add_io(loop, &source, poller.get(), EPOLLIN, on_events, this) < 0)
      throw std::bad_alloc();
    happened_.reset(source);
    if (sd_event_add_defer(loop, &source, on_turns, this) < 0) throw std::bad_alloc();
    due_.reset(source);
    sd_event_source_set_enabled(due_.get(), SD_EVENT_OFF);
    // Whatever peers do, time passes, and the loop's other work is done.
    for (const auto& each : {happened_.get(), due_.get()})
      sd_event_source_set_priority(each, SD_EVENT_PRIORITY_NORMAL + 1);
  }

  ~Impl() override {
    listener.stop();
    const auto last = connections_;
    for (const auto& [key, connection] : last)
      connection->close();
  }

  void route(const Call& call, Exchange& exchange) override { introspection.route(call, exchange); }
  void turns_are_due() override {
    if (!has_round_) sd_event_source_set_enabled(due_.get(), SD_EVENT_ONESHOT);
  }
  void watch_clock() override;
  void forget(Connection& connection) override { connections_.erase(&connection); }

  Introspection introspection;
  Listener listener;

 private:
  // For listening sockets. If there are more, some events are seen a round later.
  static constexpr std::size_t kSpareEvents = 8;

  static int on_events(sd_event_source*, int, std::uint32_t, void* self);
  static int on_turns(sd_event_source*, void* self);
  static int on_clock(sd_event_source*, std::uint64_t, void* self);
  void round();
  void look_around();
  void serve();
  template <class Work>
  void guarded(Connection& connection, Work work);

  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
  std::vector<epoll_event> events_;
  EventSource happened_;
  EventSource due_;
  bool has_round_ = false;
  EventSource clock_;
};

int Server::Impl::on_events(sd_event_source*, int, std::uint32_t, void* self) {
  static_cast<Impl*>(self)->round();
  return 0;
}

int Server::Impl::on_turns(sd_event_source*, void* self) {
  static_cast<Impl*>(self)->round();
  return 0;
}

void Server::Impl::round() {
  has_round_ = true;
  look_around();
  if (!turns.empty()) serve();
  has_round_ = false;
  if (!turns.empty()) turns_are_due();
}

// Notes everything that has happened, and lets in who waits for it.
void Server::Impl::look_around() {
  const int count = epoll_wait(poller.get(), events_.data(), static_cast<int>(events_.size()), 0);
  bool has_newcomers = false;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr) {
      has_newcomers = true;
      continue;
    }
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    guarded(connection, [&] { connection.note(event.events); });
  }
  if (has_newcomers) listener.accept_waiting();
}

void Server::Impl::serve() {
  const auto ends = std::chrono::steady_clock::now() + limits.round_time;
  do {
    const bool counts = turns.is_contended();
    const auto began = counts ? processor_time() : Turns<Connection*>::Time();
    Connection& connection = *turns.next();
    guarded(connection, [&] { connection.take_turn(); });
    if (counts) turns.used(processor_time() - began);
  } while (!turns.empty() && std::chrono::steady_clock::now() < ends);
}

// The loop is C code: nothing may be thrown through it.
template <class Work>
void Server::Impl::guarded(Connection& connection, Work work) {
  const auto keep_alive = connection.shared_from_this();
  try {
    work();
  } catch (const std::exception& e) {
    log(LOG_ERR, std::string("a connection was closed: ") + e.what());
    connection.close();
  }
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
