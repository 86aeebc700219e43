#include <memory>
#include <string>
#include <utility>

#include "varlink/connection.h"
#include "varlink/write.h"

namespace sessreg::varlink {

Exchange::State::~State() {
  if (const auto gone = open()) gone->abandon(call);
}

std::shared_ptr<Connection> Exchange::State::open() const {
  auto there = connection.lock();
  if (there && !there->is_handling(call)) there.reset();
  return there;
}

const Peer& Exchange::peer() const {
  return state_->peer;
}
bool Exchange::wants_more() const {
  return state_->more;
}
bool Exchange::is_oneway() const {
  return state_->oneway;
}
bool Exchange::is_open() const {
  return state_->open() != nullptr;
}

bool Exchange::has_hung_up() const {
  const auto connection = state_->open();
  return !connection || connection->has_hung_up();
}

void Exchange::reply(const Json& parameters) {
  const auto connection = state_->open();
  if (!connection) return;
  std::string message;
  if (!state_->oneway) append_reply(message, parameters);
  connection->answer(state_->call, message, true);
}

void Exchange::reply_formatted(std::string_view parameters) {
  const auto connection = state_->open();
  if (!connection) return;
  std::string message;
  if (!state_->oneway && !append_formatted_reply(message, parameters))
    return connection->abandon(state_->call);
  connection->answer(state_->call, message, true);
}

void Exchange::error(std::string_view name, const Json& parameters) {
  const auto connection = state_->open();
  if (!connection) return;
  std::string message;
  if (!state_->oneway) append_error(message, name, parameters);
  connection->answer(state_->call, message, true);
}

void Exchange::reply_continues(const Json& parameters) {
  const auto connection = state_->open();
  if (!connection || state_->oneway) return;
  if (!state_->more) {
    const CallError refusal = expected_more();
    return error(refusal.name(), refusal.parameters());
  }
  std::string message;
  append_reply(message, parameters, true);
  connection->answer(state_->call, message, false);
}

void Exchange::stream(Next next) {
  const auto connection = state_->open();
  if (!connection) return;
  if (state_->oneway) return reply();
  if (!state_->more) {
    const CallError refusal = expected_more();
    return error(refusal.name(), refusal.parameters());
  }
  connection->stream(state_->call, std::move(next));
}

void Exchange::go_on(Step step) {
  if (const auto connection = state_->open()) connection->go_on(state_->call, std::move(step));
}

bool Exchange::push_formatted(std::string_view parameters) {
  const auto connection = state_->open();
  if (!connection) return false;
  if (state_->oneway || !state_->more) {
    reply_continues();
    return is_open();
  }
  std::string message;
  if (!append_formatted_reply(message, parameters, true)) {
    connection->abandon(state_->call);
    return false;
  }
  return connection->push(state_->call, message);
}

void Exchange::on_close(std::function<void()> callback) {
  if (const auto connection = state_->open())
    connection->set_on_close(state_->call, std::move(callback));
}

}  // namespace sessreg::varlink
