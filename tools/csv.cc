#include "csv.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "text.h"

namespace sessreg {
namespace {

std::string field(const nlohmann::ordered_json& value) {
  if (value.is_null()) return {};
  if (!value.is_string()) return value.dump();
  std::string text = escape_for_terminal(value.get<std::string>());
  if (!text.empty() && std::string_view("=+-@").find(text.front()) != std::string_view::npos)
    text.insert(0, 1, '\'');
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

template <class T>
std::string csv(const std::vector<T>& items) {
  std::string result;
  // The names, and their order, are those of the JSON object.
  const nlohmann::ordered_json names = to_json(T{});
  for (auto name = names.begin(); name != names.end(); ++name)
    result += (name == names.begin() ? "" : ",") + name.key();
  result += "\r\n";
  for (const T& item : items) {
    const nlohmann::ordered_json values = to_json(item);
    for (auto value = values.begin(); value != values.end(); ++value)
      result += (value == values.begin() ? "" : ",") + field(*value);
    result += "\r\n";
  }
  return result;
}

}  // namespace

std::string sessions_csv(const std::vector<Session>& sessions) {
  return csv(sessions);
}

std::string users_csv(const std::vector<UserView>& users) {
  return csv(users);
}

}  // namespace sessreg
