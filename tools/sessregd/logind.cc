#include "sessregd/logind.h"

#include <stdlib.h>
#include <syslog.h>
#include <systemd/sd-login.h>

#include <exception>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace sessreg {
namespace {

constexpr const char* kService = "org.freedesktop.login1";
constexpr const char* kSession = "org.freedesktop.login1.Session";
constexpr const char* kSessions = "/org/freedesktop/login1/session";
constexpr std::uint64_t kTryAgain_ms = 30'000;

// A variant of that type (one letter) inside of a message; false: it holds something else.
bool read_variant(sd_bus_message* message, const char* type, void* ret) {
  return sd_bus_message_enter_container(message, 'v', type) > 0 &&
         sd_bus_message_read_basic(message, type[0], ret) > 0 &&
         sd_bus_message_exit_container(message) >= 0;
}

bool read_property(sd_bus_message* message, Logind::Answer& ret) {
  const char* name = nullptr;
  if (sd_bus_message_read_basic(message, 's', &name) <= 0) return false;
  const std::string_view property = name;
  if (property == "IdleHint") {
    int idle = 0;
    if (!read_variant(message, "b", &idle)) return false;
    ret.is_idle = idle != 0;
    return true;
  }
  if (property == "IdleSinceHint") {
    std::uint64_t since_us = 0;
    if (!read_variant(message, "t", &since_us)) return false;
    ret.since_realtime_ms = static_cast<std::int64_t>(since_us / 1000);
    return true;
  }
  return sd_bus_message_skip(message, "v") >= 0;
}

// A reply to GetAll: a{sv}.
std::optional<Logind::Answer> read_answer(sd_bus_message* reply) {
  Logind::Answer answer;
  if (sd_bus_message_is_method_error(reply, nullptr) != 0 ||
      sd_bus_message_enter_container(reply, 'a', "{sv}") < 0)
    return std::nullopt;
  int entered = 0;
  while ((entered = sd_bus_message_enter_container(reply, 'e', "sv")) > 0)
    if (!read_property(reply, answer) || sd_bus_message_exit_container(reply) < 0)
      return std::nullopt;
  if (entered < 0) return std::nullopt;
  return answer;
}

}  // namespace

Logind::Logind(sd_event* loop, Log log)
    : loop_(loop), log_(std::move(log)), bus_(nullptr, &sd_bus_close_unref) {}

Logind::~Logind() = default;

std::optional<std::string> Logind::session_of(pid_t process) {
  char* session = nullptr;
  if (sd_pid_get_session(process, &session) < 0) return std::nullopt;
  const std::unique_ptr<char, void (*)(void*)> freed(session, &free);
  return session;
}

bool Logind::is_desktop(const std::string& session) {
  char* text = nullptr;
  if (sd_session_get_type(session.c_str(), &text) < 0) return false;
  const std::unique_ptr<char, void (*)(void*)> freed(text, &free);
  const std::string_view type = text;
  return type == "x11" || type == "wayland" || type == "mir";
}

bool Logind::connect() {
  if (bus_ && sd_bus_is_open(bus_.get()) > 0) return true;
  if (open_ > 0) return false;  // a connection that ends answers them, one at a time
  const std::uint64_t now_ms = boottime_ms();
  if (now_ms < next_try_ms_) return false;
  next_try_ms_ = now_ms + kTryAgain_ms;
  bus_.reset();
  sd_bus* bus = nullptr;
  if (sd_bus_open_system(&bus) < 0) return false;
  bus_.reset(bus);
  sd_bus_set_close_on_exit(bus, 0);  // which would wait for the bus
  if (sd_bus_attach_event(bus, loop_, SD_EVENT_PRIORITY_NORMAL) < 0) bus_.reset();
  return bus_ != nullptr;
}

std::unique_ptr<Logind::Question> Logind::ask(const std::string& session, OnAnswer answer) {
  char* path = nullptr;
  if (!connect() || sd_bus_path_encode(kSessions, session.c_str(), &path) < 0) return nullptr;
  const std::unique_ptr<char, void (*)(void*)> freed(path, &free);
  auto question = std::make_unique<Question>(*this, std::move(answer));
  if (sd_bus_call_method_async(bus_.get(), &question->call_, kService, path,
                               "org.freedesktop.DBus.Properties", "GetAll", &Question::on_reply,
                               question.get(), "s", kSession) < 0)
    return nullptr;
  return question;
}

// The library is C code: nothing may be thrown through it.
int Logind::Question::on_reply(sd_bus_message* reply, void* self, sd_bus_error*) {
  auto& question = *static_cast<Question*>(self);
  Logind& logind = question.logind_;
  const OnAnswer answer = std::exchange(question.answer_, nullptr);
  --logind.open_;
  try {
    answer(read_answer(reply));
  } catch (const std::exception& error) {
    logind.log_(LOG_ERR, error.what());
  }
  return 0;
}

}  // namespace sessreg
