// What the program passes in, checked before anything is done with it.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "capi/boundary.h"

namespace sessreg::capi {

enum class Presence { optional, required };

inline constexpr std::size_t kMaxNameBytes = 255;  // of services, hosts, terminals and devices

// What is wrong with a text that is called `name`: NULL or empty though required, more than
// `max_bytes`, control characters or others that could forge a log. nullopt: nothing.
std::optional<Answer> fault_of(const char* text, const char* name, std::size_t max_bytes,
                               Presence presence);

// NULL is empty.
inline std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

// A session's id, called `name`: 32 hex digits. nullopt: it is one.
std::optional<Answer> fault_of_id(const char* id, const char* name = "id");

// A pointer that must not be NULL.
std::optional<Answer> fault_of_pointer(const void* pointer, const char* name);

// The process that the object belongs to is another one.
std::optional<Answer> fault_of_owner(pid_t owner);

// The site by that name; the file must have an absolute path.
std::optional<Answer> fault_of_site(const char* name, const char* conf_file);

Answer unknown_members(const char* structure);
Answer too_small(const char* structure, const char* init);

}  // namespace sessreg::capi
