// Whether a registry is of this boot, also where two processes are shown different boot ids: a
// container's is made up, and a unit with a /proc or /proc/sys of its own sees the kernel's.
// README.md says why each sign is believed.
//
// Thread safety: keeps no state.
#pragma once

#include "host/process.h"
#include "registry/layout.h"

namespace sessreg {

// `fd` is the registry's file, `header` what was read from it and found good. For the living: a
// true answer about an earlier boot costs no more than that its dead sessions are found dead.
bool is_of_this_boot(int fd, const HeaderImage& header, const HostIdentity& host);

}  // namespace sessreg
