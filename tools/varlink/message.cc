#include "varlink/message.h"

#include <simdjson.h>

#include <array>
#include <new>

namespace sessreg::varlink {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

constexpr std::size_t kFirstCapacityBytes = 4096;
constexpr std::size_t kMaxNameBytes = 255;
static_assert(kPaddingBytes >= simdjson::SIMDJSON_PADDING);

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_alphanumeric(char c) {
  return is_lower_or_digit(c) || is_upper(c);
}

// Checks the objects inside it too; the parser has bounded the depth.
Fault check_keys(element value) {
  if (value.type() == element_type::ARRAY) {
    const simdjson::dom::array all = value.get_array().value_unsafe();
    for (const element inner : all) {
      // Nearly everything in a large message is strings in an array.
      if (inner.type() != element_type::OBJECT && inner.type() != element_type::ARRAY) continue;
      if (const Fault fault = check_keys(inner); fault != Fault::none) return fault;
    }
    return Fault::none;
  }
  if (value.type() != element_type::OBJECT) return Fault::none;
  std::array<std::string_view, kMaxKeys> keys;
  std::size_t count = 0;
  const object fields = value.get_object().value_unsafe();
  for (const auto field : fields) {
    if (count == keys.size()) return Fault::too_many_keys;
    for (std::size_t i = 0; i < count; ++i)
      if (keys[i] == field.key) return Fault::duplicate_key;
    keys[count++] = field.key;
    if (const Fault fault = check_keys(field.value); fault != Fault::none) return fault;
  }
  return Fault::none;
}

bool is_extension(std::string_view key, element value) {
  return value.is_object() && is_interface_name(key);
}

// `ret_place` is where the object is kept that `ret_object` then points to.
Fault read_object(element value, object& ret_place, const object*& ret_object) {
  if (value.is_null()) return Fault::none;
  if (!value.is_object()) return Fault::wrong_type;
  ret_place = value.get_object().value_unsafe();
  ret_object = &ret_place;
  return Fault::none;
}

Fault read_flag(element value, bool& ret_flag) {
  if (value.is_null()) return Fault::none;
  if (!value.is_bool()) return Fault::wrong_type;
  ret_flag = value.get_bool().value_unsafe();
  return Fault::none;
}

Fault read_name(element value, Fault if_invalid, std::string_view& ret_name) {
  if (value.is_null()) return Fault::none;
  if (!value.is_string()) return Fault::wrong_type;
  ret_name = value.get_string().value_unsafe();
  return is_member_name(ret_name) ? Fault::none : if_invalid;
}

}  // namespace

const char* text(Fault fault) {
  switch (fault) {
    case Fault::none:
      return "no fault";
    case Fault::too_long:
      return "too long";
    case Fault::not_json:
      return "not JSON";
    case Fault::too_deep:
      return "nested too deeply";
    case Fault::not_an_object:
      return "not a JSON object";
    case Fault::duplicate_key:
      return "a key stands twice in one object";
    case Fault::too_many_keys:
      return "an object has too many keys";
    case Fault::unknown_key:
      return "an unknown key beside the method or the parameters";
    case Fault::wrong_type:
      return "a value of the wrong type";
    case Fault::no_method:
      return "no method is named";
    case Fault::invalid_method_name:
      return "not a method's name";
    case Fault::conflicting_flags:
      return "oneway cannot be combined with more or upgrade";
    case Fault::invalid_error_name:
      return "not an error's name";
  }
  return "unknown fault";
}

bool is_interface_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  bool dotted = false;
  char before = '.';
  for (const char c : name) {
    const bool first = before == '.';
    if (c == '.') {
      if (first || before == '-') return false;
      dotted = true;
    } else if (!is_alphanumeric(c) && (c != '-' || first)) {
      return false;
    }
    before = c;
  }
  const bool begins_with_digit = name[0] >= '0' && name[0] <= '9';
  return dotted && !begins_with_digit && before != '.' && before != '-';
}

bool is_member_name(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot + 1 == name.size()) return false;
  const std::string_view member = name.substr(dot + 1);
  if (!is_upper(member[0]) || member.size() > kMaxNameBytes) return false;
  for (const char c : member)
    if (!is_alphanumeric(c)) return false;
  return is_interface_name(name.substr(0, dot));
}

struct MessageParser::Parsed {
  simdjson::dom::parser parser;
  object parameters;
};

MessageParser::MessageParser(std::size_t max_bytes)
    : max_bytes_(max_bytes), parsed_(std::make_unique<Parsed>()) {}
MessageParser::~MessageParser() = default;
MessageParser::MessageParser(MessageParser&& other) noexcept = default;

Fault MessageParser::parse(std::string_view message, object& ret_top) {
  if (message.size() > max_bytes_) return Fault::too_long;
  simdjson::dom::parser& parser = parsed_->parser;
  if (parser.capacity() == 0 &&
      parser.allocate(kFirstCapacityBytes, kMaxDepth) != simdjson::SUCCESS)
    throw std::bad_alloc();
  element top;
  const auto error = parser.parse(message.data(), message.size(), false).get(top);
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  if (error == simdjson::DEPTH_ERROR) return Fault::too_deep;
  if (error != simdjson::SUCCESS) return Fault::not_json;
  if (!top.is_object()) return Fault::not_an_object;
  ret_top = top.get_object().value_unsafe();
  return check_keys(top);
}

Fault MessageParser::parse_call(std::string_view message, Call& ret_call) {
  ret_call = {};
  object top;
  if (const Fault fault = parse(message, top); fault != Fault::none) return fault;
  for (const auto [key, value] : top) {
    Fault fault = Fault::none;
    if (key == "method") {
      fault = read_name(value, Fault::invalid_method_name, ret_call.method);
    } else if (key == "parameters") {
      fault = read_object(value, parsed_->parameters, ret_call.parameters);
    } else if (key == "more") {
      fault = read_flag(value, ret_call.more);
    } else if (key == "oneway") {
      fault = read_flag(value, ret_call.oneway);
    } else if (key == "upgrade") {
      fault = read_flag(value, ret_call.upgrade);
    } else if (!is_extension(key, value)) {
      fault = Fault::unknown_key;
    }
    if (fault != Fault::none) return fault;
  }
  if (ret_call.method.empty()) return Fault::no_method;
  if (ret_call.oneway && (ret_call.more || ret_call.upgrade)) return Fault::conflicting_flags;
  const std::size_t dot = ret_call.method.rfind('.');
  ret_call.interface_name = ret_call.method.substr(0, dot);
  ret_call.member = ret_call.method.substr(dot + 1);
  return Fault::none;
}

Fault MessageParser::parse_reply(std::string_view message, Reply& ret_reply) {
  ret_reply = {};
  object top;
  if (const Fault fault = parse(message, top); fault != Fault::none) return fault;
  for (const auto [key, value] : top) {
    Fault fault = Fault::none;
    if (key == "parameters") {
      fault = read_object(value, parsed_->parameters, ret_reply.parameters);
    } else if (key == "continues") {
      fault = read_flag(value, ret_reply.continues);
    } else if (key == "error") {
      fault = read_name(value, Fault::invalid_error_name, ret_reply.error);
    } else if (!is_extension(key, value)) {
      fault = Fault::unknown_key;
    }
    if (fault != Fault::none) return fault;
  }
  return Fault::none;
}

}  // namespace sessreg::varlink
