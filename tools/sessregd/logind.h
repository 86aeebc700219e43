// What logind knows of the desktop in a session: whether its user is idle, if the desktop says so
// (IdleHint; see org.freedesktop.login1(5)).
//
// It is asked without waiting, over one connection to the system bus, which is made when the first
// question is asked. Where there is no bus, no question is answered.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sessregd/log.h"

namespace sessreg {

class Logind {
 public:
  struct Answer {
    bool is_idle = false;                // as the desktop last said; false also if it never did
    std::int64_t since_realtime_ms = 0;  // when it said so; 0: never
  };
  // nullopt: logind does not answer, or knows no such session.
  using OnAnswer = std::function<void(const std::optional<Answer>&)>;

  // Whoever drops it is not answered any more.
  class Question;

  Logind(sd_event* loop, Log log);
  ~Logind();
  Logind(const Logind&) = delete;
  Logind& operator=(const Logind&) = delete;

  // The session whose scope holds the process; nullopt: none.
  static std::optional<std::string> session_of(pid_t process);
  // Whether that session is a desktop's now; a compositor may say so long after the login.
  static bool is_desktop(const std::string& session);

  // Whether so many questions are open that another had better wait.
  bool is_busy() const { return open_ >= kMostOpen; }
  // `answer` may drop the question, and may throw. nullptr: nobody can be asked now.
  std::unique_ptr<Question> ask(const std::string& session, OnAnswer answer);

 private:
  static constexpr unsigned kMostOpen = 32;
  bool connect();

  sd_event* const loop_;
  const Log log_;
  std::unique_ptr<sd_bus, sd_bus* (*)(sd_bus*)> bus_;
  std::uint64_t next_try_ms_ = 0;
  unsigned open_ = 0;
};

class Logind::Question {
 public:
  Question(Logind& logind, OnAnswer answer) : logind_(logind), answer_(std::move(answer)) {
    ++logind_.open_;
  }
  ~Question() {
    sd_bus_slot_unref(call_);
    if (is_open()) --logind_.open_;
  }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  bool is_open() const { return static_cast<bool>(answer_); }

 private:
  friend class Logind;
  static int on_reply(sd_bus_message* reply, void* self, sd_bus_error*);

  Logind& logind_;
  OnAnswer answer_;  // empty: it was answered
  sd_bus_slot* call_ = nullptr;
};

}  // namespace sessreg
