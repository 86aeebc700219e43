// Event sources of sd-event(3) that end with their owner.
//
// Thread safety: none; they belong to the loop's thread.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "host/process.h"

namespace sessreg {

// A callback on the loop. It may destroy or replace its own source; it must not throw. It has
// priority over the peers on the socket, so that they cannot keep the daemon from its own work.
class EventSource {
 public:
  EventSource() = default;
  EventSource(EventSource&&) noexcept = default;
  EventSource& operator=(EventSource&&) noexcept = default;

  // Once, after at least that time and at most a fifth more.
  static EventSource after(sd_event* loop, std::chrono::microseconds time,
                           std::function<void()> callback);
  // Once, at the next turn of the loop.
  static EventSource soon(sd_event* loop, std::function<void()> callback);

  explicit operator bool() const { return state_ != nullptr; }
  void reset() { state_.reset(); }

 private:
  friend class ProcessWatch;
  struct State;
  std::shared_ptr<State> state_;
};

// Calls back once, when a process has gone; uses pidfd_open(2).
class ProcessWatch {
 public:
  // nullopt: it has gone already (ret_gone), or it cannot be watched, because the descriptors that
  // are left are kept for connections and for /proc.
  static std::optional<ProcessWatch> watch(sd_event* loop, const ProcessId& id, bool& ret_gone,
                                           std::function<void()> callback);

 private:
  ProcessWatch() = default;
  Fd pidfd_;
  EventSource source_;  // destroyed before the descriptor
};

}  // namespace sessreg
