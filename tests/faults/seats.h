// Seats that the kernel counts beside the registry: a System V semaphore with SEM_UNDO, which a
// process gives back however it dies, and before it can be seen to be dead. So whoever holds more
// of it than the limit has caught the registry admitting one too many. semop(2).
//
// Thread safety: any number of processes.
#pragma once

#include <errno.h>
#include <sys/sem.h>

#include <stdexcept>

class KernelSeats {
 public:
  explicit KernelSeats(int limit) : id_(semget(IPC_PRIVATE, 1, 0600)) {
    if (id_ < 0 || semctl(id_, 0, SETVAL, limit) != 0) throw std::runtime_error("semget");
  }
  ~KernelSeats() { semctl(id_, 0, IPC_RMID); }
  KernelSeats(const KernelSeats&) = delete;
  KernelSeats& operator=(const KernelSeats&) = delete;

  // Behind an admission. False: there was none left, so somebody was admitted above the limit.
  bool take() const { return change(-1); }
  // Before the seat is given up.
  bool give_back() const { return change(+1); }

 private:
  bool change(short by) const {
    sembuf operation{0, by, IPC_NOWAIT | SEM_UNDO};
    int result = 0;
    do {
      result = semop(id_, &operation, 1);
    } while (result != 0 && errno == EINTR);
    return result == 0;
  }

  int id_;
};
