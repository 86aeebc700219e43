#include "config/pam_arguments.h"

#include <algorithm>

namespace sessreg {
namespace {

template <bool PamArguments::*kFlag>
void set_flag(PamArguments& ret, std::string_view) noexcept {
  ret.*kFlag = true;
}

constexpr std::string_view kOnErrorValues[] = {"deny", "allow"};

// In the order of the manual page.
constexpr PamArgument kArguments[] = {
    {"site=", {}, {}, [](PamArguments& ret, std::string_view value) noexcept { ret.site = value; }},
    {"conf=", {}, {}, [](PamArguments& ret, std::string_view value) noexcept { ret.conf = value; }},
    {"socket=",
     {},
     {},
     [](PamArguments& ret, std::string_view value) noexcept { ret.socket = value; }},
    {"on_error=",
     kOnErrorValues,
     {},
     [](PamArguments& ret, std::string_view value) noexcept {
       ret.on_error = value == "allow" ? OnError::allow : OnError::deny;
     }},
    {"preauth", {}, "auth", set_flag<&PamArguments::preauth>},
    {"authfail", {}, "auth", set_flag<&PamArguments::authfail>},
    {"check_limit", {}, "auth", set_flag<&PamArguments::check_limit>},
    {"observe", {}, {}, set_flag<&PamArguments::observe>},
    {"quiet", {}, {}, set_flag<&PamArguments::quiet>},
    {"debug", {}, {}, set_flag<&PamArguments::debug>},
};

}  // namespace

bool PamArgument::allows(std::string_view value) const noexcept {
  return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

std::span<const PamArgument> pam_arguments() noexcept {
  return kArguments;
}

const PamArgument* find_pam_argument(std::string_view word) noexcept {
  for (const PamArgument& each : kArguments)
    if (each.name.ends_with('=') ? word.starts_with(each.name) : word == each.name) return &each;
  return nullptr;
}

bool is_pam_argument(std::string_view word) noexcept {
  const PamArgument* argument = find_pam_argument(word);
  return argument != nullptr && argument->allows(word.substr(argument->name.size()));
}

PamArguments parse_pam_arguments(std::span<const char* const> words) noexcept {
  PamArguments arguments;
  for (const std::string_view word : words) {
    if (!is_pam_argument(word)) continue;
    const PamArgument* argument = find_pam_argument(word);
    argument->set(arguments, word.substr(argument->name.size()));
  }
  return arguments;
}

}  // namespace sessreg
