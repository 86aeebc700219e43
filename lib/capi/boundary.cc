#include "capi/boundary.h"

#include <string.h>

#include <algorithm>

#include "base/text.h"
#include "capi/structures.h"

namespace sessreg::capi {

Answer invalid(std::string text) {
  Answer answer;
  answer.code = SESSREG_EINVAL;
  answer.text = std::move(text);
  return answer;
}

Answer answer_of(const Error& error, int file_code) {
  Answer answer;
  answer.text = one_line(error.what);
  switch (error.code) {
    case Errc::permission_denied:
      answer.code = SESSREG_EPERMISSION;
      break;
    case Errc::no_space:
      answer.code = SESSREG_ENOSPACE;
      break;
    case Errc::invalid_config:
    case Errc::config_missing:
      answer.code = SESSREG_ECONFIG;
      break;
    case Errc::system:
      answer.code = SESSREG_ESYSTEM;
      break;
    case Errc::not_found:
    case Errc::insecure_file:
    case Errc::foreign_file:
    case Errc::other_layout:
    case Errc::older_layout:
    case Errc::truncated:
    case Errc::corrupt:
    case Errc::other_boot:
    case Errc::other_pid_namespace:
    case Errc::unsupported_fs:
    case Errc::bad_key:
    case Errc::already_exists:
    case Errc::bad_claims:
      answer.code = file_code;
      break;
  }
  return answer;
}

bool is_usable(const sessreg_error* error) {
  return error == nullptr || error->size >= kFirst<sessreg_error>;
}

int report(sessreg_error* ret_error, const Answer& answer) noexcept {
  if (ret_error == nullptr) return answer.code;
  // Without memory there is no text of its own.
  const std::string_view text = answer.text.empty() && answer.code != SESSREG_OK
                                    ? sessreg_strerror(answer.code)
                                    : std::string_view(answer.text);
  sessreg_error error = SESSREG_ERROR_INIT;
  error.code = answer.code;
  error.let_through = answer.let_through ? 1 : 0;
  error.seconds = answer.seconds;
  error.limit = answer.limit;
  error.count = answer.count;
  const std::string_view fits = utf8_prefix(text, sizeof error.text - 1);
  std::copy(fits.begin(), fits.end(), error.text);
  give(error, ret_error);
  return answer.code;
}

}  // namespace sessreg::capi
