// Whose turn it is: users take turns, each until it has used its budget of processor time.
//
//   1. Root is next whenever it waits. If it has used its budget, one of the others is served in
//      between.
//   2. The others go round. Who has used more than the budget sits out until that is made up for, also
//      who had no items meanwhile.
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
#include <set>
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
  // That user has no more items, and none will be added soon: nothing is kept but what has to be made
  // up for, while others wait.
  void forget(uid_t uid) {
    if (users_.contains(uid)) gone_.insert(uid);
  }

  bool empty() const { return !root_waits_ && round_.empty(); }
  // More than one user waits.
  bool is_contended() const { return round_.size() + (root_waits_ ? 1 : 0) > 1; }

  // MUST NOT be empty.
  Item next() {
    if (!gone_.empty()) drop_gone();
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
    if (served_ == 0) {
      root_left_ -= time;
      return;
    }
    User& user = users_.at(served_);
    user.left -= time;
    if (user.left > Time::zero() || !user.is_first) return;
    user.is_first = false;
    round_.pop_front();
    round_.push_back(served_);
  }

 private:
  struct User {
    std::deque<Item> waiting;
    Time left{};
    bool is_first = false;  // of the round, and has been given its budget
  };

  std::deque<Item>& add_to(uid_t uid) {
    User& its = users_[uid];
    if (!its.waiting.empty()) return its.waiting;
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
    users_.at(uid).is_first = false;
  }
  void drop_gone() {
    const bool is_void = !is_contended();
    std::erase_if(gone_, [&](uid_t uid) {
      const auto user = users_.find(uid);
      if (user == users_.end()) return true;
      const bool is_idle = user->second.waiting.empty();
      if (is_idle && !is_void && user->second.left < Time::zero()) return false;
      if (is_idle) users_.erase(user);
      return true;
    });
  }
  bool is_roots_turn() const {
    return root_waits_ && (root_left_ > Time::zero() || round_.empty());
  }
  uid_t first_of_round() {
    while (true) {
      const uid_t uid = round_.front();
      User& user = users_.at(uid);
      if (user.is_first) return uid;
      user.left = std::min(user.left, Time::zero()) + budget_;
      if (user.left > Time::zero()) {
        user.is_first = true;
        return uid;
      }
      round_.pop_front();
      round_.push_back(uid);
    }
  }

  const Time budget_;
  Time root_left_ = budget_;
  bool root_waits_ = false;
  std::unordered_map<uid_t, User> users_;
  std::deque<uid_t> round_;  // users other than root that wait, in the order of their turns
  std::set<uid_t> gone_;
  uid_t served_ = 0;
};

}  // namespace sessreg::varlink
