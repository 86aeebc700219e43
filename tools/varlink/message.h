// Reads one Varlink message. Source: https://varlink.org/Method-Call and
// https://varlink.org/Interface-Definition.
//
// Thread safety: none; a parser belongs to one thread. What was parsed points into the parser and
// the message, and is valid until the parser is used again or the message goes.
//
// 1. A message MUST be one JSON object (RFC 8259, UTF-8) of bounded size, depth and number of keys.
// 2. No object in it may name a key twice: two readers could take different ones.
// 3. The top level may have only the keys of the specification and, as it allows, extensions:
//    objects whose key is a reverse-domain name. Those are ignored.
//
// simdjson does the work. Its header takes two seconds to compile, so only those include it who look
// into a message by themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "varlink/limits.h"

namespace simdjson::dom {
class element;
class object;
}  // namespace simdjson::dom

namespace sessreg::varlink {

using Json = nlohmann::ordered_json;

// So many bytes after the end of every message must be readable, whatever they hold.
inline constexpr std::size_t kPaddingBytes = 64;

enum class Fault {
  none,
  too_long,
  not_json,
  too_deep,
  not_an_object,
  duplicate_key,
  too_many_keys,
  unknown_key,
  wrong_type,
  no_method,
  invalid_method_name,
  conflicting_flags,  // `oneway` together with `more` or `upgrade`
  invalid_error_name,
};
// A short fixed text, such as "not JSON".
const char* text(Fault fault);

struct Call {
  std::string_view method;  // org.example.Interface.Method
  std::string_view interface_name;
  std::string_view member;                            // what follows the last dot
  const simdjson::dom::object* parameters = nullptr;  // the parser's; null: none
  bool more = false;
  bool oneway = false;
  bool upgrade = false;
};

struct Reply {
  std::string_view error;                             // empty: none
  const simdjson::dom::object* parameters = nullptr;  // the parser's; null: none
  bool continues = false;

  Json json() const;  // a copy of the parameters; an empty object if there are none
};

class MessageParser {
 public:
  // Takes memory when a message needs it: some 14 bytes for each byte of the longest message.
  explicit MessageParser(std::size_t max_bytes = kMaxMessageBytes);
  ~MessageParser();
  MessageParser(MessageParser&& other) noexcept;

  // `message`: without its NUL, followed by kPaddingBytes readable bytes.
  Fault parse_call(std::string_view message, Call& ret_call);
  Fault parse_reply(std::string_view message, Reply& ret_reply);

 private:
  struct Parsed;

  Fault parse(std::string_view message, simdjson::dom::object& ret_top);

  std::size_t max_bytes_;
  std::unique_ptr<Parsed> parsed_;
};

// By the specification's grammar, with upper case allowed in the domain too.
bool is_interface_name(std::string_view name);
// An interface's name, a dot, and a name that begins with an upper-case letter: methods, errors.
bool is_member_name(std::string_view name);

// An error for the peer. Handlers may throw it; the server answers with it.
class CallError : public std::exception {
 public:
  explicit CallError(std::string name, Json parameters = Json::object())
      : name_(std::move(name)), parameters_(std::move(parameters)) {}
  const std::string& name() const { return name_; }
  const Json& parameters() const { return parameters_; }
  const char* what() const noexcept override { return name_.c_str(); }

 private:
  std::string name_;
  Json parameters_;
};
CallError invalid_parameter(std::string_view parameter);
CallError interface_not_found(std::string_view interface_name);
CallError method_not_found(std::string_view method);
CallError method_not_implemented(std::string_view method);
CallError expected_more();  // the method streams, and the call has no `more`

// A call's parameters, by name. Each function throws invalid_parameter, which names the parameter
// that is missing, unknown or of another type. null counts as absent.
class Parameters {
 public:
  // `names`: all that the method knows.
  Parameters(const Call& call, std::initializer_list<std::string_view> names);

  // Whatever there is: for a look at one of them, before the method itself is called.
  static Parameters any(const Call& call) { return Parameters(call); }

  std::string_view string(std::string_view name) const;
  std::optional<std::string_view> optional_string(std::string_view name) const;
  std::optional<std::int64_t> optional_integer(std::string_view name) const;
  bool boolean(std::string_view name, bool fallback) const;

  // Every element of the array, in order. Nothing has been called if one is not a string.
  void for_each_string(std::string_view name,
                       const std::function<void(std::string_view)>& function) const;

 private:
  explicit Parameters(const Call& call) : object_(call.parameters) {}

  const simdjson::dom::object* object_;
};

Json to_json(simdjson::dom::element element);
Json to_json(simdjson::dom::object object);

}  // namespace sessreg::varlink
