// A small Varlink service in a process of its own, and a peer that may misbehave.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "../support/child.h"
#include "../support/temp_dir.h"
#include "base/fd.h"
#include "varlink/client.h"
#include "varlink/server.h"

namespace toy {

// org.example.Toy: Echo(text), Later(ms, text), Hold(), Forget(), Throw(), Refuse(), Who(),
// Stats(), Note(text) and Notes(), Big(bytes), Count(to) and Endless() as streams, Watch(),
// Shout(bytes) to all watchers, Climb(steps, fail, text) in steps, Burn(us) of processor time, which
// answers how often that was done.
class ToyServer {
 public:
  // `prepare` is called in the new process, first.
  explicit ToyServer(sessreg::varlink::Limits limits = {}, std::function<void()> prepare = {});

  const std::string& path() const { return path_; }
  pid_t pid() const { return child_->pid(); }
  // Stops its process, until run() is called: what peers do meanwhile is there all at once.
  void stop() const;
  void run() const;
  // Called over a connection of its own.
  sessreg::varlink::Json call(std::string_view member,
                              const sessreg::varlink::Json& parameters = {}) const;
  long stat(const char* name) const { return call("Stats").at(name).get<long>(); }
  // Waits until it is so, up to half a minute.
  bool eventually(const std::function<bool(const ToyServer&)>& so) const;

 private:
  TempDir directory_;
  std::string path_;
  std::unique_ptr<Child> child_;
};

// What the calling thread does counts as that user's.
class AsUser {
 public:
  explicit AsUser(uid_t uid);
  ~AsUser();
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;
};

// False, with a remark that this was not tried.
bool is_root(const char* what);

std::string toy_call(std::string_view member, const sessreg::varlink::Json& parameters = {},
                     sessreg::varlink::CallFlags flags = {});

// Bytes as they are.
class RawPeer {
 public:
  explicit RawPeer(const std::string& path);

  // False: not everything was taken within half a minute, or the other end has closed.
  bool send(std::string_view bytes) const;
  // As much as is taken at once.
  std::size_t send_some(std::string_view bytes) const;
  // Without its NUL; nullopt: closed, or nothing came for half a minute (which fails the test).
  std::optional<std::string> receive();
  sessreg::varlink::Json receive_json();
  std::string receive_error() { return receive_json().value("error", "none"); }
  bool has_closed() { return !receive().has_value(); }
  void end_sending() const;
  void close() { socket_ = sessreg::Fd(); }

 private:
  sessreg::Fd socket_;
  std::string buffer_;
};

}  // namespace toy
