// The loop and the log, as the parts of one site use them.
//
// The loop is C code: nothing may be thrown through it. What a callback throws is logged, and the
// next tick tries again.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "sessregd/event_source.h"
#include "sessregd/log.h"

namespace sessreg {

class SiteLoop {
 public:
  SiteLoop(sd_event* loop, std::string site, Log log)
      : loop_(loop), site_(std::move(site)), log_(std::move(log)) {}

  // As in event_source.h. This must outlive what they return.
  EventSource after(std::chrono::microseconds time, std::function<void()> callback) const;
  EventSource soon(std::function<void()> callback) const;
  std::optional<ProcessWatch> watch(const ProcessId& id, bool& ret_gone,
                                    std::function<void()> callback) const;

  void log(int priority, const std::string& line) const { log_(priority, line); }

 private:
  std::function<void()> guarded(std::function<void()> callback) const;

  sd_event* loop_;
  std::string site_;
  Log log_;
};

}  // namespace sessreg
