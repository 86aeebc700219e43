#include "sessregd/site_loop.h"

#include <fmt/core.h>
#include <syslog.h>

#include <exception>

namespace sessreg {

EventSource SiteLoop::after(std::chrono::microseconds time, std::function<void()> callback) const {
  return EventSource::after(loop_, time, guarded(std::move(callback)));
}

EventSource SiteLoop::soon(std::function<void()> callback) const {
  return EventSource::soon(loop_, guarded(std::move(callback)));
}

std::optional<ProcessWatch> SiteLoop::watch(const ProcessId& id, bool& ret_gone,
                                            std::function<void()> callback) const {
  return ProcessWatch::watch(loop_, id, ret_gone, guarded(std::move(callback)));
}

std::function<void()> SiteLoop::guarded(std::function<void()> callback) const {
  return [this, callback = std::move(callback)] {
    try {
      callback();
    } catch (const std::exception& error) {
      log_(LOG_ERR, fmt::format("site {}: {}", site_, error.what()));
    }
  };
}

}  // namespace sessreg
