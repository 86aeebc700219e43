// Writes Varlink messages. Each function appends one whole message with its NUL.
//
// Strings need not be UTF-8: what is invalid becomes U+FFFD. Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "varlink/message.h"

namespace sessreg::varlink {

struct CallFlags {
  bool more = false;
  bool oneway = false;
};

void append_call(std::string& out, std::string_view method, const Json& parameters,
                 CallFlags flags = {});
void append_reply(std::string& out, const Json& parameters, bool continues = false);
void append_error(std::string& out, std::string_view name, const Json& parameters);

// `parameters` MUST be a JSON object in valid UTF-8. False: it holds a NUL, which would end the
// message early, and nothing is appended.
[[nodiscard]] bool append_formatted_call(std::string& out, std::string_view method,
                                         std::string_view parameters, CallFlags flags = {});
[[nodiscard]] bool append_formatted_reply(std::string& out, std::string_view parameters,
                                          bool continues = false);

// Appends a JSON string with its quotes, for callers that format parameters without building a
// tree of them.
void append_json_string(std::string& out, std::string_view text);

}  // namespace sessreg::varlink
