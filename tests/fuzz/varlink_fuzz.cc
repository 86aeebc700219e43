// libFuzzer target: hostile bytes through the Varlink messages and their framing. However the bytes
// come, the same messages must come out; what is taken for a call must keep the specification.

#include <simdjson.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "varlink/input.h"
#include "varlink/message.h"
#include "varlink/write.h"

using namespace sessreg::varlink;

namespace {

constexpr std::size_t kMaxBytes = 2000;  // so that over-long ones are tried as well

void require(bool holds) {
  if (!holds) abort();
}

struct Cut {
  std::vector<std::string> messages;
  bool too_long = false;
};

// Pieces as long as `lengths` says, which are read again and again.
Cut cut(std::string_view bytes, std::string_view lengths) {
  Scratch scratch(512);
  Input input(kMaxBytes, scratch);
  Cut result;
  std::size_t came = 0, turn = 0;
  while (!bytes.empty()) {
    const std::span<char> space = input.space();
    require(!space.empty());
    const std::size_t wanted =
        lengths.empty() ? bytes.size()
                        : 1 + static_cast<std::uint8_t>(lengths[turn++ % lengths.size()]);
    const std::size_t size = std::min({wanted, space.size(), bytes.size()});
    memcpy(space.data(), bytes.data(), size);
    input.add(size);
    came += size;
    bytes.remove_prefix(size);
    std::string_view message;
    Input::Next next;
    while ((next = input.next(message)) == Input::Next::message) {
      require(message.size() <= kMaxBytes);
      result.messages.emplace_back(message);
      if (turn % 3 == 1) input.keep();  // as when a turn ends early
    }
    if (next == Input::Next::too_long) {
      result.too_long = true;
      return result;
    }
    input.keep();
    require(input.held_bytes() <= 2 * came + (64 << 10));
    memset(scratch.begin(), '\0', scratch.bytes());
  }
  return result;
}

void require_call(const Call& call) {
  require(is_member_name(call.method) && is_interface_name(call.interface_name));
  require(call.method.find('\0') == std::string_view::npos);
  require(!(call.oneway && (call.more || call.upgrade)));
  // Written again, it is the same call.
  const Json parameters = call.parameters ? to_json(*call.parameters) : Json::object();
  std::string text;
  append_call(text, call.method, parameters, {.more = call.more, .oneway = call.oneway});
  require(text.back() == '\0' && text.find('\0') == text.size() - 1);
  const std::size_t size = text.size() - 1;
  const std::string method(call.method);
  const bool more = call.more, oneway = call.oneway;
  text.append(kPaddingBytes, '\0');
  MessageParser parser;
  Call again;
  require(parser.parse_call({text.data(), size}, again) == Fault::none);
  require(again.method == method && again.more == more && again.oneway == oneway);
  require(again.parameters != nullptr && to_json(*again.parameters).dump() == parameters.dump());
}

void fuzz_parameters(const Call& call) {
  for (const auto name : {"token", "tokens"}) {
    try {
      const Parameters parameters(call, {"token", "tokens", "reason"});
      (void)parameters.optional_integer(name);
      (void)parameters.boolean(name, true);
      (void)parameters.string(name);
      parameters.for_each_string(name,
                                 [](std::string_view text) { require(text.data() != nullptr); });
    } catch (const CallError& error) {
      require(error.name() == "org.varlink.service.InvalidParameter");
    }
  }
}

void fuzz_message(std::string text, MessageParser& parser) {
  const std::size_t size = text.size();
  text.append(kPaddingBytes, '"');  // what follows must not matter
  Call call;
  const Fault fault = parser.parse_call({text.data(), size}, call);
  require(strlen(::sessreg::varlink::text(fault)) > 0);
  if (fault == Fault::none) {
    require_call(call);
    fuzz_parameters(call);
  }
  Reply reply;
  if (parser.parse_reply({text.data(), size}, reply) == Fault::none) {
    require(reply.error.empty() || is_member_name(reply.error));
    require(reply.json().is_object());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t split = std::min<std::size_t>(size, 4);
  const std::string_view bytes = all.substr(split);
  const Cut whole = cut(bytes, {}), pieces = cut(bytes, all.substr(0, split));
  require(whole.messages == pieces.messages && whole.too_long == pieces.too_long);
  MessageParser parser;
  for (const std::string& message : whole.messages)
    fuzz_message(message, parser);
  fuzz_message(std::string(bytes), parser);
  return 0;
}
