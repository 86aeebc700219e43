// A call's parameters, and the errors of org.varlink.service.

#include <simdjson.h>

#include <algorithm>

#include "varlink/message.h"

namespace sessreg::varlink {

using simdjson::dom::element;
using simdjson::dom::element_type;

namespace {

std::optional<element> find(const simdjson::dom::object* object, std::string_view name) {
  if (object == nullptr) return std::nullopt;
  for (const auto [key, value] : *object)
    if (key == name) return value.is_null() ? std::nullopt : std::optional(value);
  return std::nullopt;
}

}  // namespace

CallError invalid_parameter(std::string_view parameter) {
  return CallError("org.varlink.service.InvalidParameter", {{"parameter", parameter}});
}
CallError interface_not_found(std::string_view interface_name) {
  return CallError("org.varlink.service.InterfaceNotFound", {{"interface", interface_name}});
}
CallError method_not_found(std::string_view method) {
  return CallError("org.varlink.service.MethodNotFound", {{"method", method}});
}
CallError method_not_implemented(std::string_view method) {
  return CallError("org.varlink.service.MethodNotImplemented", {{"method", method}});
}
CallError expected_more() {
  return CallError("org.varlink.service.ExpectedMore");
}

Parameters::Parameters(const Call& call, std::initializer_list<std::string_view> names)
    : object_(call.parameters) {
  if (object_ == nullptr) return;
  for (const auto [key, value] : *object_)
    if (std::find(names.begin(), names.end(), key) == names.end()) throw invalid_parameter(key);
}

std::optional<std::string_view> Parameters::optional_string(std::string_view name) const {
  const auto value = find(object_, name);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw invalid_parameter(name);
  return value->get_string().value_unsafe();
}

std::string_view Parameters::string(std::string_view name) const {
  const auto value = optional_string(name);
  if (!value) throw invalid_parameter(name);
  return *value;
}

std::optional<std::int64_t> Parameters::optional_integer(std::string_view name) const {
  const auto value = find(object_, name);
  if (!value) return std::nullopt;
  if (!value->is_int64()) throw invalid_parameter(name);
  return value->get_int64().value_unsafe();
}

bool Parameters::boolean(std::string_view name, bool fallback) const {
  const auto value = find(object_, name);
  if (!value) return fallback;
  if (!value->is_bool()) throw invalid_parameter(name);
  return value->get_bool().value_unsafe();
}

void Parameters::for_each_string(std::string_view name,
                                 const std::function<void(std::string_view)>& function) const {
  const auto value = find(object_, name);
  if (!value || !value->is_array()) throw invalid_parameter(name);
  const simdjson::dom::array all = value->get_array().value_unsafe();
  for (const element each : all)
    if (!each.is_string()) throw invalid_parameter(name);
  for (const element each : all)
    function(each.get_string().value_unsafe());
}

Json to_json(simdjson::dom::object object) {
  Json all = Json::object();
  for (const auto [key, value] : object)
    all.emplace(std::string(key), to_json(value));
  return all;
}

Json to_json(element value) {
  switch (value.type()) {
    case element_type::ARRAY: {
      Json all = Json::array();
      const simdjson::dom::array elements = value.get_array().value_unsafe();
      for (const element inner : elements)
        all.push_back(to_json(inner));
      return all;
    }
    case element_type::OBJECT:
      return to_json(value.get_object().value_unsafe());
    case element_type::INT64:
      return value.get_int64().value_unsafe();
    case element_type::UINT64:
      return value.get_uint64().value_unsafe();
    case element_type::DOUBLE:
      return value.get_double().value_unsafe();
    case element_type::STRING:
      return value.get_string().value_unsafe();
    case element_type::BOOL:
      return value.get_bool().value_unsafe();
    case element_type::NULL_VALUE:
      break;
  }
  return nullptr;
}

Json Reply::json() const {
  return parameters ? to_json(*parameters) : Json::object();
}

}  // namespace sessreg::varlink
