#include "catch_runner.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <string>

#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
using Listener = Catch::EventListenerBase;
#else
// g++ 12 with -fsanitize=address takes std::regex, which Catch2 uses, for uninitialized (GCC bug
// 105616).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>
using Listener = Catch::TestEventListenerBase;
#endif

namespace {

// Longer than any case takes with a sanitizer on a busy machine, and shorter than a suite may.
constexpr unsigned kCase_s = 400;

std::string hung;  // what is said when the time is over

void stop_hung(int) {
  [[maybe_unused]] const ssize_t size = write(STDERR_FILENO, hung.data(), hung.size());
  _exit(1);
}

// Ends the program when a case hangs, and names it. The timer is not a child's.
class Alarm : public Listener {
 public:
  using Listener::Listener;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    unsigned long seconds = getenv("SESSREG_THOROUGH") == nullptr ? kCase_s : 0;
    if (const char* const given = getenv("SESSREG_CASE_SECONDS"))
      seconds = strtoul(given, nullptr, 10);
    hung = "HANGS: the case '" + info.name + "' has not ended after " + std::to_string(seconds) +
           " s (SESSREG_CASE_SECONDS)\n";
    // Tests have SIGALRM for themselves.
    signal(SIGRTMAX, stop_hung);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMAX;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return;
    itimerspec time{};
    time.it_value.tv_sec = static_cast<time_t>(seconds);  // 0: never
    timer_settime(timer_, 0, &time, nullptr);
  }
  void testCaseEnded(const Catch::TestCaseStats&) override { timer_delete(timer_); }

 private:
  timer_t timer_{};
};

CATCH_REGISTER_LISTENER(Alarm)

}  // namespace

int run_catch(int argc, char** argv) {
  Catch::Session session;
  // As by default in version 2 only.
  session.configData().rngSeed = 0;
#if __has_include(<catch2/catch_session.hpp>)
  session.configData().defaultColourMode = Catch::ColourMode::None;
#else
  session.configData().useColour = Catch::UseColour::No;
#endif
  return session.run(argc, argv);
}
