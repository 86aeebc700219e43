// What the connections of one server share.
#pragma once

#include <systemd/sd-event.h>

#include <memory>
#include <string>

#include "base/fd.h"
#include "varlink/accounts.h"
#include "varlink/input.h"
#include "varlink/message.h"
#include "varlink/server.h"
#include "varlink/turns.h"

namespace sessreg::varlink {

struct EventSourceRelease {
  void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
using EventSource = std::unique_ptr<sd_event_source, EventSourceRelease>;

class Connection;

class Core {
 public:
  Core(sd_event* loop, const Limits& limits, Log log);
  virtual ~Core() = default;
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Passes the call to the service that has the method.
  virtual void route(const Call& call, Exchange& exchange) = 0;
  // A connection waits in `turns` now.
  virtual void turns_are_due() = 0;
  // Some connection waits for something that has a time limit: look_at_clock() is called from time
  // to time.
  virtual void watch_clock() = 0;
  virtual void forget(Connection& connection) = 0;

  // Gives back what Accounts::add_connection() gave.
  void remove_connection(uid_t uid);
  void log(int priority, const std::string& line) const;

  sd_event* const loop;
  const Limits limits;
  // Of the listening sockets (without a pointer) and the connections. All that has happened is
  // taken from it at once, where an event source for each would be served one after the other.
  const Fd poller;
  Accounts accounts;
  Turns<Connection*> turns;
  MessageParser parser;
  Scratch scratch;
  std::string turn_output;  // of the connection whose turn it is

 private:
  const Log log_;
};

}  // namespace sessreg::varlink
