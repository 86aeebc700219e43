#include "varlink/accounts.h"

namespace sessreg::varlink {

const char* Accounts::add_connection(uid_t uid) {
  const auto found = users_.find(uid);
  const std::size_t held = found == users_.end() ? 0 : found->second.connections;
  if (connections_ >= limits_.connections) return "the service has no connection left";
  if (uid != 0) {
    const std::size_t left = limits_.connections - connections_;
    if (held >= limits_.uid_connections) return "your user holds too many connections";
    if (left <= limits_.root_connections) return "the last connections are kept for root";
    if (left <= limits_.kept_connections && held >= limits_.few_connections)
      return "the last connections are kept for users that hold few";
  }
  ++users_[uid].connections;
  ++connections_;
  return nullptr;
}

bool Accounts::remove_connection(uid_t uid) {
  const auto user = users_.find(uid);
  --connections_;
  if (--user->second.connections > 0) return false;
  users_.erase(user);
  return true;
}

bool Accounts::take(uid_t uid, std::size_t bytes) {
  const std::size_t total =
      uid == 0 ? limits_.total_bytes : limits_.total_bytes - limits_.root_bytes;
  if (bytes_ + bytes > total) return false;
  User& user = users_[uid];
  if (uid != 0 && user.bytes + bytes > limits_.uid_bytes) return false;
  user.bytes += bytes;
  bytes_ += bytes;
  return true;
}

void Accounts::give_back(uid_t uid, std::size_t bytes) {
  if (bytes == 0) return;
  users_[uid].bytes -= bytes;
  bytes_ -= bytes;
}

}  // namespace sessreg::varlink
