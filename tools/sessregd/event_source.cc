#include "sessregd/event_source.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace sessreg {
namespace {

// Kept for the connections on the socket, and for what is opened briefly.
constexpr rlim_t kKeptDescriptors = 5000;

// The kernel gives out the lowest free number, so a high one shows that many are in use.
bool is_one_too_many(int fd) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  const rlim_t kept = std::min(kKeptDescriptors, limit.rlim_cur / 2);
  return static_cast<rlim_t>(fd) >= limit.rlim_cur - kept;
}

void go_first(sd_event_source* source) {
  sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
}

}  // namespace

struct EventSource::State : std::enable_shared_from_this<State> {
  sd_event_source* source = nullptr;
  std::function<void()> callback;

  ~State() { sd_event_source_disable_unref(source); }

  int run() {
    const auto self = shared_from_this();  // the callback may drop the last other reference
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    callback();
    return 0;
  }

  static int on_time(sd_event_source*, std::uint64_t, void* self) {
    return static_cast<State*>(self)->run();
  }
  static int on_turn(sd_event_source*, void* self) { return static_cast<State*>(self)->run(); }
  static int on_io(sd_event_source*, int, std::uint32_t, void* self) {
    return static_cast<State*>(self)->run();
  }
};

EventSource EventSource::after(sd_event* loop, std::chrono::microseconds time,
                               std::function<void()> callback) {
  EventSource result;
  result.state_ = std::make_shared<State>();
  result.state_->callback = std::move(callback);
  const auto microseconds = static_cast<std::uint64_t>(time.count());
  const std::uint64_t accuracy = std::max<std::uint64_t>(microseconds / 5, 1);
  if (sd_event_add_time_relative(loop, &result.state_->source, CLOCK_MONOTONIC, microseconds,
                                 accuracy, &State::on_time, result.state_.get()) < 0)
    throw std::bad_alloc();
  go_first(result.state_->source);
  return result;
}

EventSource EventSource::soon(sd_event* loop, std::function<void()> callback) {
  EventSource result;
  result.state_ = std::make_shared<State>();
  result.state_->callback = std::move(callback);
  if (sd_event_add_defer(loop, &result.state_->source, &State::on_turn, result.state_.get()) < 0)
    throw std::bad_alloc();
  go_first(result.state_->source);
  return result;
}

std::optional<ProcessWatch> ProcessWatch::watch(sd_event* loop, const ProcessId& id, bool& ret_gone,
                                                std::function<void()> callback) {
  ret_gone = false;
  ProcessWatch result;
  result.pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, id.pid, 0)));
  if (!result.pidfd_) {
    ret_gone = errno == ESRCH;
    return std::nullopt;
  }
  if (is_one_too_many(result.pidfd_.get())) return std::nullopt;
  // Checked after opening: the pid may have been reused before that.
  const auto stat = read_process_stat(id.pid);
  if (!stat || (id.start_ticks != 0 && stat->start_ticks != id.start_ticks)) {
    ret_gone = true;
    return std::nullopt;
  }
  result.source_.state_ = std::make_shared<EventSource::State>();
  result.source_.state_->callback = std::move(callback);
  if (sd_event_add_io(loop, &result.source_.state_->source, result.pidfd_.get(), EPOLLIN,
                      &EventSource::State::on_io, result.source_.state_.get()) < 0)
    return std::nullopt;
  go_first(result.source_.state_->source);
  return result;
}

}  // namespace sessreg
