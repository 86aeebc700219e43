// Event sources of sd-event(3) that go with their owner.
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

// A callback on the loop. It may destroy or replace its own source; it must not throw. It comes
// before what peers of the socket want, so that they cannot keep the daemon from its own work.
class EventSource {
 public:
  EventSource() = default;
  EventSource(EventSource&&) noexcept = default;
  EventSource& operator=(EventSource&&) noexcept = default;

  // Once, after that time at the earliest and a fifth of it later at the latest.
  static EventSource after(sd_event* loop, std::chrono::microseconds time,
                           std::function<void()> callback);
  // Once, as soon as the loop turns.
  static EventSource soon(sd_event* loop, std::function<void()> callback);

  explicit operator bool() const { return state_ != nullptr; }
  void reset() { state_.reset(); }

 private:
  friend class ProcessWatch;
  struct State;
  std::shared_ptr<State> state_;
};

// Calls back once when a process has gone, by pidfd_open(2).
class ProcessWatch {
 public:
  // nullopt: it has gone already (ret_gone), or it cannot be watched: of the descriptors, enough
  // are kept for connections and for /proc.
  static std::optional<ProcessWatch> watch(sd_event* loop, const ProcessId& id, bool& ret_gone,
                                           std::function<void()> callback);

 private:
  ProcessWatch() = default;
  Fd pidfd_;
  EventSource source_;  // goes before the descriptor does
};

}  // namespace sessreg
