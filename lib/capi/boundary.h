// The edge of the C API: answers instead of errors, and nothing thrown into the program.
//
// Thread safety: functions keep no state.
#pragma once

#include <errno.h>
#include <pthread.h>

#include <cstdint>
#include <new>
#include <string>

#include "base/result.h"
#include "capi/sessreg.h"

namespace sessreg::capi {

// What a function returns and what it says, see sessreg_error.
struct Answer {
  int code = SESSREG_OK;
  std::string text;  // one line, escaped already
  bool let_through = false;
  std::uint32_t seconds = 0;
  std::int32_t limit = 0;
  std::uint32_t count = 0;
};

Answer invalid(std::string text);

// The answer for what could not be done. `file_code`: for faults of the file that it is about.
Answer answer_of(const Error& error, int file_code);

// Whether what the program passed can be written to. It may be NULL.
bool is_usable(const sessreg_error* error);
// Fills it in as far as the program knows it, and returns the code.
int report(sessreg_error* ret_error, const Answer& answer) noexcept;

// While one exists the thread is not cancelled, which would be an exception. Restores errno.
class Undisturbed {
 public:
  Undisturbed() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_); }
  ~Undisturbed() {
    pthread_setcancelstate(cancel_state_, nullptr);
    errno = errno_;
  }
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;

 private:
  int cancel_state_ = 0;
  int errno_ = errno;
};

// Runs `body`, which returns an Answer.
template <class Body>
int guarded(sessreg_error* ret_error, Body body) noexcept {
  const Undisturbed undisturbed;
  if (!is_usable(ret_error)) return SESSREG_EINVAL;
  try {
    return report(ret_error, body());
  } catch (const std::bad_alloc&) {
    Answer none;
    none.code = SESSREG_ENOMEM;
    return report(ret_error, none);
  } catch (...) {
    Answer unknown;
    unknown.code = SESSREG_ESYSTEM;
    return report(ret_error, unknown);
  }
}

}  // namespace sessreg::capi
