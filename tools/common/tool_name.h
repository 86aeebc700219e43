// The names of the tool. It is installed under two: one in sbin, which the build may change, since
// X.Org has a sessreg of its own, and one in bin, for users, who have no sbin in their PATH.
//
// Thread safety: set_tool_name() is for main(), before anything else runs.
#pragma once

namespace sessreg {

#ifndef SESSREG_TOOL_NAME
#define SESSREG_TOOL_NAME "sessreg"
#endif
#ifndef SESSREG_VERSION
#define SESSREG_VERSION "unknown"
#endif

inline constexpr const char* kToolName = SESSREG_TOOL_NAME;
inline constexpr const char* kUserToolName = "sessregctl";
inline constexpr const char* kVersion = SESSREG_VERSION;

// The one of them that the program was called by, for its help and messages; else kToolName.
const char* tool_name();
void set_tool_name(const char* argv0);

}  // namespace sessreg
