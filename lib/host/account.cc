#include "host/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include <array>
#include <span>
#include <type_traits>
#include <vector>

namespace sessreg {
namespace {

// By a name, or by a number.
template <class Key, class Entry>
using LookUpBy = int (*)(Key, Entry*, char*, std::size_t, Entry**);
template <class Entry>
using LookUp = LookUpBy<const char*, Entry>;

// Returns an error number. *ret_found is nullptr if there is no such name.
template <class Key, class Entry>
int look_up(LookUpBy<Key, Entry> how, std::type_identity_t<Key> name, std::span<char> buffer,
            Entry* entry, Entry** ret_found) {
  int error = 0;
  do {
    *ret_found = nullptr;
    error = how(name, entry, buffer.data(), buffer.size(), ret_found);
  } while (error == EINTR);
  return error;
}

// The same with as much room as it takes, up to `most_bytes`.
template <class Key, class Entry>
int look_up_at_any_size(LookUpBy<Key, Entry> how, std::type_identity_t<Key> name,
                        std::size_t most_bytes, std::vector<char>& buffer, Entry* entry,
                        Entry** ret_found) {
  buffer.resize(4096);
  int error = 0;
  while ((error = look_up(how, name, buffer, entry, ret_found)) == ERANGE &&
         buffer.size() < most_bytes)
    buffer.resize(buffer.size() * 4);
  return error;
}

constexpr std::size_t kMostUserBytes = 1 << 20;    // a larger entry is a fault of the directory
constexpr std::size_t kMostGroupBytes = 16 << 20;  // it holds all the members

template <class Entry>
NameAnswer ask(LookUp<Entry> how, const std::string& name, std::size_t most_bytes,
               char* Entry::*spelling) {
  using Known = NameAnswer::Known;
  std::vector<char> buffer;
  Entry entry{};
  Entry* found = nullptr;
  const int error = look_up_at_any_size(how, name.c_str(), most_bytes, buffer, &entry, &found);
  if (found != nullptr) return {Known::yes, found->*spelling};
  return {error == 0 ? Known::no : Known::cannot_tell, {}};
}

}  // namespace

Account find_account(const std::string& typed) {
  std::vector<char> buffer;
  passwd entry{};
  passwd* found = nullptr;
  look_up_at_any_size(getpwnam_r, typed.c_str(), kMostUserBytes, buffer, &entry, &found);
  if (found == nullptr) return {typed, std::nullopt, std::nullopt};
  return {found->pw_name, found->pw_uid, found->pw_gid};
}

std::string name_of_uid(uid_t uid) {
  std::vector<char> buffer;
  passwd entry{};
  passwd* found = nullptr;
  look_up_at_any_size(getpwuid_r, uid, kMostUserBytes, buffer, &entry, &found);
  return found == nullptr ? std::to_string(uid) : found->pw_name;
}

NameAnswer ask_for_user(const std::string& name) {
  return ask(getpwnam_r, name, kMostUserBytes, &passwd::pw_name);
}

NameAnswer ask_for_group(const std::string& name) {
  return ask(getgrnam_r, name, kMostGroupBytes, &group::gr_name);
}

std::optional<uid_t> find_uid(const char* typed) noexcept {
  std::array<char, 8192> buffer;
  passwd entry{};
  passwd* found = nullptr;
  look_up(getpwnam_r, typed, buffer, &entry, &found);
  if (found == nullptr) return std::nullopt;
  return found->pw_uid;
}

}  // namespace sessreg
