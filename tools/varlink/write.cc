#include "varlink/write.h"

#include <algorithm>

namespace sessreg::varlink {
namespace {

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Names are checked by is_member_name(), or come from the code: nothing in them needs escaping.
void begin_call(std::string& out, std::string_view method) {
  out.append("{\"method\":\"").append(method).append("\",\"parameters\":");
}
void end_call(std::string& out, CallFlags flags) {
  if (flags.more) out.append(",\"more\":true");
  if (flags.oneway) out.append(",\"oneway\":true");
  out.append("}\0", 2);
}
void end_reply(std::string& out, bool continues) {
  if (continues) out.append(",\"continues\":true");
  out.append("}\0", 2);
}
bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

}  // namespace

void append_call(std::string& out, std::string_view method, const Json& parameters,
                 CallFlags flags) {
  begin_call(out, method);
  out.append(dump(parameters));
  end_call(out, flags);
}

void append_reply(std::string& out, const Json& parameters, bool continues) {
  out.append("{\"parameters\":").append(dump(parameters));
  end_reply(out, continues);
}

void append_error(std::string& out, std::string_view name, const Json& parameters) {
  out.append("{\"error\":\"").append(name).append("\",\"parameters\":").append(dump(parameters));
  end_reply(out, false);
}

bool append_formatted_call(std::string& out, std::string_view method, std::string_view parameters,
                           CallFlags flags) {
  if (has_nul(parameters)) return false;
  begin_call(out, method);
  out.append(parameters);
  end_call(out, flags);
  return true;
}

bool append_formatted_reply(std::string& out, std::string_view parameters, bool continues) {
  if (has_nul(parameters)) return false;
  out.append("{\"parameters\":").append(parameters);
  end_reply(out, continues);
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), is_plain))
    out.append(1, '"').append(text).append(1, '"');
  else
    out.append(dump(Json(text)));
}

}  // namespace sessreg::varlink
