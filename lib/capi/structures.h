// Structures that the program made by some version of sessreg.h: their `size` says which.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "capi/sessreg.h"

namespace sessreg::capi {

// The size of each in the first version of the header: none is smaller. Never to be changed.
template <class T>
inline constexpr std::size_t kFirst = 0;
template <>
inline constexpr std::size_t kFirst<sessreg_error> = offsetof(sessreg_error, text) + 1024;
template <>
inline constexpr std::size_t kFirst<sessreg_login> = offsetof(sessreg_login, flags) + 4;
template <>
inline constexpr std::size_t kFirst<sessreg_binding> = offsetof(sessreg_binding, tty) +
                                                       sizeof(const char*);
template <>
inline constexpr std::size_t kFirst<sessreg_entry> = offsetof(sessreg_entry, idle_s) + 8;
template <>
inline constexpr std::size_t kFirst<sessreg_claims> = offsetof(sessreg_claims, user) + 1537;

enum class Taken { whole, too_small, unknown_members };

// What this library knows of `given`; members that the program does not know stay as they are in
// `ret`. Members that this library does not know must be 0.
template <class T>
Taken take(const T& given, T& ret) {
  static_assert(std::is_trivially_copyable_v<T> && kFirst<T> != 0);
  if (given.size < kFirst<T>) return Taken::too_small;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
  for (std::size_t i = sizeof(T); i < given.size; ++i)
    if (bytes[i] != 0) return Taken::unknown_members;
  memcpy(&ret, &given, std::min(given.size, sizeof(T)));
  return Taken::whole;
}

// Into *ret, which is large enough for the first version, as far as the program knows it. Members
// that this library does not know become 0.
template <class T>
void give(const T& value, T* ret) {
  static_assert(std::is_trivially_copyable_v<T> && kFirst<T> != 0);
  const std::size_t size = ret->size;
  auto* bytes = reinterpret_cast<unsigned char*>(ret);
  memcpy(bytes, &value, std::min(size, sizeof(T)));
  if (size > sizeof(T)) memset(bytes + sizeof(T), 0, size - sizeof(T));
  ret->size = size;
}

}  // namespace sessreg::capi
