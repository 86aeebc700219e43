// Who holds how much of a server: connections and bytes, for each user and in total.
//
// Thread safety: none.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <unordered_map>

#include "varlink/limits.h"

namespace sessreg::varlink {

class Accounts {
 public:
  explicit Accounts(const Limits& limits) : limits_(limits) {}

  // nullptr, or why that user gets no connection.
  const char* add_connection(uid_t uid);
  // True: it was the user's last one.
  bool remove_connection(uid_t uid);

  // False: the user, or all together, would hold too much.
  [[nodiscard]] bool take(uid_t uid, std::size_t bytes);
  void give_back(uid_t uid, std::size_t bytes);

  std::size_t connections() const { return connections_; }
  std::size_t bytes() const { return bytes_; }

 private:
  struct User {
    std::size_t connections = 0;
    std::size_t bytes = 0;
  };

  const Limits& limits_;
  std::unordered_map<uid_t, User> users_;  // those that hold a connection
  std::size_t connections_ = 0;
  std::size_t bytes_ = 0;
};

// What one connection has taken.
class Account {
 public:
  Account(Accounts& accounts, uid_t uid) : accounts_(accounts), uid_(uid) {}
  ~Account() { accounts_.give_back(uid_, held_bytes_); }
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  // False: the account is unchanged.
  [[nodiscard]] bool hold(std::size_t bytes) {
    if (bytes > held_bytes_) {
      if (!accounts_.take(uid_, bytes - held_bytes_)) return false;
    } else {
      accounts_.give_back(uid_, held_bytes_ - bytes);
    }
    held_bytes_ = bytes;
    return true;
  }

 private:
  Accounts& accounts_;
  const uid_t uid_;
  std::size_t held_bytes_ = 0;
};

}  // namespace sessreg::varlink
