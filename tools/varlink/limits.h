// What one peer, one user and all of them together may cost a Varlink server.
#pragma once

#include <chrono>
#include <cstddef>

namespace sessreg::varlink {

// A batch of some 2,500 tokens fits; a larger one can be split by the caller.
inline constexpr std::size_t kMaxMessageBytes = 1 << 20;

// Calls are a flat object inside an object; deeper ones only cost stack and time.
inline constexpr std::size_t kMaxDepth = 16;

// No method takes more parameters, and comparing every key with every other stays cheap.
inline constexpr std::size_t kMaxKeys = 32;

struct Limits {
  std::size_t message_bytes = kMaxMessageBytes;

  // Buffered for all connections together: what a small host can spare.
  std::size_t total_bytes = 64 << 20;
  // The last of these are root's: whoever fills the rest must not keep root from revoking them.
  std::size_t root_bytes = 4 << 20;
  // For one user, so that nobody can take what the others need: 16 messages of the largest size.
  std::size_t uid_bytes = 16 << 20;

  // Above this much unsent output, a connection's next call waits, and a stream is not asked for
  // more. About what a socket takes, so that a quick reader never runs dry.
  std::size_t output_bytes = 256 << 10;
  // Above this much unsent output, a watcher is dropped: it is some thousand events behind.
  std::size_t push_bytes = 1 << 20;

  // One local write takes microseconds: a peer that needs half a minute is stuck or malicious.
  std::chrono::milliseconds half_message{30'000};
  // How long, and for how many bytes, a refused peer may go on writing before it has read why.
  std::chrono::milliseconds linger{2'000};
  std::size_t linger_bytes = 4 << 20;

  // One descriptor each; below the hard limit that systemd gives to services (524,288).
  std::size_t connections = 4096;
  // The last ones are for root and for users that hold fewer than `few_connections`.
  std::size_t kept_connections = 256;
  std::size_t few_connections = 8;
  // The very last ones are for root alone: many users with few connections each can fill the rest.
  std::size_t root_connections = 16;
  // For one user other than root.
  std::size_t uid_connections = 1024;

  // No descriptor or memory left: somebody has to close something first.
  std::chrono::milliseconds accept_pause{100};

  // What a connection may do before it is the others' turn.
  std::size_t turn_messages = 64;
  std::size_t turn_bytes = 256 << 10;
  // Some calls are costly. One that does not go on in steps is not stopped.
  std::chrono::microseconds turn_time{2'000};
  // Processor time of one user's connections together before it is another user's turn.
  std::chrono::microseconds uid_time{2'000};
  // How long calls are served before it is looked who else wants something.
  std::chrono::microseconds round_time{5'000};
  // How long before that those are let in who wait for it. A thousand take less than three times as
  // long.
  std::chrono::microseconds accept_time{4'000};
};

}  // namespace sessreg::varlink
