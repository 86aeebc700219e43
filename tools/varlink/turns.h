// Whose turn it is: users take turns, each until it has used its budget of processor time.
//
//   1. Root is next whenever it waits. If it has used its budget, one of the others is served in
//      between.
//   2. The others go round. Who has used more than the budget sits out until that is made up for.
//   3. What is used while nobody else waits need not be reported, and then costs nothing later.
//   4. The items of one user come in the order in which they were added.
//
// Deficit round robin (Shreedhar and Varghese, 1995) over users, with time in the place of bytes.
//
// Thread safety: none.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <unordered_map>

namespace sessreg::varlink {

template <class Item>
class Turns {
 public:
  using Time = std::chrono::nanoseconds;

  explicit Turns(Time budget) : budget_(budget) {}

  // An item may be added again once it was returned by next() or removed.
  void add(uid_t uid, Item item) { add_to(uid).push_back(item); }
  // Before the user's others: what it has begun is finished first.
  void add_first(uid_t uid, Item item) { add_to(uid).push_front(item); }
  // MUST wait.
  void remove(uid_t uid, Item item) {
    User& user = users_.at(uid);
    std::erase(user.waiting, item);
    if (user.waiting.empty()) leave(uid);
  }
  // That user has no more items, and none will be added soon: nothing is kept.
  void forget(uid_t uid) { users_.erase(uid); }

  bool empty() const { return !root_waits_ && round_.empty(); }
  // More than one user waits.
  bool is_contended() const { return round_.size() + (root_waits_ ? 1 : 0) > 1; }

  // MUST NOT be empty.
  Item next() {
    served_ = is_roots_turn() ? 0 : first_of_round();
    if (served_ != 0) root_left_ = budget_;
    std::deque<Item>& waiting = users_.at(served_).waiting;
    Item item = waiting.front();
    waiting.pop_front();
    if (waiting.empty()) leave(served_);
    return item;
  }
  // By the user whose item next() returned last.
  void used(Time time) {
    if (served_ == 0)
      root_left_ -= time;
    else if (const auto user = users_.find(served_); user != users_.end())
      user->second.left -= time;
  }

 private:
  struct User {
    std::deque<Item> waiting;
    Time left{};
  };

  std::deque<Item>& add_to(uid_t uid) {
    const auto [user, is_new] = users_.try_emplace(uid);
    User& its = user->second;
    if (!its.waiting.empty()) return its.waiting;
    if (is_new || its.left > Time::zero()) its.left = budget_;
    if (uid == 0)
      root_waits_ = true;
    else
      round_.push_back(uid);
    return its.waiting;
  }
  // It has nothing that waits.
  void leave(uid_t uid) {
    if (uid == 0)
      root_waits_ = false;
    else
      std::erase(round_, uid);
  }
  bool is_roots_turn() const {
    return root_waits_ && (root_left_ > Time::zero() || round_.empty());
  }
  uid_t first_of_round() {
    while (true) {
      const uid_t uid = round_.front();
      User& user = users_.at(uid);
      if (user.left > Time::zero()) return uid;
      user.left += budget_;
      round_.pop_front();
      round_.push_back(uid);
    }
  }

  const Time budget_;
  Time root_left_ = budget_;
  bool root_waits_ = false;
  std::unordered_map<uid_t, User> users_;
  std::deque<uid_t> round_;  // users other than root that wait, in the order of their turns
  uid_t served_ = 0;
};

}  // namespace sessreg::varlink
