// sessregd with sessions without a process, and an application that is its client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server.h"
#include "task.h"

namespace bench {

// One connection of an application.
class WebClient {
 public:
  // Waiting for an answer, it sleeps, or keeps asking for it: what it takes to wake up a core is the
  // machine's affair, and may be more than the answer.
  enum class Waits { asleep, awake };
  explicit WebClient(const std::string& socket, Waits waits = Waits::asleep)
      : connection_(connect_to(socket)), waits_(waits) {}

  // Returns its token. Throws if there is none.
  std::string admit(std::string_view user, std::string_view device);
  // Throws unless the answer begins like that.
  void call(std::string_view method, std::string_view parameters, std::string_view answer);

 private:
  std::string round_trip(std::string_view method, std::string_view parameters);

  sessreg::Fd connection_;
  const Waits waits_;
  std::string message_;
};

class WebDaemon {
 public:
  // With that limit, and so many sessions, each of a user and a device of its own. `core`: the one it
  // is to be on; -1: any.
  WebDaemon(const std::string& directory, std::uint32_t limit, std::uint32_t sessions, int core);

  std::string socket() const { return directory_ + "/socket"; }
  std::string registry() const { return directory_ + "/site.reg"; }

 private:
  const std::string directory_;
  Server server_;
};

// Admit of a random user by a random device, and Close of its token.
std::unique_ptr<Task> daemon_pair(std::shared_ptr<WebDaemon> daemon);

}  // namespace bench
