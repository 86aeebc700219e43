// Accepts connections; turns away those that are too many, and tells them why.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "varlink/connection.h"
#include "varlink/core.h"

namespace sessreg::varlink {

class Listener {
 public:
  using OnConnection = std::function<void(std::shared_ptr<Connection>)>;
  Listener(Core& core, OnConnection on_connection)
      : core_(core), on_connection_(std::move(on_connection)) {}

  [[nodiscard]] std::optional<Error> add(Fd socket);
  void stop();
  // Lets in who waits for it, for accept_time at most: those who connect and hang up without end must
  // not keep the others from their answers.
  void accept_waiting();

 private:
  static int on_resume(sd_event_source*, std::uint64_t, void* self);
  void accept_from(int listening, std::chrono::steady_clock::time_point ends);
  void admit(Fd socket);
  void pause(int error);
  void watch(bool watched);
  void log_refusal(uid_t uid, const char* reason);

  Core& core_;
  const OnConnection on_connection_;
  std::vector<Fd> sockets_;
  EventSource resume_;
  std::chrono::steady_clock::time_point logged_{};
  std::size_t unlogged_ = 0;
};

}  // namespace sessreg::varlink
