// Whether processes of a container (a PID namespace other than the kernel's first one) still use
// its registry. Nobody in another container can ask the kernel about them, but a lock on a file is
// seen from everywhere: whoever takes a seat in such a registry locks a byte of the file, of its
// own, until it ends. README.md says what this shows, and what it does not.
//
// The lock is an open file description's (F_OFD_SETLK), and a mapping without access keeps that
// description: a login service may close all its descriptors, and a child has neither. Where a
// mapping does not keep it (overlayfs), a descriptor does, which a child has until it executes a
// program.
//
// Thread safety: functions keep no state.
#pragma once

#include "host/process.h"

namespace sessreg {

// Whether the processes of that namespace show their presence. The first one's do not: it is never
// gone in the same boot.
bool is_container(std::uint64_t pid_namespace);

// Whether the file `fd` can be locked at all.
bool can_show_presence(int fd);

// Shows the calling process to others from now on until it ends. False: the file is being replaced
// just now. `fd` may be closed afterwards.
bool show_presence(int fd);

enum class Presence {
  some,  // or it cannot be told
  none,
  being_replaced,  // there was none, and somebody has just found that out
};
Presence look_for_presence(int fd);
// `none`: as long as `fd` is open nobody else gets that answer, and nobody can show presence.
Presence claim_if_deserted(int fd);

}  // namespace sessreg
