// Undoes a step unless told to keep it: memory may run out (std::bad_alloc) between taking something
// in shared memory and remembering that it was taken.
#pragma once

#include <utility>

namespace sessreg {

template <class Action>
class Undo {
 public:
  explicit Undo(Action action) : action_(std::move(action)) {}
  ~Undo() {
    if (armed_) action_();
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  // From now on nothing is undone.
  void keep() { armed_ = false; }

 private:
  Action action_;  // may not throw
  bool armed_ = true;
};

}  // namespace sessreg
