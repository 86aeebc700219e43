#include "capi/arguments.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "config/config.h"

namespace sessreg::capi {
std::optional<Answer> fault_of(const char* text, const char* name, std::size_t max_bytes,
                               Presence presence) {
  const std::string called(name);
  if (text == nullptr || *text == '\0') {
    if (presence == Presence::optional) return std::nullopt;
    return invalid(called + (text == nullptr ? " is NULL" : " is empty") + ": it must be given");
  }
  const std::size_t bytes = strnlen(text, max_bytes + 1);
  if (bytes > max_bytes)
    return invalid(called + " is too long: pass " + std::to_string(max_bytes) + " bytes at most");
  if (!is_safe_to_show({text, bytes}))
    return invalid(called + " has control characters: '" +
                   escape_for_terminal(utf8_prefix({text, bytes}, 60)) + "'; pass it without");
  return std::nullopt;
}

std::optional<Answer> fault_of_id(const char* id, const char* name) {
  if (auto fault = fault_of(id, name, 32, Presence::required)) return fault;
  if (strspn(id, "0123456789abcdef") == 32) return std::nullopt;
  return invalid(std::string(name) + " '" + escape_for_terminal(id) +
                 "' is not one of a session: pass 32 hex digits, as sessreg_session_id gives them");
}

std::optional<Answer> fault_of_pointer(const void* pointer, const char* name) {
  if (pointer != nullptr) return std::nullopt;
  return invalid(std::string(name) + " is NULL: it must be given");
}

std::optional<Answer> fault_of_owner(pid_t owner) {
  if (owner == getpid()) return std::nullopt;
  Answer answer;
  answer.code = SESSREG_EFORKED;
  answer.text = "made by process " + std::to_string(owner) + ", used in its child " +
                std::to_string(getpid()) + ": open the site in the child";
  return answer;
}

std::optional<Answer> fault_of_site(const char* name, const char* conf_file) {
  if (auto fault = fault_of(name, "name", 64, Presence::required)) return fault;
  if (!is_valid_site_name(name))
    return invalid("name '" + escape_for_terminal(name) +
                   "' cannot be that of a site: pass 1 to 64 of A-Z a-z 0-9 _ . -, a letter, digit "
                   "or _ first");
  if (conf_file == nullptr) return std::nullopt;
  if (auto fault = fault_of(conf_file, "conf_file", PATH_MAX - 1, Presence::required)) return fault;
  if (*conf_file != '/')
    return invalid("conf_file '" + escape_for_terminal(utf8_prefix(conf_file, 200)) +
                   "' is relative: pass an absolute path");
  return std::nullopt;
}

Answer unknown_members(const char* structure) {
  Answer answer;
  answer.code = SESSREG_EUNSUPPORTED;
  answer.text =
      std::string(structure) + " asks for what this libsessreg does not know: upgrade the library";
  return answer;
}

Answer too_small(const char* structure, const char* init) {
  return invalid(std::string(structure) + ".size is none: begin with " + init);
}

}  // namespace sessreg::capi
