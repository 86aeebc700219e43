// Errors as values. Nothing in lib/ throws for a reason of its own (std::bad_alloc may pass
// through; the PAM module and the tool each catch it in their one outermost function).
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace sessreg {

enum class Errc {
  invalid_config,       // the configuration file was refused as a whole
  config_missing,       // a configuration file that was named does not exist
  not_found,            // no registry file (not an error for most callers: nobody has logged in)
  permission_denied,    // the kernel said EACCES or EPERM
  insecure_file,        // owner, mode, link count or directory would let somebody else write
  foreign_file,         // not a registry at all
  other_layout,         // a registry of another sessreg version
  older_layout,         // of an earlier version, whose sessions can be carried over
  truncated,            // shorter than its own header says
  corrupt,              // the header's stamp does not match, or a value is out of range
  other_boot,           // left over from before the last boot, or from a container that has ended
  other_pid_namespace,  // its process ids mean nothing here
  no_space,             // tmpfs or disk full
  unsupported_fs,       // the file system cannot make unnamed files
  bad_key,              // a key file or a text that holds no key
  already_exists,       // what was to be made exists, and is never overwritten
  bad_claims,           // no token can say this
  system,               // any other system call failed
};

// A short fixed text for the code, such as "not a session registry".
const char* text(Errc code);

// `what` is one line, without a final full stop: the thing, what is wrong, and how to mend it.
struct Error {
  Errc code;
  std::string what;
};

// Error for a failed system call: maps EACCES/EPERM/ENOSPC/… to codes; `what` becomes
// "<action>: <strerror>".
Error system_error(int errno_value, const std::string& action);

// A value, or why there is none. `E` is another type where callers tell
// errors apart by more than an Errc.
template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const E& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, E> state_;
};

}  // namespace sessreg
